"""Where the CycleGAN's images are cut: squares of training slides, tiles of validation slides."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.cohort.tiles import PatchParams, patches_of_pair
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.pipelines.gan_translation.params import SquareParams

MIN_NUCLEI = 20


def candidate_squares(
    pair: SlidePair, tiles: pd.DataFrame, nuclei: pd.DataFrame, params: SquareParams
) -> pd.DataFrame:
    """Squares inside kept tiles of a training slide, with their measured ratio.

    Parameters
    ----------
    pair : the slide pair.
    tiles : its kept tiles (`schemas.Regions`).
    nuclei : `schemas.Nuclei` of its Ki-67 section.

    Returns
    -------
    pandas.DataFrame
        `schemas.Regions` and `tumor_ratio`; squares with under 20 nuclei are left out.

    Raises
    ------
    ConfigurationError
        If a square is larger than a tile.
    """
    grid = PatchParams(size_px=params.size_px, mpp=params.mpp, step_px=params.step_px)
    squares = patches_of_pair(pair, tiles, grid, called=f"{APPROACH}.squares")
    if squares.empty:
        return squares.assign(tumor_ratio=np.zeros(0))
    ratios = region_ratios(squares, nuclei, pair.frame.mpp, min_nuclei=MIN_NUCLEI)
    return squares.assign(tumor_ratio=ratios["tumor_ratio"].to_numpy()).dropna()


def draw_evenly(
    ratios: NDArray[np.float64], edges: tuple[float, ...], number: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Places of `number` ratios, as evenly over the bins as they can be had.

    A bin that holds too few gives all it has, and the others the rest.
    """
    bins = np.digitize(ratios, edges)
    order = rng.permutation(len(ratios))
    # The i-th of every bin comes before the (i + 1)-th of any.
    turn = np.empty(len(ratios), dtype=np.intp)
    for each in np.unique(bins):
        own = order[bins[order] == each]
        turn[own] = np.arange(len(own))
    ranked = order[np.argsort(turn[order], kind="stable")]
    return np.sort(ranked[:number])


def most_labelled_tiles(labelled: pd.DataFrame, number: int) -> list[str]:
    """Ids of tiles with the most labelled patches, in turn from every slide.

    Parameters
    ----------
    labelled : patches of kept tiles with a ratio; slide_id and tile_id are read.
    number : at most so many.
    """
    counts = labelled.groupby(["slide_id", "tile_id"]).size().rename("n").reset_index()
    counts = counts.sort_values(["n", "tile_id"], ascending=[False, True], kind="stable")
    counts["turn"] = counts.groupby("slide_id").cumcount()
    chosen = counts.sort_values(["turn", "slide_id"], kind="stable").head(number)
    return sorted(chosen["tile_id"])
