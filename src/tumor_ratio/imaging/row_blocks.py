"""An image that comes strip by strip, read in blocks from top to bottom."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tumor_ratio.imaging.readers import RgbImage


class RowBlocks:
    """Reads blocks of an image whose strips are made once, from top to bottom.

    Parameters
    ----------
    strips : (h, width, 3) uint8 each; together they are the image.

    Notes
    -----
    Blocks are asked for in row-major order: rows above the last block's top are gone. Memory holds
    a strip and the rows of a block.
    """

    def __init__(self, strips: Iterable[RgbImage]) -> None:
        self._strips = iter(strips)
        self._rows: RgbImage | None = None
        self._top_px = 0

    def read(self, x_px: int, y_px: int, width_px: int, height_px: int) -> RgbImage:
        """(height_px, width_px, 3) uint8.

        Raises
        ------
        ValueError
            If the block lies above an earlier one, or beyond the last strip.
        """
        if y_px < self._top_px:
            raise ValueError(f"rows from {y_px} on have been given and are gone")
        if self._rows is None:
            self._rows = self._next()
        while len(self._rows) < y_px + height_px - self._top_px:
            done = min(y_px - self._top_px, len(self._rows))
            self._rows = np.concatenate([self._rows[done:], self._next()])
            self._top_px += done
        self._rows = self._rows[y_px - self._top_px :]
        self._top_px = y_px
        return self._rows[:height_px, x_px : x_px + width_px]

    def _next(self) -> RgbImage:
        for strip in self._strips:
            return strip
        raise ValueError("the block reaches beyond the last strip")
