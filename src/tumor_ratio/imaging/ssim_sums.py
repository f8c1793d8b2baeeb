"""Sums of structural similarity over windows, compiled: the inner loops of the study's SSIM.

Every loop runs over one contiguous row and writes one array, so that the compiler makes vector
instructions of it: some six times faster than one loop over windows. Sums over a window are whole
numbers under 2^23, which float32 holds exactly; only the last formula is computed in float64.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

CHANNELS = 3
SSIM_WINDOW_PX = 7
SSIM_C1 = (0.01 * 255) ** 2
SSIM_C2 = (0.03 * 255) ** 2

CHUNK_SAMPLES = 3072
"""Samples (pixels x channels) whose running sums are kept at a time: they fit a core's cache."""

# No check for a division by zero: the constants keep every denominator positive.
_compiled = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")


def ssim_row_sums(
    first: npt.NDArray[np.uint8],
    second: npt.NDArray[np.uint8],
    left: int = 0,
    right: int | None = None,
) -> Any:
    """SSIM summed over the windows of each row.

    Parameters
    ----------
    first, second : (H, W, 3) uint8, C-contiguous, equal shapes, at least 7 px a side.
    left, right : the windows whose first column lies in [left, right); by default all.

    Returns
    -------
    (H - 6,) float64
        Entry r: the sum over the three channels and the chosen windows of 7 x 7 px whose top row
        is r. Threads may call it at the same time (no GIL is held).
    """
    last = first.shape[1] - SSIM_WINDOW_PX + 1
    return _row_sums(first, second, left, last if right is None else min(right, last))


@_compiled
def _row_sums(first, second, left, right):  # type: ignore[no-untyped-def]  # compiled
    height, width, _ = first.shape
    x, y = first.reshape(height, width * CHANNELS), second.reshape(height, width * CHANNELS)
    end = right * CHANNELS
    totals = np.zeros(height - SSIM_WINDOW_PX + 1, np.float64)
    for start in range(left * CHANNELS, end, CHUNK_SAMPLES):
        _add_chunk(x, y, start, min(end, start + CHUNK_SAMPLES), totals)
    return totals


@_compiled
def _add_chunk(x, y, start, stop, totals):  # type: ignore[no-untyped-def]  # compiled
    n = stop - start
    end = stop + (SSIM_WINDOW_PX - 1) * CHANNELS
    columns = np.zeros((4, end - start), np.float32)  # over 7 rows: x, y, xx + yy, xy
    sums = np.zeros((4, n), np.float32)  # over 7 rows and 7 columns
    similarity = np.zeros(n, np.float64)
    nothing = np.zeros(end - start, np.uint8)
    for row in range(x.shape[0]):
        x_in, y_in = x[row, start:end], y[row, start:end]
        x_out, y_out = nothing, nothing
        if row >= SSIM_WINDOW_PX:
            x_out, y_out = x[row - SSIM_WINDOW_PX, start:end], y[row - SSIM_WINDOW_PX, start:end]
        _slide(columns[0], x_in, x_out)
        _slide(columns[1], y_in, y_out)
        _slide_squares(columns[2], x_in, y_in, x_out, y_out)
        _slide_products(columns[3], x_in, y_in, x_out, y_out)
        if row >= SSIM_WINDOW_PX - 1:
            for which in range(4):
                _across(sums[which], columns[which])
            top = row - SSIM_WINDOW_PX + 1
            totals[top] += _similarity(similarity, sums[0], sums[1], sums[2], sums[3])


@_compiled
def _slide(column, new, old):  # type: ignore[no-untyped-def]  # compiled
    for i in range(column.size):
        column[i] += np.float32(new[i]) - np.float32(old[i])


@_compiled
def _slide_squares(column, x, y, x_old, y_old):  # type: ignore[no-untyped-def]  # compiled
    for i in range(column.size):
        a, b, c, d = np.float32(x[i]), np.float32(y[i]), np.float32(x_old[i]), np.float32(y_old[i])
        column[i] += a * a + b * b - c * c - d * d


@_compiled
def _slide_products(column, x, y, x_old, y_old):  # type: ignore[no-untyped-def]  # compiled
    for i in range(column.size):
        a, b, c, d = np.float32(x[i]), np.float32(y[i]), np.float32(x_old[i]), np.float32(y_old[i])
        column[i] += a * b - c * d


@_compiled
def _across(total, column):  # type: ignore[no-untyped-def]  # compiled
    k = CHANNELS  # a constant: an index that might be negative would be checked at every turn
    for i in range(total.size):
        total[i] = (
            column[i]
            + column[i + k]
            + column[i + 2 * k]
            + column[i + 3 * k]
            + column[i + 4 * k]
            + column[i + 5 * k]
            + column[i + 6 * k]
        )


@_compiled
def _similarity(out, sum_x, sum_y, sum_squares, sum_products):  # type: ignore[no-untyped-def]  # compiled
    n = np.float64(SSIM_WINDOW_PX * SSIM_WINDOW_PX)
    c1 = np.float64(SSIM_C1 * n * n)
    c2 = np.float64(SSIM_C2 * n * (n - 1))  # the sample covariance divides by n - 1
    for i in range(out.size):
        x, y = np.float64(sum_x[i]), np.float64(sum_y[i])
        xy, squares = x * y, x * x + y * y
        covariance = n * np.float64(sum_products[i]) - xy
        variances = n * np.float64(sum_squares[i]) - squares
        out[i] = ((2 * xy + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))
    total = 0.0
    for i in range(out.size):
        total += out[i]
    return total
