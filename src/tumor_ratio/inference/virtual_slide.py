"""A CycleGAN's virtual Ki-67 slide of an H&E slide, as a file that is read like any slide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.imaging.pyramid import write_pyramid
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.imaging.row_blocks import RowBlocks
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.models.cyclegan.options import BlockOptions
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.reporting.stamps import SYNTHETIC_STAIN
from tumor_ratio.reporting.synthetic_mark import mark_band

TILE_PX = 256
GAP_UM, LEAST_GAP_PX = 40.0, 16
"""White between tissue and mark: the nuclei network must not see the letters."""
JPEG_QUALITY = 90


def write_virtual_slide(
    path: Path,
    slide: Slide,
    tiles: pd.DataFrame,
    generator_file: Path,
    mpp: float,
    blocks: BlockOptions,
    compute: ComputeOptions,
    *,
    model: str,
    stamps: Sequence[str],
) -> Slide:
    """Translate a slide.

    Parameters
    ----------
    path : the file, which lies in a folder that exists.
    slide : the H&E slide.
    tiles : `schemas.Regions` of it; the statistics of instance norms are measured in them, since
        networks learn on tissue and slides are largely glass.
    generator_file : the generator's weights.
    mpp : micrometres a pixel that it works at.
    blocks : how the slide is cut.
    compute : what to compute with.
    model : its name in the file's description.
    stamps : of the model.

    Returns
    -------
    Slide
        The virtual slide without the band with the mark below it; its origin is the H&E slide's.

    Raises
    ------
    SlideError
        If the slide cannot be read.
    ModelUnavailableError
        If the weights cannot be.
    DiskFullError
        If there is no room.
    """
    # torch takes seconds to import.
    from tumor_ratio.models.cyclegan.checkpoint_files import load_generator
    from tumor_ratio.models.cyclegan.translation import measure_statistics, translate_strips
    from tumor_ratio.models.devices import resolve_compute

    settled = resolve_compute(compute)
    generator = settled.place(load_generator(generator_file))
    width_px, height_px = (math.ceil(um / mpp - 1e-6) for um in (slide.width_um, slide.height_um))
    scale = mpp / slide.mpp

    def read(y_px: int, x_px: int, height: int, width: int) -> RgbImage:
        return slide.read(x_px * scale, y_px * scale, (width, height), mpp)

    crops = tissue_crops(slide, tiles, mpp, blocks, generator.multiple_px)
    statistics = None if crops is None else measure_statistics(generator, crops, settled)
    strips = translate_strips(
        generator, read, height_px, width_px, settled, blocks, statistics=statistics
    )
    band = mark_band(width_px, height_px, gap_px=max(LEAST_GAP_PX, round(GAP_UM / mpp)))
    write_pyramid(
        path,
        RowBlocks(chain(strips, [band])).read,
        width_px=width_px,
        height_px=height_px + len(band),
        mpp=mpp,
        tile_px=TILE_PX,
        jpeg_quality=JPEG_QUALITY,
        description=_description(model, stamps),
    )
    virtual = open_slide(path, slide_id=slide.slide_id, mpp=mpp)
    return replace(virtual, height_px=height_px)


def tissue_crops(
    slide: Slide, tiles: pd.DataFrame, mpp: float, blocks: BlockOptions, multiple_px: int
) -> NDArray[np.uint8] | None:
    """(N, side, side, 3) uint8 squares of tiles, spread evenly over them; None without tiles.

    Parameters
    ----------
    slide : the H&E slide.
    tiles : `schemas.Regions` of it.
    mpp : micrometres a pixel that the generator works at.
    blocks : `crop_px` is a square's side, `crops_mpx` bounds their number.
    multiple_px : the side is a multiple of it.
    """
    if tiles.empty:
        return None
    side_um = float((tiles["size_px"] * tiles["mpp"]).min())
    side_px = min(blocks.crop_px, int(side_um / mpp)) // multiple_px * multiple_px
    if side_px < multiple_px:
        return None
    step_px = side_px * mpp / slide.mpp
    places = [
        (tile.x_px + column * step_px, tile.y_px + row * step_px)
        for tile in iter_regions(tiles)
        for row in range(int(tile.side_um / mpp / side_px))
        for column in range(int(tile.side_um / mpp / side_px))
    ]
    n = max(1, min(len(places), int(blocks.crops_mpx * 1e6 / side_px**2)))
    chosen = [places[int((index + 0.5) * len(places) / n)] for index in range(n)]
    return np.stack([slide.read(x_px, y_px, side_px, mpp) for x_px, y_px in chosen])


def _description(model: str, stamps: Sequence[str]) -> str:
    words = [
        f"{SYNTHETIC_STAIN}.",
        "Virtual Ki-67, translated from an H&E slide by a CycleGAN",
        f"(model {model}).",
        *stamps,
    ]
    return " ".join(words)
