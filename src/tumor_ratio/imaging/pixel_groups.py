"""64 neighbouring pixels at a time: 4 rows of 16, each value of theirs side by side.

So a comparison of a feature with a threshold is a few vector instructions for the whole group, and
neighbours, being alike, take the same way through a decision tree.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

GROUP_ROWS = 4
GROUP_COLUMNS = 16
GROUP_PX = GROUP_ROWS * GROUP_COLUMNS


def rows_to_groups(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, F) as (G, F, 64): each group 64 consecutive rows, the last one filled up with zeros."""
    n_rows, n_features = features.shape
    groups = np.zeros((-(-n_rows // GROUP_PX), n_features, GROUP_PX), dtype=np.float32)
    whole = n_rows // GROUP_PX
    groups[:whole] = (
        features[: whole * GROUP_PX].reshape(whole, GROUP_PX, n_features).transpose(0, 2, 1)
    )
    groups[whole:, :, : n_rows - whole * GROUP_PX] = features[whole * GROUP_PX :].T
    return groups


@numba.njit(inline="always")
def put_row(groups, column, y, row):  # type: ignore[no-untyped-def]  # compiled
    """Write row `y` of a tile into its groups (G, F, 64), as feature `column`.

    The row's length is a multiple of 16; its memory, and that of a group, is contiguous.
    """
    across = row.size // GROUP_COLUMNS
    first = y // GROUP_ROWS * across
    start = y % GROUP_ROWS * GROUP_COLUMNS
    for index in range(across):
        _copy_row(groups[first + index, column, start:], row[index * GROUP_COLUMNS :])


@intrinsic  # type: ignore[untyped-decorator]
def _copy_row(typingctx, target, source):  # type: ignore[no-untyped-def]  # compiled
    """Copy 16 contiguous float32 at once; the compiler would make a loop of it."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = ir.VectorType(ir.FloatType(), GROUP_COLUMNS).as_pointer()
        to, source_pointer = (
            builder.bitcast(context.make_array(kind)(context, builder, value).data, vector)
            for kind, value in zip(signature.args, arguments, strict=True)
        )
        builder.store(builder.load(source_pointer, align=4), to, align=4)
        return context.get_dummy_value()

    return types.void(target, source), generate


@numba.njit(cache=True, nogil=True)
def ungroup(groups: NDArray[Any], across: int, out: NDArray[Any]) -> None:
    """Write a tile's groups back as an image.

    Parameters
    ----------
    groups : (G, F, 64), row by row.
    across : groups in a row.
    out : (h, w, F), the tile's pixels or the first rows and columns of them.
    """
    height, width, n_features = out.shape
    for y in range(height):
        for x in range(width):
            group = groups[y // GROUP_ROWS * across + x // GROUP_COLUMNS]
            inside = y % GROUP_ROWS * GROUP_COLUMNS + x % GROUP_COLUMNS
            for feature in range(n_features):
                out[y, x, feature] = group[feature, inside]
