"""Which rows of a table of things on a section a block has to look at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

REACH_UM = 32.0
"""No profile, cell body, lumen or disc in the tables reaches further than this."""
Table = npt.NDArray[np.float32]
"""(N, ...) float32, x and y in um first, sorted by y."""


def rows_near(
    table: Table, left: int, top: int, shape: tuple[int, int], mpp: float
) -> npt.NDArray[np.intp]:
    """Rows (sorted by y) that may touch the block, in their order.

    Parameters
    ----------
    table : see `Table`.
    left, top : the block's corner, pixels of the slide.
    shape : the block's rows and columns.
    mpp : micrometres per pixel.
    """
    y_low, y_high = top * mpp - REACH_UM, (top + shape[0]) * mpp + REACH_UM
    start, stop = np.searchsorted(table[:, 1], [y_low, y_high])
    x = table[start:stop, 0]
    inside = (x > left * mpp - REACH_UM) & (x < (left + shape[1]) * mpp + REACH_UM)
    return np.flatnonzero(inside) + start


def near(table: Table, left: int, top: int, shape: tuple[int, int], mpp: float) -> Table:
    """Those rows themselves."""
    return table[rows_near(table, left, top, shape, mpp)]
