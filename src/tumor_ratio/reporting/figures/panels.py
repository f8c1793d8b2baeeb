"""A grid of panels, one an approach, that all look the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from tumor_ratio.reporting.figures import style

MOST_COLUMNS = 4
SIDE_IN = 2.7

Points = tuple[ArrayLike, ArrayLike]
"""Places to the right and up."""


def panel_grid(
    names: Sequence[str], *, x_label: str, y_label: str
) -> tuple[Figure, Iterator[tuple[str, Axes]]]:
    """A figure with a titled panel for each name, at most four in a row, on shared axes.

    Parameters
    ----------
    names : titles of the panels, at least one.
    x_label, y_label : under the lowest and left of the first panels.

    Returns
    -------
    figure, panels
        The panels with their names, in order.
    """
    columns = min(len(names), MOST_COLUMNS)
    rows = math.ceil(len(names) / columns)
    figure = style.new_figure(SIDE_IN * columns, (SIDE_IN + 0.15) * rows + 0.25)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(y_label, fontsize=8)
    for index, (name, axes) in enumerate(zip(names, grid.flat, strict=False)):
        style.plain_axes(axes)
        axes.set_title(name, fontsize=10, color=style.INK, loc="left", fontweight="bold")
        if index + columns >= len(names):
            axes.set_xlabel(x_label, fontsize=8)
            axes.tick_params(labelbottom=True)
    return figure, iter(list(zip(names, grid.flat, strict=False)))


def ratio_limits(*values: ArrayLike) -> tuple[float, float]:
    """Ends of an axis of ratios: 0 and 1 with some room, further out where a value lies there."""
    every = np.concatenate([[0.0, 1.0], *(np.ravel(np.asarray(v, np.float64)) for v in values)])
    every = every[np.isfinite(every)]
    return float(every.min()) - 0.02, float(every.max()) + 0.02


def dots_and_rings(axes: Axes, regions: Points, slides: Points, colour: str) -> None:
    """Regions as dots, the paler the more there are; slides as rings above them."""
    alpha = min(0.8, max(0.12, 60 / max(np.size(regions[0]), 1)))
    axes.scatter(
        *regions, s=9, color=colour, alpha=alpha, linewidths=0, zorder=2, label="region",
        rasterized=True,
    )  # fmt: skip
    axes.scatter(
        *slides, s=46, facecolors="none", edgecolors=style.INK, linewidths=1.3, zorder=4,
        label="slide",
    )  # fmt: skip
