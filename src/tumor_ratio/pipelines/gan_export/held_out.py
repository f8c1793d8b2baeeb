"""Squares of test slides: as large as those of training, without overlap, evenly spread."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.cohort.tiles import PatchParams, lying_apart, patches_of_pair


def held_out_squares(
    pair: SlidePair, tiles: pd.DataFrame, size_px: int, mpp: float, number: int
) -> pd.DataFrame:
    """Squares inside kept tiles of one slide.

    Parameters
    ----------
    pair : the slide pair.
    tiles : its kept tiles (`schemas.Regions`); they may overlap, as at a slide's edge.
    size_px, mpp : a square's side in pixels at `mpp`.
    number : at most so many, spread evenly over all that there are.

    Returns
    -------
    pandas.DataFrame
        `schemas.Regions`. Where two squares overlap by more than rounding, the later one in the
        order of the tiles is left out.

    Raises
    ------
    ConfigurationError
        If a square is larger than a tile.
    """
    grid = PatchParams(size_px=size_px, mpp=mpp, step_px=size_px)
    squares = patches_of_pair(pair, tiles, grid, called=f"{APPROACH}.squares")
    apart = lying_apart(squares, pair.frame.mpp)
    n = min(number, len(apart))
    places = ((np.arange(n) + 0.5) * len(apart) / max(n, 1)).astype(np.intp)
    return apart.iloc[places].reset_index(drop=True)
