"""What was measured where an approach predicted so much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style
from tumor_ratio.reporting.figures.panels import panel_grid, ratio_limits


def draw_calibration(
    bins: pd.DataFrame,
    table: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    stamps: Sequence[str] = (),
) -> Figure:
    """Mean measured against mean predicted ratio of groups of regions, and the least squares line.

    Parameters
    ----------
    bins : approach, predicted, measured, lower, upper, n_regions, n_slides; one row a group.
    table : what `headline_table` gives; its slope and intercept of regions are drawn over the
        range of the groups. An approach without them (a constant) has no line.
    colours : by approach, in the order of the panels.
    stamps : sentences under the figure.
    """
    shown = [name for name in colours if (bins["approach"] == name).any()]
    if not shown:
        return style.message_figure("no test region was compared", stamps)
    figure, panels = panel_grid(
        shown, x_label="mean predicted ratio", y_label="mean measured ratio"
    )
    for name, axes in panels:
        axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        _groups(axes, bins[bins["approach"] == name], colours[name])
        if name in table.index:
            _line(axes, table.loc[[name]].iloc[0], bins[bins["approach"] == name])
        axes.set_aspect("equal")
    drawn = bins.loc[bins["approach"].isin(shown), "predicted"]
    figure.axes[0].set(xlim=ratio_limits(drawn), ylim=ratio_limits())
    style.stamp(figure, stamps)
    return figure


def _groups(axes: Axes, own: pd.DataFrame, colour: str) -> None:
    x, y = own["predicted"].to_numpy(np.float64), own["measured"].to_numpy(np.float64)
    bounds = own[["lower", "upper"]].to_numpy(np.float64).T
    known = np.isfinite(bounds).all(axis=0)
    axes.vlines(x[known], bounds[0, known], bounds[1, known], colors=colour, linewidth=1.1)
    axes.plot(x, y, "o", color=colour, markersize=4.5, zorder=3, gid="groups")


def _line(axes: Axes, row: pd.Series, own: pd.DataFrame) -> None:
    slope, intercept = (
        float(row.get(f"region_calibration_{name}", math.nan)) for name in ("slope", "intercept")
    )
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        axes.text(0.04, 0.94, "constant: no line", transform=axes.transAxes, va="top", fontsize=7,
                  color=style.MUTED)  # fmt: skip
        return
    ends = np.array([own["predicted"].min(), own["predicted"].max()])
    axes.plot(ends, intercept + slope * ends, color=style.INK, linewidth=1.2, zorder=2, gid="line")
    axes.text(
        0.04, 0.96, f"slope {slope:z.2f}\nintercept {intercept:+z.3f}", transform=axes.transAxes,
        va="top", fontsize=7, color=style.INK,
    )  # fmt: skip
