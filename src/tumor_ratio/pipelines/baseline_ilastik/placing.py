"""Which tiles are labelled, and which regions are classified."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.regions import Region, iter_regions, regions_of
from tumor_ratio.phantom.strokes import draw_strokes
from tumor_ratio.pipelines.baseline_ilastik.params import StrokeParams
from tumor_ratio.schemas import Strokes


def place_tiles(
    pairs: list[SlidePair],
    tiles: pd.DataFrame,
    options: StrokeParams,
    mpp: float,
    rng: np.random.Generator,
) -> Iterator[tuple[SlidePair, Region]]:
    """Small tiles to label, slide after slide, anywhere within the kept tiles.

    Parameters
    ----------
    pairs : training slides, each with rows in `tiles`.
    tiles : kept tiles, `tumor_ratio.schemas.Regions`.
    options : how many, how large.
    mpp : micrometres a pixel.
    rng : chooses.
    """
    order = rng.permutation(len(pairs))
    for number in range(options.tiles if pairs else 0):
        pair = pairs[order[number % len(order)]]
        candidates = list(iter_regions(regions_of(tiles, pair.slide_id)))
        tile = candidates[rng.integers(len(candidates))]
        room_px = max(tile.side_um - options.tile_px * mpp, 0.0) / pair.frame.mpp
        x_px, y_px = (round(corner + rng.uniform(0, room_px)) for corner in (tile.x_px, tile.y_px))
        yield pair, Region(pair.slide_id, "", "tile", x_px, y_px, options.tile_px, mpp)


def strokes_on(
    pair: SlidePair,
    tile: Region,
    section: str,
    options: StrokeParams,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Rows of `tumor_ratio.schemas.Strokes` on one tile of a phantom."""
    assert pair.truth_dir is not None
    labels = draw_strokes(
        pair.truth_dir,
        section,
        (tile.x_px, tile.y_px),
        pair.frame.mpp,
        tile.size_px,
        tile.mpp,
        per_class=options.per_class,
        error_rate=options.error_rate,
        rng=rng,
    )
    rows, columns = np.nonzero(labels)
    return Strokes.validate(
        pd.DataFrame(
            {
                "section": section,
                "slide_id": pair.slide_id,
                "x_px": tile.x_px,
                "y_px": tile.y_px,
                "size_px": tile.size_px,
                "mpp": tile.mpp,
                "row": rows,
                "column": columns,
                "label": labels[rows, columns],
            }
        )
    )


def neighbouring_patches(
    patches: pd.DataFrame, n_patches: int, rng: np.random.Generator
) -> pd.DataFrame:
    """The patches around one of them.

    A few patches all over a slide would cost as much as the whole slide: classifying needs their
    surroundings.
    """
    center = patches.iloc[rng.integers(len(patches))]
    distance = np.maximum(
        (patches["x_px"] - center["x_px"]).abs(), (patches["y_px"] - center["y_px"]).abs()
    )
    return patches.loc[distance.sort_values(kind="stable").index[:n_patches]]
