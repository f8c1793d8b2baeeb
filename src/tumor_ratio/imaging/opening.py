"""Slide files opened through OpenSlide, tifffile or Pillow, and read upright."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tumor_ratio.imaging.readers import (
    Level,
    PillowReader,
    Reader,
    RgbImage,
    on_white,
    whole_downsample,
)
from tumor_ratio.imaging.tiff_reader import TiffReader

OPEN_READERS = 4
PLAIN_TIFFS = ("aperio", "generic-tiff")
"""OpenSlide's names of formats whose levels are ordinary tiled TIFF."""
SAME_PX = 32
"""Side of the squares that two readers must agree on."""
UPRIGHT = 1
"""TIFF tag 274; the same numbers as in EXIF."""


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


class OpenSlideReader:
    """Whatever OpenSlide opens: SVS, NDPI, MRXS, SCN, DICOM, tiled TIFF, and more."""

    name = "openslide"
    orientation = 1

    def __init__(self, path: Path) -> None:
        import openslide

        self._slide = openslide.OpenSlide(path)
        self.icc_profile = self._embedded_profile()
        tile_sides = [
            _number(self._slide.properties.get(f"openslide.level[0].tile-{side}")) or 1
            for side in ("width", "height")
        ]
        self.tile_px = (int(tile_sides[0]), int(tile_sides[1]))
        width, height = self._slide.dimensions
        self._downsamples = self._slide.level_downsamples
        self.levels = tuple(
            (w, h, whole_downsample(width, height, w, h, downsample))
            for (w, h), downsample in zip(
                self._slide.level_dimensions, self._downsamples, strict=True
            )
        )
        x = _number(self._slide.properties.get(openslide.PROPERTY_NAME_MPP_X))
        y = _number(self._slide.properties.get(openslide.PROPERTY_NAME_MPP_Y))
        self.claimed_mpp = (x, y) if x is not None and y is not None else None
        self.magnification = _number(
            self._slide.properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
        )
        vendor = self._slide.properties.get(openslide.PROPERTY_NAME_VENDOR)
        self._plain = self._as_plain_tiff(path) if vendor in PLAIN_TIFFS else None

    def _as_plain_tiff(self, path: Path) -> Reader | None:
        """Tifffile's reader of the same levels: it decodes JPEG tiles some ten times as fast.

        None where it does not understand the file, or not as OpenSlide does at level 0. At a level
        whose size was rounded OpenSlide gives pixels resampled by a part of one, tifffile those
        that are stored.
        """
        try:
            plain: Reader = _reader_type("tifffile")(path)
            if [level[:2] for level in plain.levels] != [level[:2] for level in self.levels]:
                return None
            width, height, _ = self.levels[0]
            for corner in ((width // 2, height // 2), (width - SAME_PX, height - SAME_PX)):
                where = (0, *corner, SAME_PX, SAME_PX)
                if not np.array_equal(plain.read_level(*where), self._read_region(*where)):
                    return None
        except Exception:  # whatever is wrong with the file is for OpenSlide to say
            return None
        return plain

    def read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        """Pixels of a level; transparent ones, and those outside the slide, are white."""
        if self._plain is not None:
            return self._plain.read_level(level, x_px, y_px, width, height)
        return self._read_region(level, x_px, y_px, width, height)

    def _read_region(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        # OpenSlide divides by its own downsample, which is not whole where a level was rounded.
        location = (
            round(x_px * self._downsamples[level]),
            round(y_px * self._downsamples[level]),
        )
        rgba = self._slide.read_region(location, level, (width, height))
        return on_white(rgba)

    def _embedded_profile(self) -> bytes | None:
        try:
            profile = self._slide.color_profile
        except Exception:  # a damaged profile must not cost the slide
            return b"damaged"
        return None if profile is None else bytes(profile.tobytes())


def open_reader(path: Path, name: str) -> Reader:
    """Open the file with the named reader, or return the one this process holds open.

    Parameters
    ----------
    path : the slide file; a changed file (size or time) is opened anew.
    name : "openslide", "tifffile" or "pillow".

    Raises
    ------
    OSError
        If the file is gone, and whatever the library raises when it cannot open the file.
    """
    status = os.stat(path)
    key = (os.getpid(), str(path), name, status.st_size, status.st_mtime_ns)
    with _LOCK:
        if key in _OPEN:
            _OPEN.move_to_end(key)
            return _OPEN[key]
    reader = upright(_reader_type(name)(path))
    with _LOCK:
        _OPEN[key] = reader
        while len(_OPEN) > OPEN_READERS:
            _OPEN.popitem(last=False)  # closed when its last user lets go of it
    return reader


def forget_reader(path: Path) -> None:
    """Drop the open readers of a file: OpenSlide refuses every read after a first failed one."""
    with _LOCK:
        for key in [key for key in _OPEN if key[1] == str(path)]:
            del _OPEN[key]


def _reader_type(name: str) -> Any:
    return {"openslide": OpenSlideReader, "tifffile": TiffReader, "pillow": PillowReader}[name]


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


_OPEN: OrderedDict[tuple[int, str, str, int, int], Reader] = OrderedDict()
_LOCK = threading.RLock()
