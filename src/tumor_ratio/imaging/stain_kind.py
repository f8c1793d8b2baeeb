"""Does a slide show the stain that it is declared to show? Judged by colour, on an overview."""

from __future__ import annotations

import numpy as np

from tumor_ratio.imaging.channels import brightest_channel, channel_sum
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.stains import channel_density
from tumor_ratio.imaging.white_point import MAX_WHITE_OD, against_white, brightest_od, white_od

STAINED_OD = 0.3
"""Sum of the three densities from which a pixel counts as stained."""
EOSIN_EXCESS = 1.35
"""Eosin absorbs green by more than this factor over red and blue. Hematoxylin, DAB and both
together stay below: (0.92, 1.27, 1.07) for equal amounts."""
FEWEST_SHARE = 0.002
"""With less of the overview stained there is nothing to judge."""
DARK_LEVEL = 80


def eosin_share(rgb: RgbImage) -> float:
    """Share of the stained pixels that are eosin-pink.

    Over 0.75 on H&E sections of several laboratories, under 0.05 on hematoxylin-DAB sections.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, an overview.

    Returns
    -------
    float
        NaN where hardly anything is stained.
    """
    od = channel_density(against_white(rgb, white_od(rgb)).reshape(-1, 3))
    stained = od[channel_sum(od) > STAINED_OD]
    if len(stained) < FEWEST_SHARE * len(od):
        return float("nan")
    red, green, blue = stained.T
    return float((green > EOSIN_EXCESS * np.maximum(red, blue)).mean())


def is_dark_field(rgb: RgbImage) -> bool:
    """Whether an overview shows light on a dark ground, as fluorescence does: mostly dark, no glass
    anywhere.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    """
    mostly_dark = float(np.median(brightest_channel(rgb))) < DARK_LEVEL
    return mostly_dark and float(brightest_od(rgb).max()) > MAX_WHITE_OD
