"""SSIM of many squares of one image pair, however they overlap: every pixel is read once.

The images are read in bands over the squares that lie there. A window of SSIM belongs to every
square that holds it whole, so sums over the windows of a row, between the squares' borders, add up
to each square's mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.ssim_sums import SSIM_WINDOW_PX, ssim_row_sums

ReadPair = Callable[[int, int, int, int], tuple[RgbImage, RgbImage]]
"""`read(x, y, width, height)` gives that rectangle of both images, (height, width, 3) uint8."""

PIECE_PX = 2048
"""Widest piece that one thread takes at a time."""

_REACH = SSIM_WINDOW_PX - 1


def ssim_of_squares(
    read: ReadPair,
    corners: npt.NDArray[np.integer],
    side_px: int,
    *,
    band_px: int = 1024,
    threads: int = 1,
) -> npt.NDArray[np.float64]:
    """SSIM of the two images on each square, as `similarity.ssim_rgb` defines it.

    Parameters
    ----------
    read : the images; called for disjoint rectangles, from top to bottom, in one thread.
    corners : (N, 2) x and y of the squares' top-left corners; squares may overlap.
    side_px : of all squares, at least 7.
    band_px : height of the rectangles, whose tops are multiples of it: a multiple of the files'
        own tiles, so that none is decoded twice. Memory is 12 bytes x `band_px` x width.
    threads : that compute at the same time.

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
    sums = np.zeros(len(corners))
    if not len(corners):
        return sums
    left, right = int(corners[:, 0].min()), int(corners[:, 0].max()) + side_px
    kept = [np.zeros((_REACH, right - left, 3), np.uint8) for _ in range(2)]
    with ThreadPoolExecutor(threads) as pool:
        for top, bottom in _bands(corners[:, 1], side_px, band_px):
            in_band = np.flatnonzero((corners[:, 1] < bottom) & (corners[:, 1] + side_px > top))
            for start, stop in _runs(corners[in_band, 0], side_px):
                columns = slice(start - left, stop - left)
                images = [
                    np.concatenate([above[:, columns], band])
                    for above, band in zip(
                        kept, read(start, top, stop - start, bottom - top), strict=True
                    )
                ]
                for above, image in zip(kept, images, strict=True):
                    above[:, columns] = image[-_REACH:]
                inside = in_band[(corners[in_band, 0] >= start) & (corners[in_band, 0] < stop)]
                _add(sums, inside, corners, side_px, images, (start, top - _REACH), pool)
    windows = side_px - _REACH
    return sums / (3 * windows * windows)


def _add(
    sums: npt.NDArray[np.float64],
    squares: npt.NDArray[np.intp],
    corners: npt.NDArray[np.int64],
    side_px: int,
    images: Sequence[RgbImage],
    origin: tuple[int, int],
    pool: ThreadPoolExecutor,
) -> None:
    """Add what a rectangle's windows give to the squares that hold them.

    Windows that reach above what a square has been read of are no square's: its windows begin at
    its own top.
    """
    x0, y0 = origin
    first, second = images
    width = first.shape[1]
    windows = side_px - _REACH
    lefts = corners[squares, 0] - x0
    tops = corners[squares, 1] - y0
    pieces = list(_pieces(np.concatenate([lefts, lefts + windows]), width - _REACH))
    rows = pool.map(lambda piece: ssim_row_sums(first, second, *piece), pieces)
    for (start, stop), totals in zip(pieces, rows, strict=True):
        for square, left, top in zip(squares, lefts, tops, strict=True):
            if left <= start and stop <= left + windows:
                sums[square] += totals[max(0, top) : max(0, top + windows)].sum()


def _bands(tops: npt.NDArray[np.int64], side_px: int, band_px: int) -> Iterator[tuple[int, int]]:
    """Top and bottom of the bands that squares lie in, cut to the squares."""
    for band in range(int(tops.min()) // band_px, (int(tops.max()) + side_px - 1) // band_px + 1):
        inside = tops[(tops < (band + 1) * band_px) & (tops + side_px > band * band_px)]
        if len(inside):
            yield (
                max(band * band_px, int(inside.min())),
                min((band + 1) * band_px, int(inside.max()) + side_px),
            )


def _runs(lefts: npt.NDArray[np.int64], side_px: int) -> Iterator[tuple[int, int]]:
    """Start and end of the columns under squares; touching squares share a run."""
    starts = np.unique(lefts)
    apart = np.flatnonzero(np.diff(starts) > side_px) + 1
    for together in np.split(starts, apart):
        yield int(together[0]), int(together[-1]) + side_px


def _pieces(borders: npt.NDArray[np.int64], end: int) -> Iterator[tuple[int, int]]:
    """Cut the columns [0, end) at the borders, and long pieces into shorter ones."""
    cuts = np.unique(np.concatenate([borders, [0, end]]))
    cuts = cuts[(cuts >= 0) & (cuts <= end)].tolist()
    for start, stop in itertools.pairwise(cuts):
        n = -(-(stop - start) // PIECE_PX)
        edges = [start + (stop - start) * i // n for i in range(n + 1)]
        yield from itertools.pairwise(edges)
