"""Predicted minus measured ratio against their mean, with the limits of agreement.

Bland and Altman, Lancet 1986; 327: 307.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style
from tumor_ratio.reporting.figures.panels import Points, dots_and_rings, panel_grid, ratio_limits

LINES = ("bias", "limit_lower", "limit_upper")


def draw_bland_altman(
    compared: pd.DataFrame,
    slides: pd.DataFrame,
    table: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    output: str,
    stamps: Sequence[str] = (),
) -> Figure:
    """Regions as dots, slide ratios as rings, bias and 95 % limits of the regions as lines.

    Parameters
    ----------
    compared : `schemas.ComparedRegions` of one reference; panels follow `colours`.
    slides : approach, slide_id, measured, predicted.
    table : what `headline_table` gives; its bias and limits of regions are drawn as they are, each
        with its interval as a band. A line that is NaN is left out.
    colours : by approach, in the order of the panels.
    output : "raw" or "calibrated".
    stamps : sentences under the figure.
    """
    shown = [name for name in colours if (compared["approach"] == name).any()]
    if not shown:
        return style.message_figure("no test region was compared", stamps)
    figure, panels = panel_grid(
        shown, x_label="mean of measured and predicted", y_label="predicted - measured"
    )
    for name, axes in panels:
        own, whole = (table[table["approach"] == name] for table in (compared, slides))
        dots_and_rings(
            axes,
            _mean_and_difference(own["measured"], own[output]),
            _mean_and_difference(whole["measured"], whole["predicted"]),
            colours[name],
        )
        axes.axhline(0, color=style.GRID, linewidth=1, zorder=0)
        if name in table.index:
            _lines(axes, table.loc[[name]].iloc[0])
    reach = 1.25 * float(np.nanmax([np.abs(ax.get_ylim()) for ax in figure.axes]))
    own = compared[compared["approach"].isin(shown)]
    means = ratio_limits((own["measured"] + own[output]) / 2)
    figure.axes[0].set(xlim=means, ylim=(-reach, reach))
    figure.axes[0].legend(loc="upper right", fontsize=7, frameon=False, handletextpad=0.2)
    style.stamp(figure, stamps)
    return figure


def _mean_and_difference(measured: pd.Series, predicted: pd.Series) -> Points:
    return (measured + predicted) / 2, predicted - measured


def _lines(axes: Axes, row: pd.Series) -> None:
    """Bias (solid) and limits (dashed) with their numbers; bands are their intervals."""
    for metric in LINES:
        value = float(row.get(f"region_{metric}", math.nan))
        if not math.isfinite(value):
            continue
        dashed = metric != "bias"
        axes.axhline(
            value, color=style.INK, linewidth=1.1, zorder=3, gid=metric,
            linestyle=(0, (4, 3)) if dashed else "-",
        )  # fmt: skip
        lower, upper = (
            float(row.get(f"region_{metric}_{end}", math.nan)) for end in ("lower", "upper")
        )
        if math.isfinite(lower) and math.isfinite(upper):
            axes.axhspan(lower, upper, color=style.MUTED, alpha=0.16, linewidth=0, zorder=0)
        below = metric == "limit_lower"
        axes.annotate(
            f"{value:+z.2f}", (1.0, value), xytext=(0, -3 if below else 3),
            textcoords="offset points", ha="right", va="top" if below else "bottom", fontsize=7,
            color=style.INK, zorder=5,
        )  # fmt: skip
