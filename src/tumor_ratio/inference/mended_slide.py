"""A slide whose damaged places read as glass, for what needs the surroundings of regions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.slide import Slide

SMALLEST_PIECE_PX = 64
"""Around damage, pixels are read in smaller and smaller pieces, down to this side."""


@dataclass(frozen=True)
class MendedSlide(Slide):
    """Reads as the slide does, and white where that fails. Made by `mended`."""

    def _read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        try:
            return super()._read_level(level, x_px, y_px, width, height)
        except SlideError:
            if not self.path.is_file():
                raise
        out = np.full((height, width, 3), 255, dtype=np.uint8)
        if max(width, height) <= SMALLEST_PIECE_PX:
            return out
        half_w, half_h = -(-width // 2), -(-height // 2)
        for y in range(0, height, half_h):
            for x in range(0, width, half_w):
                w, h = min(half_w, width - x), min(half_h, height - y)
                out[y : y + h, x : x + w] = self._read_level(level, x_px + x, y_px + y, w, h)
        return out


def mended(slide: Slide) -> MendedSlide:
    """The slide, white where it is damaged. Regions there are left out by whoever asks."""
    fields = {each.name: getattr(slide, each.name) for each in dataclasses.fields(Slide)}
    return MendedSlide(**fields)
