"""Sums of structural similarity over windows, compiled: the inner loops of the study's SSIM.

Every loop runs over one contiguous row, so that the compiler makes vector instructions of it:
several times faster than one loop over windows. Sums over a window are whole numbers under 2^23,
which float32 holds exactly; only the last formula is computed in float64.
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
_OPTIONS = {"nogil": True, "fastmath": True, "error_model": "numpy"}
_compiled = numba.njit(cache=True, **_OPTIONS)
# One function is compiled, whatever a cache holds of it: no last bit differs between two runs.
_inlined = numba.njit(inline="always", **_OPTIONS)


def ssim_row_sums(
    first: npt.NDArray[np.uint8],
    second: npt.NDArray[np.uint8],
    left: int = 0,
    right: int | None = None,
    *,
    above: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None = None,
) -> Any:
    """SSIM summed over the windows of each row.

    Parameters
    ----------
    first, second : (H, W, 3) uint8, C-contiguous, equal shapes, at least 7 px wide.
    left, right : the windows whose first column lies in [left, right); by default all.
    above : rows that lie over `first` and `second`, (A, W, 3) uint8, C-contiguous; by default none.

    Returns
    -------
    (A + H - 6,) float64
        Entry r: the sum over the three channels and the chosen windows of 7 x 7 px whose top row
        is r, counted from the first row above. Threads may call it at the same time (no GIL is
        held).
    """
    if above is None:
        nothing = np.empty((0, *first.shape[1:]), np.uint8)
        above = (nothing, nothing)
    last = first.shape[1] - SSIM_WINDOW_PX + 1
    return _row_sums(*above, first, second, left, last if right is None else min(right, last))


@_compiled
def _row_sums(first_above, second_above, first, second, left, right):  # type: ignore[no-untyped-def]  # compiled
    x_above, y_above, x, y = _flat(first_above), _flat(second_above), _flat(first), _flat(second)
    end = right * CHANNELS
    totals = np.zeros(max(0, len(x_above) + len(x) - SSIM_WINDOW_PX + 1), np.float64)
    for start in range(left * CHANNELS, end, CHUNK_SAMPLES):
        _add_chunk(x_above, y_above, x, y, start, min(end, start + CHUNK_SAMPLES), totals)
    return totals


@_inlined
def _flat(rgb):  # type: ignore[no-untyped-def]  # compiled
    return rgb.reshape(rgb.shape[0], rgb.shape[1] * CHANNELS)


@_inlined
def _row(above, below, row, start, end):  # type: ignore[no-untyped-def]  # compiled
    if row < len(above):
        return above[row, start:end]
    return below[row - len(above), start:end]


@_inlined
def _add_chunk(x_above, y_above, x, y, start, stop, totals):  # type: ignore[no-untyped-def]  # compiled
    end = stop + (SSIM_WINDOW_PX - 1) * CHANNELS
    columns = np.zeros((4, end - start), np.float32)  # sums over 7 rows: x, y, xx + yy, xy
    x_out, y_out = np.zeros((2, end - start), np.uint8)
    for row in range(len(x_above) + len(x)):
        top = row - SSIM_WINDOW_PX + 1
        if top > 0:
            x_out = _row(x_above, x, top - 1, start, end)
            y_out = _row(y_above, y, top - 1, start, end)
        _slide(
            columns[0],
            columns[1],
            columns[2],
            columns[3],
            _row(x_above, x, row, start, end),
            _row(y_above, y, row, start, end),
            x_out,
            y_out,
        )
        if top >= 0:
            totals[top] += _similarity(columns[0], columns[1], columns[2], columns[3], stop - start)


@_inlined
def _slide(sum_x, sum_y, sum_squares, sum_products, x, y, x_out, y_out):  # type: ignore[no-untyped-def]  # compiled
    """Move the columns' sums down by a row: a row comes in, another goes out."""
    for i in range(sum_x.size):
        a, b = np.float32(x[i]), np.float32(y[i])
        c, d = np.float32(x_out[i]), np.float32(y_out[i])
        sum_x[i] += a - c
        sum_y[i] += b - d
        sum_squares[i] += a * a + b * b - c * c - d * d
        sum_products[i] += a * b - c * d


@_inlined
def _similarity(columns_x, columns_y, column_squares, column_products, count):  # type: ignore[no-untyped-def]  # compiled
    """Sum of the similarity over the first `count` windows of the columns' row."""
    n = np.float64(SSIM_WINDOW_PX * SSIM_WINDOW_PX)
    c1 = np.float64(SSIM_C1 * n * n)
    c2 = np.float64(SSIM_C2 * n * (n - 1))  # the sample covariance divides by n - 1
    total = 0.0
    for i in range(count):
        x, y = _across(columns_x, i), _across(columns_y, i)
        xy, squares = x * y, x * x + y * y
        covariance = n * _across(column_products, i) - xy
        variances = n * _across(column_squares, i) - squares
        total += ((2 * xy + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))
    return total


@_inlined
def _across(columns, i):  # type: ignore[no-untyped-def]  # compiled
    k = CHANNELS  # a constant: an index that might be negative would be checked at every turn
    return np.float64(
        columns[i]
        + columns[i + k]
        + columns[i + 2 * k]
        + columns[i + 3 * k]
        + columns[i + 4 * k]
        + columns[i + 5 * k]
        + columns[i + 6 * k]
    )
