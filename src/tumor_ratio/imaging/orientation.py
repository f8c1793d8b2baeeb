"""Slides stored sideways or mirrored, read upright: TIFF tag 274, the same numbers as in EXIF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tumor_ratio.imaging.readers import Level, Reader, RgbImage

UPRIGHT = 1


@dataclass(frozen=True)
class _Turn:
    """How stored pixels become upright: first rows for columns, then mirrored."""

    transposed: bool
    mirrored_x: bool
    mirrored_y: bool


_TURNS = {
    2: _Turn(False, True, False),
    3: _Turn(False, True, True),
    4: _Turn(False, False, True),
    5: _Turn(True, False, False),
    6: _Turn(True, True, False),
    7: _Turn(True, True, True),
    8: _Turn(True, False, True),
}


class UprightReader:
    """A reader of a slide as it is meant to be seen.

    Parameters
    ----------
    stored : reads the pixels as they lie in the file; its `orientation` is 2 to 8.
    """

    orientation = UPRIGHT

    def __init__(self, stored: Reader) -> None:
        self._stored = stored
        self._turn = _TURNS[stored.orientation]
        self.name = stored.name
        self.icc_profile = stored.icc_profile
        self.tile_px = stored.tile_px[::-1] if self._turn.transposed else stored.tile_px
        self.magnification = stored.magnification
        self.claimed_mpp = stored.claimed_mpp
        self.levels: tuple[Level, ...] = stored.levels
        if self._turn.transposed:
            self.levels = tuple((h, w, downsample) for w, h, downsample in stored.levels)
            if stored.claimed_mpp is not None:
                self.claimed_mpp = (stored.claimed_mpp[1], stored.claimed_mpp[0])

    def read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        """Pixels of a level in upright coordinates; white outside the slide."""
        level_width, level_height, _ = self.levels[level]
        x = level_width - x_px - width if self._turn.mirrored_x else x_px
        y = level_height - y_px - height if self._turn.mirrored_y else y_px
        if self._turn.transposed:
            rgb = self._stored.read_level(level, y, x, height, width).transpose(1, 0, 2)
        else:
            rgb = self._stored.read_level(level, x, y, width, height)
        rgb = rgb[:, ::-1] if self._turn.mirrored_x else rgb
        rgb = rgb[::-1] if self._turn.mirrored_y else rgb
        return np.ascontiguousarray(rgb)


def upright(reader: Reader) -> Reader:
    """The reader itself where its pixels are stored upright, else one that turns them."""
    return UprightReader(reader) if reader.orientation in _TURNS else reader
