"""The mark that virtual stains carry in their pixels, so that none passes for a stain."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tumor_ratio.reporting.stamps import SYNTHETIC_STAIN

RgbImage = NDArray[np.uint8]

INK = (178, 34, 34)
PAPER = (255, 244, 214)
LEAST_BAND_PX = 24
BAND_SHARE = 0.04
"""Height of the band below a virtual slide, as a share of the slide's longer side."""
ASPECT = 8.5
"""A label is less than so many times as wide as high."""


def marked(rgb: RgbImage) -> RgbImage:
    """A copy of a picture with the mark over its lower edge.

    Parameters
    ----------
    rgb : (H, W, 3) uint8; the mark is as wide as the picture, or 24 px high.
    """
    height, width = rgb.shape[:2]
    label = _fitted(width)[:height]
    out = rgb.copy()
    out[height - label.shape[0] :, : label.shape[1]] = label
    return out


def mark_band(width_px: int, height_px: int, *, gap_px: int) -> RgbImage:
    """What stands below a virtual slide of that size: white, then the mark over its whole width.

    The slide's own pixels stay as they were translated, so that what is measured is not the mark.

    Returns
    -------
    (h, width_px, 3) uint8
        `gap_px` of white, then words: 4 % of the longer side high, so that they can be read on
        every level, but no higher than the width has room for them; at least 24 px.
    """
    wanted_px = min(BAND_SHARE * max(width_px, height_px), width_px / ASPECT)
    label = _label(max(LEAST_BAND_PX, round(wanted_px)))
    copies = -(-width_px // label.shape[1])
    words = np.tile(label, (1, copies, 1))[:, :width_px]
    return np.concatenate([np.full((gap_px, width_px, 3), 255, dtype=np.uint8), words])


def _fitted(width_px: int) -> RgbImage:
    """The mark in its largest size up to 24 px that fits the width."""
    for height in range(LEAST_BAND_PX, 7, -1):
        label = _label(height)
        if label.shape[1] <= width_px:
            return label
    return _label(8)[:, :width_px]


@lru_cache(maxsize=64)
def _label(height_px: int) -> RgbImage:
    """(height_px, w, 3) uint8: the words on paper."""
    font = ImageFont.load_default(size=0.7 * height_px)
    left, top, right, bottom = font.getbbox(SYNTHETIC_STAIN)
    space = height_px // 3
    size = (int(right - left) + 2 * space, height_px)
    image = Image.new("RGB", size, PAPER)
    place = (space - left, (height_px - (bottom - top)) / 2 - top)
    ImageDraw.Draw(image).text(place, SYNTHETIC_STAIN, fill=INK, font=font)
    return np.array(image)
