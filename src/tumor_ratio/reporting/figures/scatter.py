"""Predicted against measured ratio, one panel an approach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style
from tumor_ratio.reporting.figures.panels import dots_and_rings, panel_grid, ratio_limits


def draw_scatter(
    compared: pd.DataFrame,
    slides: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    output: str,
    bin_edges: Sequence[float],
    stamps: Sequence[str] = (),
) -> Figure:
    """Regions as dots, slides as rings, the line of agreement, and the edges of the bins.

    Parameters
    ----------
    compared : `schemas.ComparedRegions` of one reference; panels follow `colours`.
    slides : approach, slide_id, measured, predicted.
    colours : by approach, in the order of the panels.
    output : "raw" or "calibrated".
    bin_edges : where the bins meet, drawn as thin lines.
    stamps : sentences under the figure.
    """
    shown = [name for name in colours if (compared["approach"] == name).any()]
    if not shown:
        return style.message_figure("no test region was compared", stamps)
    figure, panels = panel_grid(shown, x_label="measured ratio", y_label="predicted ratio")
    for name, axes in panels:
        own, whole = (table[table["approach"] == name] for table in (compared, slides))
        _lines(axes, bin_edges)
        dots_and_rings(
            axes,
            (own["measured"], own[output]),
            (whole["measured"], whole["predicted"]),
            colours[name],
        )
    predicted = ratio_limits(compared.loc[compared["approach"].isin(shown), output])
    figure.axes[0].set(xlim=ratio_limits(), ylim=predicted)
    figure.axes[0].legend(loc="upper left", fontsize=7, frameon=False, handletextpad=0.2)
    style.stamp(figure, stamps)
    return figure


def _lines(axes: Axes, bin_edges: Sequence[float]) -> None:
    for edge in bin_edges:
        axes.axhline(edge, color=style.GRID, linewidth=0.8, zorder=0)
        axes.axvline(edge, color=style.GRID, linewidth=0.8, zorder=0)
    axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.set_aspect("equal")
