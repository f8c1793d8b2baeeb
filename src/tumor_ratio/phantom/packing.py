"""Keeps nuclei from lying in one another: random sequential placement in three dimensions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tumor_ratio.phantom.compiled import compiled

CELL_UM = 8.0
Points = npt.NDArray[np.float64]


@compiled
def settle(
    xyz: Points,
    radius: npt.NDArray[np.float64],
    moves: Points,
    reach_um: npt.NDArray[np.float64],
    tolerated: float,
) -> npt.NDArray[np.bool_]:
    """Move each nucleus in turn, in place, to where it overlaps least with those before it.

    Parameters
    ----------
    xyz : (N, 3) positions in um, moved in place (x and y only: depth stays uniform).
    radius : (N,) radii of the spheres that stand for the nuclei.
    moves : (N, tries, 2) candidate moves in units of `reach_um`; the first should be 0.
    tolerated : overlap, as a share of the two radii, up to which a nucleus is kept.

    Returns
    -------
    (N,) bool
        Whether the nucleus found a place.
    """
    n = len(radius)
    kept = np.zeros(n, np.bool_)
    if n == 0:
        return kept
    x_low = xyz[:, 0].min() - 2 * CELL_UM
    y_low = xyz[:, 1].min() - 2 * CELL_UM
    n_columns = int((xyz[:, 0].max() - x_low) / CELL_UM) + 5
    n_rows = int((xyz[:, 1].max() - y_low) / CELL_UM) + 5
    head = np.full(n_rows * n_columns, -1, np.int64)
    after = np.full(n, -1, np.int64)
    tries = moves.shape[1]
    for i in range(n):
        best, best_x, best_y = np.inf, xyz[i, 0], xyz[i, 1]
        for attempt in range(tries):
            x = xyz[i, 0] + moves[i, attempt, 0] * reach_um[i]
            y = xyz[i, 1] + moves[i, attempt, 1] * reach_um[i]
            column = min(max(int((x - x_low) / CELL_UM), 2), n_columns - 3)
            row = min(max(int((y - y_low) / CELL_UM), 2), n_rows - 3)
            worst = 0.0
            for r in range(row - 2, row + 3):
                for c in range(column - 2, column + 3):
                    j = head[r * n_columns + c]
                    while j >= 0:
                        d2 = (
                            (x - xyz[j, 0]) ** 2
                            + (y - xyz[j, 1]) ** 2
                            + (xyz[i, 2] - xyz[j, 2]) ** 2
                        )
                        apart = radius[i] + radius[j]
                        if d2 < apart * apart:
                            worst = max(worst, 1.0 - np.sqrt(d2) / apart)
                        j = after[j]
                if worst > best:
                    break
            if worst < best:
                best, best_x, best_y = worst, x, y
            if best <= 0.0:
                break
        if best <= tolerated:
            kept[i] = True
            xyz[i, 0], xyz[i, 1] = best_x, best_y
            column = min(max(int((best_x - x_low) / CELL_UM), 2), n_columns - 3)
            row = min(max(int((best_y - y_low) / CELL_UM), 2), n_rows - 3)
            after[i] = head[row * n_columns + column]
            head[row * n_columns + column] = i
    return kept
