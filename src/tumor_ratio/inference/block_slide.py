"""A slide whose pixels are decoded in blocks, each once while its neighbours need it."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.slide import Slide

KEPT_BYTES = 256_000_000
"""Decoded blocks that are kept."""
BLOCK_BYTES = 32_000_000
"""Blocks of a file without tiles, which reach over its whole width, are cut to this."""

Key = tuple[int, int, int]
"""Level, row and column of a block."""


class BlockCache:
    """Decoded blocks, the latest used ones; several threads may ask at the same time.

    Parameters
    ----------
    kept_bytes : most bytes to keep.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._blocks: OrderedDict[Key, Future[RgbImage]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key, decode: Callable[[], RgbImage]) -> RgbImage:
        """Give a block; the first who asks decodes it, others wait. What that raises is kept, too.

        Raises
        ------
        SlideError
            As `decode` does.
        """
        with self._lock:
            found = self._blocks.get(key)
            mine = found is None
            if found is None:
                found = self._blocks[key] = Future()
            self._blocks.move_to_end(key)
        if mine:
            try:
                pixels = decode()
            except BaseException as error:
                found.set_exception(error)
                raise
            found.set_result(pixels)
            self._make_room(pixels.nbytes)
        return found.result()

    def _make_room(self, new_bytes: int) -> None:
        with self._lock:
            self._bytes += new_bytes
            for key, block in list(self._blocks.items())[:-1]:
                if self._bytes <= self._kept_bytes:
                    return
                if block.done() and block.exception() is None:
                    self._bytes -= block.result().nbytes
                    del self._blocks[key]


@dataclass(frozen=True)
class BlockSlide(Slide):
    """Reads as the slide does, pixel for pixel, but takes them from decoded blocks.

    Made by `in_blocks`; for many overlapping or unaligned reads in one process.
    """

    block_size: tuple[int, int] = (1024, 1024)
    blocks: BlockCache = field(default_factory=BlockCache, compare=False, repr=False)

    def _read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        level_width, level_height, _ = self.levels[level]
        right, bottom = min(x_px + width, level_width), min(y_px + height, level_height)
        left, top = max(x_px, 0), max(y_px, 0)
        out = np.full((height, width, 3), 255, dtype=np.uint8)
        if left >= right or top >= bottom:
            return out
        across, down = self.block_size
        for row in range(top // down, (bottom - 1) // down + 1):
            for column in range(left // across, (right - 1) // across + 1):
                try:
                    block = self._block(level, row, column)
                except SlideError:  # damaged somewhere, perhaps not where these pixels are
                    return super()._read_level(level, x_px, y_px, width, height)
                x0, y0 = max(left, column * across), max(top, row * down)
                x1 = min(right, (column + 1) * across)
                y1 = min(bottom, (row + 1) * down)
                out[y0 - y_px : y1 - y_px, x0 - x_px : x1 - x_px] = block[
                    y0 - row * down : y1 - row * down, x0 - column * across : x1 - column * across
                ]
        return out

    def _block(self, level: int, row: int, column: int) -> RgbImage:
        across, down = self.block_size
        width = min(across, self.levels[level][0] - column * across)
        height = min(down, self.levels[level][1] - row * down)
        read = super()._read_level
        return self.blocks.get(
            (level, row, column),
            lambda: read(level, column * across, row * down, width, height),
        )

    def strip_px(self, side_px: float, mpp: float, kept_bytes: int = KEPT_BYTES) -> int:
        """Width of the strips in which to go through the slide so that blocks are decoded once.

        Parameters
        ----------
        side_px : side of what is read at a time, level-0 pixels.
        mpp : micrometres per pixel at which it is read.
        kept_bytes : room for decoded blocks.

        Returns
        -------
        int
            Level-0 pixels, whole blocks, at least one. Where regions are read row by row within a
            strip, the blocks of a row are still there for the next.
        """
        downsample = self.levels[self._level_for(mpp / self.mpp)][2]
        across, down = self.block_size
        rows = math.ceil(side_px / downsample / down) + 1
        room = int(kept_bytes // (rows * across * down * 3))
        columns = max(1, room - math.ceil(side_px / downsample / across))
        return max(1, int(columns * across * downsample))


def in_blocks(slide: Slide, cache: BlockCache | None = None) -> Slide:
    """The slide, read in blocks; small images that are in memory anyway stay as they are.

    Parameters
    ----------
    slide : the slide.
    cache : where blocks are kept; a new one by default.

    Raises
    ------
    SlideError
        If the file is gone.
    """
    if slide.reader == "pillow":
        return slide
    across, down = slide.block_px
    if across * down * 3 > BLOCK_BYTES:
        down = max(1, min(down, BLOCK_BYTES // (across * 3)))
    fields = {each.name: getattr(slide, each.name) for each in dataclasses.fields(Slide)}
    return BlockSlide(**fields, block_size=(across, down), blocks=cache or BlockCache())
