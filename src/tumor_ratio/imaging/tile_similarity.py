"""SSIM of many squares of one image pair, however they overlap: every pixel is read once.

The images are read in blocks over the squares that lie there. A window of SSIM belongs to every
square that holds it whole, so sums over the windows of a row, between the squares' borders, add up
to each square's mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.ssim_sums import SSIM_WINDOW_PX, ssim_row_sums
from tumor_ratio.processes import thread_pool

ReadPair = Callable[[int, int, int, int], tuple[RgbImage, RgbImage]]
"""`read(x, y, width, height)` gives that rectangle of both images, (height, width, 3) uint8."""

STRIP_BLOCKS = 8
"""Width, in blocks, of what one thread takes at a time."""

_REACH = SSIM_WINDOW_PX - 1


def ssim_of_squares(
    read: ReadPair,
    corners: npt.NDArray[np.integer],
    side_px: int,
    *,
    block_px: tuple[int, int] = (1024, 1024),
    threads: int = 1,
) -> npt.NDArray[np.float64]:
    """SSIM of the two images on each square, as `similarity.ssim_rgb` defines it.

    Parameters
    ----------
    read : the images; called for rectangles no larger than a block, each lying in one, by all
        threads at the same time.
    corners : (N, 2) x and y of the squares' top-left corners; squares may overlap.
    side_px : of all squares, at least 7.
    block_px : width and height of the blocks, whose corners are multiples of them: multiples of the
        files' own tiles, so that none is decoded twice. Memory is 12 bytes a pixel of a block and
        thread, and 36 bytes a column of the images.
    threads : that read and compute at the same time, each on a strip of eight blocks' columns;
        along the strips' seams a block's first columns are read twice.

    Returns
    -------
    (N,) float64 in [-1, 1]

    Raises
    ------
    ValueError
        If the squares are smaller than a window.
    """
    if side_px < SSIM_WINDOW_PX:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW_PX} px a side, got {side_px}")
    corners = np.asarray(corners, dtype=np.int64).reshape(-1, 2)
    if not len(corners):
        return np.zeros(0)
    seams = _seams(corners[:, 0], side_px, block_px[0])
    strips = [_Strip(read, corners, side_px, *seam) for seam in itertools.pairwise(seams)]
    if min(threads, len(strips)) == 1:
        sums = [strip.sums(block_px) for strip in strips]
    else:
        with thread_pool(threads) as pool:
            sums = list(pool.map(lambda strip: strip.sums(block_px), strips))
    windows = side_px - _REACH
    return np.sum(sums, axis=0) / (3 * windows * windows)


class _Strip:
    """The windows of SSIM whose first column lies in [`left`, `right`), read block by block.

    Blocks are read from left to right and from top to bottom; the last columns and rows of those
    before are kept, for the windows that straddle two blocks.
    """

    def __init__(
        self,
        read: ReadPair,
        corners: npt.NDArray[np.int64],
        side_px: int,
        left: int,
        right: int,
    ) -> None:
        self._read = read
        self._windows = side_px - _REACH
        self._inside = (corners[:, 0] < right) & (corners[:, 0] + self._windows > left)
        self._corners = corners
        self._side_px = side_px
        self._left, self._right = left, right

    def sums(self, block_px: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Similarity summed over the strip's windows in each square; (N,)."""
        found = np.zeros(len(self._corners))
        if not self._inside.any():
            return found
        tops = self._corners[:, 1]
        width = self._right + _REACH - self._left
        above = [np.zeros((_REACH, width, 3), np.uint8) for _ in range(2)]
        for top, bottom in _cut(tops[self._inside], self._side_px, block_px[1]):
            in_band = self._inside & (tops < bottom) & (tops + self._side_px > top)
            for start, stop in _runs(self._corners[in_band, 0], self._side_px):
                run = max(start, self._left), min(stop, self._right + _REACH)
                self._add_run(
                    found, np.flatnonzero(in_band), run, (top, bottom), block_px[0], above
                )
        return found

    def _add_run(
        self,
        found: npt.NDArray[np.float64],
        squares: npt.NDArray[np.intp],
        columns: tuple[int, int],
        rows: tuple[int, int],
        block_width: int,
        above: list[RgbImage],
    ) -> None:
        """Add the windows that end in a rectangle; `above`, the rows over it, is replaced."""
        top, bottom = rows
        ends: list[_Part] = []
        for left, right in _blocks(*columns, block_width):
            where = slice(left - self._left, right - self._left)
            pixels = self._read(left, top, right - left, bottom - top)
            parts = [
                _Part(over[:, where].copy(), np.ascontiguousarray(image))
                for over, image in zip(above, pixels, strict=True)
            ]
            origin = (left, top - _REACH)
            narrow = right - left < _REACH
            if ends:
                seam = [end.beside(part) for end, part in zip(ends, parts, strict=True)]
                self._add(found, squares, seam, (left - ends[0].above.shape[1], origin[1]))
                ends = [part.end() for part in (seam if narrow else parts)]
            else:
                ends = [part.end() for part in parts]
            self._add(found, squares, parts, origin)
            for over, part in zip(above, parts, strict=True):
                over[:, where] = np.concatenate([part.above, part.image[-_REACH:]])[-_REACH:]

    def _add(
        self,
        found: npt.NDArray[np.float64],
        squares: npt.NDArray[np.intp],
        parts: Sequence[_Part],
        origin: tuple[int, int],
    ) -> None:
        """Add what the windows in a part of the images give to the squares that hold them.

        Windows that reach above what a square has been read of are no square's: its windows begin
        at its own top.
        """
        lefts, tops = (self._corners[squares, axis] - origin[axis] for axis in range(2))
        last = parts[0].image.shape[1] - _REACH
        borders = np.concatenate([lefts, lefts + self._windows])
        for start, stop in itertools.pairwise(_ends(borders, 0, last)) if last > 0 else ():
            holds = (lefts <= start) & (stop <= lefts + self._windows)
            if not holds.any():
                continue
            first, second = parts
            totals = ssim_row_sums(
                first.image, second.image, start, stop, above=(first.above, second.above)
            )
            for square, top in zip(squares[holds], tops[holds], strict=True):
                found[square] += totals[max(0, top) : max(0, top + self._windows)].sum()


class _Part(NamedTuple):
    """A rectangle of one image, and the rows above it that windows reach into."""

    above: RgbImage
    image: RgbImage

    def end(self) -> _Part:
        """The last columns, which windows share with what lies to the right."""
        return _Part(*(rows[:, -_REACH:].copy() for rows in self))

    def beside(self, right: _Part) -> _Part:
        """These columns and the first of another part: the windows that straddle the two."""
        return _Part(
            *(np.concatenate([a, b[:, :_REACH]], axis=1) for a, b in zip(self, right, strict=True))
        )


def _seams(lefts: npt.NDArray[np.int64], side_px: int, block_width: int) -> list[int]:
    """Borders of the strips, whatever the number of threads: sums differ in no last bit."""
    first, last = int(lefts.min()), int(lefts.max()) + side_px - _REACH
    width = STRIP_BLOCKS * block_width
    return _ends(np.arange(first // width + 1, last // width + 1) * width, first, last)


def _cut(starts: npt.NDArray[np.int64], side_px: int, block_px: int) -> Iterator[tuple[int, int]]:
    """Ends of the blocks that squares lie in, along one axis, cut to the squares."""
    for block in range(
        int(starts.min()) // block_px, (int(starts.max()) + side_px - 1) // block_px + 1
    ):
        inside = starts[(starts < (block + 1) * block_px) & (starts + side_px > block * block_px)]
        if len(inside):
            yield (
                max(block * block_px, int(inside.min())),
                min((block + 1) * block_px, int(inside.max()) + side_px),
            )


def _runs(lefts: npt.NDArray[np.int64], side_px: int) -> Iterator[tuple[int, int]]:
    """Start and end of the columns under squares; touching squares share a run."""
    starts = np.unique(lefts)
    apart = np.flatnonzero(np.diff(starts) > side_px) + 1
    for together in np.split(starts, apart):
        yield int(together[0]), int(together[-1]) + side_px


def _blocks(start: int, stop: int, block_width: int) -> Iterator[tuple[int, int]]:
    """Columns of the blocks in [start, stop)."""
    yield from itertools.pairwise(
        _ends(np.arange(start // block_width, stop // block_width + 1) * block_width, start, stop)
    )


def _ends(cuts: npt.NDArray[np.int64], first: int, last: int) -> list[int]:
    """Sorted ends of the pieces that cuts make of [first, last)."""
    within = cuts[(cuts > first) & (cuts < last)]
    return [first, *np.unique(within).tolist(), last]
