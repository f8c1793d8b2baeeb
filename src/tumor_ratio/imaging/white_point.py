"""A slide's own white: what glass looks like on it, and densities measured against that.

Scanners and lamps differ: glass is 245 on one slide and 205 with a cast on another. A density
measured against pure white then holds the lamp's grey, part of which passes for DAB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.channels import brightest_channel, channel_sum
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.stains import channel_density

BRIGHTEST_SHARE = 0.05
"""Glass, or the palest tissue of a slide without any, is the median of so many of its pixels."""
MAX_WHITE_OD = 0.20
"""What is darker than this in any channel is no glass: then pure white serves."""
OVERVIEW_SIDE_PX = 1024

WhiteOd = NDArray[np.float32]
"""(3,) float32, decadic density of glass in red, green and blue."""


def white_od(rgb: RgbImage) -> WhiteOd:
    """Density of glass on an image.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, an overview of a slide.

    Returns
    -------
    (3,) float32
        Median density of the brightest 5 % of the pixels; 0 where that is no glass.
    """
    white = brightest_od(rgb)
    return white if white.max() <= MAX_WHITE_OD else np.zeros(3, np.float32)


def has_glass(rgb: RgbImage) -> bool:
    """Whether an image's brightest pixels are bright enough to be glass."""
    return bool(brightest_od(rgb).max() <= MAX_WHITE_OD)


def brightest_od(rgb: RgbImage) -> WhiteOd:
    """Median density of the brightest 5 % of an image's pixels, whatever they show.

    Pure white is left out where more of the image is bright without being pure white: scanners fill
    what they did not scan with it, and reading beyond a slide's edge gives it.
    """
    od = channel_density(rgb.reshape(-1, 3))
    padding = brightest_channel(od) == 0
    bright = (brightest_channel(od) <= MAX_WHITE_OD) & ~padding
    if 0 < padding.sum() < bright.sum():
        od = od[~padding]
    darkness = channel_sum(od)
    count = max(1, round(len(darkness) * BRIGHTEST_SHARE))
    brightest = np.argpartition(darkness, count - 1)[:count]
    return np.median(od[brightest], axis=0).astype(np.float32)


def slide_overview(slide: Slide) -> RgbImage:
    """A slide at up to about 1024 px a side, never finer than it is.

    Raises
    ------
    SlideError
        If the slide cannot be read.
    """
    side = max(slide.width_um, slide.height_um)
    return slide.read_overview(max(slide.mpp, side / OVERVIEW_SIDE_PX))[0]


def against_white(rgb: RgbImage, white: WhiteOd) -> RgbImage:
    """The image as a scanner with pure white glass would have given it.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    white : see `white_od`.
    """
    if not white.any():
        return rgb
    values = channel_density(np.arange(256, dtype=np.uint8))
    tables = [
        np.clip(np.rint(np.power(10.0, -np.maximum(values - od, 0)) * 256 - 1), 0, 255)
        for od in white
    ]
    return np.stack(
        [table.astype(np.uint8)[rgb[..., c]] for c, table in enumerate(tables)], axis=-1
    )
