"""The filters of ilastik's feature table on one small tile, compiled.

Every loop runs over contiguous rows, so that the compiler makes vector instructions of it, and
every pixel's arithmetic is the same wherever a tile begins: tiles agree to the last bit.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.pixel_groups import put_row

TILE_ROWS = 32
TILE_COLUMNS = 128

MARGIN_PX = 3
"""Pixels around a tile that its filters reach: 1 for the structure tensor's derivatives and 2 for
its smoothing."""

N_WORK_PLANES = 8

# Rows of a plan's taps, one half kernel each, filled with zeros to three weights.
_SMOOTH, _FIRST, _SECOND, _NARROW, _INNER_SMOOTH, _INNER_FIRST = range(6)
N_KERNELS = 6

# Rows of a plan's columns, in the order of `feature_selection.FEATURE_IDS`.
_SMOOTHING, _LAPLACIAN, _GRADIENT, _DIFFERENCE, _STRUCTURE, _HESSIAN = range(6)

# Only a product and a sum may be fused: anything else could depend on a pixel's place in a row.
_inlined = numba.njit(inline="always", nogil=True, fastmath={"contract"})
_compiled = numba.njit(cache=True, nogil=True, fastmath={"contract"})


def work_planes() -> NDArray[np.float32]:
    """Room for `filter_tile`, to be used by one thread."""
    return np.empty(
        (N_WORK_PLANES, TILE_ROWS + 2 * MARGIN_PX, TILE_COLUMNS + 2 * MARGIN_PX), dtype=np.float32
    )


@_compiled
def smooth_plane(
    plane: NDArray[Any], half: NDArray[Any], between: NDArray[Any], out: NDArray[Any]
) -> None:
    """Smooth a plane with a separable kernel, along rows and then along columns.

    Parameters
    ----------
    plane : (h + 2 r, w + 2 r) float32.
    half : (r + 1,) float32, see `half_kernel`.
    between : at least (h + 2 r, w), room.
    out : (h, w).
    """
    height, width = out.shape
    radius = half.size - 1
    for y in range(height + 2 * radius):
        target = between[y, :width]
        _weigh(plane[y, radius : radius + width], half[0], target)
        for k in range(1, half.size):
            left = plane[y, radius - k : radius - k + width]
            right = plane[y, radius + k : radius + k + width]
            _add_pair(left, right, half[k], target)
    for y in range(height):
        target = out[y]
        _weigh(between[y + radius, :width], half[0], target)
        for k in range(1, half.size):
            _add_pair(
                between[y + radius - k, :width], between[y + radius + k, :width], half[k], target
            )


@_compiled
def _weigh(row, weight, out):  # type: ignore[no-untyped-def]  # compiled
    for i in range(out.size):
        out[i] = weight * row[i]


@_compiled
def _add_pair(left, right, weight, out):  # type: ignore[no-untyped-def]  # compiled
    for i in range(out.size):
        out[i] += weight * (left[i] + right[i])


@_compiled
def filter_tile(
    smoothed: NDArray[Any],
    top: int,
    left: int,
    taps: NDArray[Any],
    columns: NDArray[Any],
    mirrored_y: NDArray[Any],
    mirrored_x: NDArray[Any],
    work: NDArray[Any],
    groups: NDArray[Any],
) -> None:
    """All selected features of one tile.

    Parameters
    ----------
    smoothed : (C, S, Hb + 6, Wb + 6) float32; a block smoothed for each scale, with `MARGIN_PX`
        pixels around it, which beyond the image's border are its mirror image.
    top, left : the tile's corner in the block.
    taps : (S, 6, 3) float32, half kernels.
    columns : (6, S, C) int, each filter's first column; -1 where it is not selected.
    mirrored_y, mirrored_x : (h + 4,), (w + 4,) float32, from two pixels before the tile on: 1, or
        -1 where the smoothed image is a mirror image along that axis. h and w are the tile's.
    work : `work_planes()`.
    groups : (h / 4 * w / 16, F, 64) float32, see `pixel_groups`.
    """
    height, width = mirrored_y.size - 4, mirrored_x.size - 4
    for channel in range(smoothed.shape[0]):
        for scale in range(smoothed.shape[1]):
            tile = smoothed[channel, scale, top : top + height + 6, left : left + width + 6]
            found = columns[:, scale, channel]
            _filter_plainly(tile, taps[scale], found, work, groups)
            if found[_STRUCTURE] >= 0:
                _structure(
                    tile, taps[scale], found[_STRUCTURE], mirrored_y, mirrored_x, work, groups
                )


@_compiled
def _filter_plainly(tile, taps, columns, work, groups):  # type: ignore[no-untyped-def]  # compiled
    """All but the structure tensor: sums of products of derivatives along rows and columns."""
    height, width = tile.shape[0] - 6, tile.shape[1] - 6
    smoothing, laplacian, gradient = columns[_SMOOTHING], columns[_LAPLACIAN], columns[_GRADIENT]
    difference, hessian = columns[_DIFFERENCE], columns[_HESSIAN]
    curved = laplacian >= 0 or hessian >= 0
    smooth, first, second, narrow = work[0], work[1], work[2], work[3]
    for y in range(height + 4):
        row = tile[y + 1, 1 : width + 5]
        if curved or smoothing >= 0 or gradient >= 0 or difference >= 0:
            _even_along(row, taps[_SMOOTH], smooth[y, :width])
        if hessian >= 0 or gradient >= 0:
            _odd_along(row, taps[_FIRST], first[y, :width])
        if curved:
            _even_along(row, taps[_SECOND], second[y, :width])
        if difference >= 0:
            _even_along(row, taps[_NARROW], narrow[y, :width])
    a, b, c, d, e = (
        work[4, 0, :width],
        work[4, 1, :width],
        work[4, 2, :width],
        work[4, 3, :width],
        work[4, 4, :width],
    )
    for y in range(height):
        if smoothing >= 0 or difference >= 0:
            _even_down(smooth, y, taps[_SMOOTH], a)
        if smoothing >= 0:
            put_row(groups, smoothing, y, a)
        if difference >= 0:
            _even_down(narrow, y, taps[_NARROW], b)
            _subtract(a, b, c)
            put_row(groups, difference, y, c)
        if gradient >= 0:
            _even_down(first, y, taps[_SMOOTH], a)
            _odd_down(smooth, y, taps[_FIRST], b)
            _length(a, b, c)
            put_row(groups, gradient, y, c)
        if curved:
            _even_down(second, y, taps[_SMOOTH], a)
            _even_down(smooth, y, taps[_SECOND], b)
        if laplacian >= 0:
            _add(a, b, c)
            put_row(groups, laplacian, y, c)
        if hessian >= 0:
            _odd_down(first, y, taps[_FIRST], c)
            _eigenvalues(a, b, c, d, e)
            put_row(groups, hessian, y, d)
            put_row(groups, hessian + 1, y, e)


@_compiled
def _structure(tile, taps, column, mirrored_y, mirrored_x, work, groups):  # type: ignore[no-untyped-def]  # compiled
    height, width = tile.shape[0] - 6, tile.shape[1] - 6
    wide = width + 4
    slope, level = work[0], work[1]
    for y in range(height + 6):
        before, here, after = tile[y, :wide], tile[y, 1 : wide + 1], tile[y, 2 : wide + 2]
        _odd3(before, after, taps[_INNER_FIRST, 1], slope[y, :wide])
        weights = taps[_INNER_SMOOTH]
        _even3(before, here, after, weights[0], weights[1], level[y, :wide])
    dx, dy, product = work[2, 0, :wide], work[2, 1, :wide], work[2, 2, :wide]
    xx, yy, xy = work[3], work[4], work[5]
    smoothing = taps[_SMOOTH]
    for y in range(height + 4):
        weights = taps[_INNER_SMOOTH]
        _even3(
            slope[y, :wide],
            slope[y + 1, :wide],
            slope[y + 2, :wide],
            weights[0],
            weights[1],
            dx,
        )
        _odd3(level[y, :wide], level[y + 2, :wide], taps[_INNER_FIRST, 1], dy)
        _multiply(dx, dx, product)
        _even_along(product, smoothing, xx[y, :width])
        _multiply(dy, dy, product)
        _even_along(product, smoothing, yy[y, :width])
        # The products are mirrored at the image's border, not the derivatives: a derivative's sign
        # changes in the mirror image of the pixels, and must not.
        _multiply(dx, dy, product)
        _multiply_by(product, mirrored_x, mirrored_y[y])
        _even_along(product, smoothing, xy[y, :width])
    a, b, c, d, e = (
        work[6, 0, :width],
        work[6, 1, :width],
        work[6, 2, :width],
        work[6, 3, :width],
        work[6, 4, :width],
    )
    for y in range(height):
        _even_down(xx, y, smoothing, a)
        _even_down(yy, y, smoothing, b)
        _even_down(xy, y, smoothing, c)
        _eigenvalues(a, b, c, d, e)
        put_row(groups, column, y, d)
        put_row(groups, column + 1, y, e)


@_inlined
def _even_along(row, half, out):  # type: ignore[no-untyped-def]  # compiled
    n = out.size
    _even5(row[:n], row[1 : n + 1], row[2 : n + 2], row[3 : n + 3], row[4 : n + 4], half, out)


@_inlined
def _odd_along(row, half, out):  # type: ignore[no-untyped-def]  # compiled
    n = out.size
    _odd5(row[:n], row[1 : n + 1], row[3 : n + 3], row[4 : n + 4], half, out)


@_inlined
def _even_down(plane, y, half, out):  # type: ignore[no-untyped-def]  # compiled
    n = out.size
    _even5(
        plane[y, :n],
        plane[y + 1, :n],
        plane[y + 2, :n],
        plane[y + 3, :n],
        plane[y + 4, :n],
        half,
        out,
    )


@_inlined
def _odd_down(plane, y, half, out):  # type: ignore[no-untyped-def]  # compiled
    n = out.size
    _odd5(plane[y, :n], plane[y + 1, :n], plane[y + 3, :n], plane[y + 4, :n], half, out)


@_inlined
def _even5(a, b, c, d, e, half, out):  # type: ignore[no-untyped-def]  # compiled
    w0, w1, w2 = half[0], half[1], half[2]
    for i in range(out.size):
        out[i] = w0 * c[i] + w1 * (b[i] + d[i]) + w2 * (a[i] + e[i])


@_inlined
def _odd5(a, b, d, e, half, out):  # type: ignore[no-untyped-def]  # compiled
    w1, w2 = half[1], half[2]
    for i in range(out.size):
        out[i] = w1 * (d[i] - b[i]) + w2 * (e[i] - a[i])


@_inlined
def _even3(b, c, d, w0, w1, out):  # type: ignore[no-untyped-def]  # compiled
    for i in range(out.size):
        out[i] = w0 * c[i] + w1 * (b[i] + d[i])


@_inlined
def _odd3(b, d, w1, out):  # type: ignore[no-untyped-def]  # compiled
    for i in range(out.size):
        out[i] = w1 * (d[i] - b[i])


@_inlined
def _add(a, b, out):  # type: ignore[no-untyped-def]  # compiled
    for i in range(out.size):
        out[i] = a[i] + b[i]


@_inlined
def _subtract(a, b, out):  # type: ignore[no-untyped-def]  # compiled
    for i in range(out.size):
        out[i] = a[i] - b[i]


@_inlined
def _multiply(a, b, out):  # type: ignore[no-untyped-def]  # compiled
    for i in range(out.size):
        out[i] = a[i] * b[i]


@_inlined
def _multiply_by(row, signs, sign):  # type: ignore[no-untyped-def]  # compiled
    for i in range(row.size):
        row[i] = row[i] * (signs[i] * sign)


@_inlined
def _length(a, b, out):  # type: ignore[no-untyped-def]  # compiled
    for i in range(out.size):
        out[i] = math.sqrt(a[i] * a[i] + b[i] * b[i])


@_inlined
def _eigenvalues(xx, yy, xy, larger, smaller):  # type: ignore[no-untyped-def]  # compiled
    half = np.float32(0.5)
    for i in range(larger.size):
        difference = half * (xx[i] - yy[i])
        spread = math.sqrt(difference * difference + xy[i] * xy[i])
        larger[i] = half * (xx[i] + yy[i]) + spread
        smaller[i] = half * (xx[i] + yy[i]) - spread
