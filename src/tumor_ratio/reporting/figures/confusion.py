"""Confusion matrices of the three bins, one panel an approach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tumor_ratio.reporting.figures import style

_SHADES = LinearSegmentedColormap.from_list("shares", ["#ffffff", "#2b6cb0"])


def draw_confusion(
    matrices: Mapping[str, NDArray[np.float64]],
    bin_names: Sequence[str],
    stamps: Sequence[str] = (),
) -> Figure:
    """Counts of regions; the shade is the share of the measured bin (row).

    Parameters
    ----------
    matrices : (B, B) counts by approach, measured bin by row, predicted bin by column.
    bin_names : the B bins' names.
    stamps : sentences under the figure.
    """
    shown = {name: matrix for name, matrix in matrices.items() if matrix.sum() > 0}
    if not shown:
        return style.message_figure("no test region was compared", stamps)
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    figure = style.new_figure(2.5 * columns + 0.4, 2.55 * rows + 0.25)
    grid = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(shown):
            axes.set_visible(False)
            continue
        name, matrix = list(shown.items())[index]
        totals = matrix.sum(axis=1, keepdims=True)
        shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
        axes.imshow(shares, cmap=_SHADES, vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(matrix):
            axes.text(
                column, row, f"{count:.0f}\n{shares[row, column]:.0%}", ha="center", va="center",
                fontsize=8, color="white" if shares[row, column] > 0.55 else style.INK,
            )  # fmt: skip
        axes.set_title(name, fontsize=10, color=style.INK, loc="left", fontweight="bold")
        axes.set_xticks(range(len(bin_names)), bin_names, fontsize=7)
        axes.set_yticks(range(len(bin_names)), bin_names, fontsize=7)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_color(style.GRID)
        if index % columns == 0:
            axes.set_ylabel("measured bin", fontsize=8)
        if index + columns >= len(shown):
            axes.set_xlabel("predicted bin", fontsize=8)
    style.stamp(figure, stamps)
    return figure
