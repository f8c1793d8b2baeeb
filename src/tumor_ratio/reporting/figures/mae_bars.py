"""MAE of every approach with its interval, beside the baselines and the oracle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style
from tumor_ratio.reporting.headline import value_of


def draw_mae_bars(
    table: pd.DataFrame, colours: Mapping[str, str], stamps: Sequence[str] = ()
) -> Figure:
    """Horizontal bars in the table's order; dashed lines mark training median and oracle.

    Parameters
    ----------
    table : what `headline_table` gives.
    colours : by approach.
    stamps : sentences under the figure.
    """
    shown = table[table["region_mae"].notna()]
    if shown.empty:
        return style.message_figure("no approach could be compared", stamps)
    figure = style.new_figure(6.4, 0.27 * len(shown) + 1.0)
    axes = figure.subplots()
    style.plain_axes(axes, grid="x")
    places = np.arange(len(shown))[::-1]
    values = shown["region_mae"].to_numpy()
    axes.barh(places, values, height=0.62, color=[colours[str(name)] for name in shown.index])
    lower = np.clip(shown["region_mae_lower"].to_numpy(), 0, None)
    upper = shown["region_mae_upper"].to_numpy()
    known = np.isfinite(lower) & np.isfinite(upper)
    axes.errorbar(
        values[known], places[known],
        xerr=np.clip([(values - lower)[known], (upper - values)[known]], 0, None),
        fmt="none", ecolor=style.INK, elinewidth=1.1, capsize=2.5,
    )  # fmt: skip
    ends = np.where(known, upper, values)
    for place, value, end in zip(places, values, ends, strict=True):
        axes.annotate(
            f"{value:.3f}", (end, place), xytext=(5, 0), textcoords="offset points", va="center",
            fontsize=8, color=style.INK,
        )  # fmt: skip
    for name, colour in (("training_median", style.MUTED), ("oracle", style.CEILING)):
        value = value_of(shown, name, "region_mae")
        if math.isfinite(value):
            axes.axvline(value, color=colour, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yticks(places, [str(name) for name in shown.index], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, float(np.nanmax(ends)) * 1.12)
    axes.set_xlabel("MAE of the tumor ratio (mean over slides; lower is better)", fontsize=8)
    style.stamp(figure, stamps)
    return figure
