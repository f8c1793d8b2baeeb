"""Mean colours of H&E patches: what a linear model of colour sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.regions import Region

COLOUR_SHRINK = 8
"""Mean colours are read this much coarser than the patch."""


def mean_colour(pair: SlidePair, patch: Region) -> npt.NDArray[np.float64]:
    """(3,) float64 in [0, 255]; the average of a coarse read is the average of the patch.

    Raises
    ------
    SlideError
        If there is no H&E slide or it cannot be read.
    """
    coarse_px = max(1, patch.size_px // COLOUR_SHRINK)
    coarse = Region(
        slide_id=patch.slide_id,
        tile_id=patch.tile_id,
        kind=patch.kind,
        x_px=patch.x_px,
        y_px=patch.y_px,
        size_px=coarse_px,
        mpp=patch.side_um / coarse_px,
    )
    return pair.read_he(coarse).mean(axis=(0, 1))
