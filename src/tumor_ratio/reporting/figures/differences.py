"""Differences in MAE between approaches with their intervals: a forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style


def draw_differences(
    differences: pd.DataFrame, colours: Mapping[str, str], stamps: Sequence[str] = ()
) -> Figure:
    """Dots with intervals, grouped by what is compared with; left of the line is better.

    Parameters
    ----------
    differences : group, approach, label, effect (below 0: the approach is better), lower, upper,
        p_holm; NaN effects are left out, NaN intervals and p-values not drawn.
    colours : by approach.
    stamps : sentences under the figure.
    """
    shown = differences[differences["effect"].notna()]
    if shown.empty:
        return style.message_figure("no two approaches could be compared", stamps)
    groups = list(dict.fromkeys(shown["group"]))
    figure = style.new_figure(6.4, 0.27 * len(shown) + 0.32 * len(groups) + 0.9)
    axes = figure.subplots()
    style.plain_axes(axes, grid="x")
    axes.axvline(0, color=style.INK, linewidth=1)
    axes.text(1.0, -0.45, "  MAE difference, p by Holm", transform=axes.get_yaxis_transform(),
              fontsize=7, color=style.MUTED, va="center")  # fmt: skip
    place, places, names = 0.0, [], []
    for group in groups:
        axes.text(0.0, place + 0.1, group, transform=axes.get_yaxis_transform(), fontsize=8,
                  color=style.MUTED, va="center")  # fmt: skip
        for row in shown[shown["group"] == group].itertuples():
            place += 1
            places.append(place)
            names.append(str(row.label))
            colour = colours.get(str(row.approach), style.INK)
            if np.isfinite(row.lower) and np.isfinite(row.upper):
                axes.hlines(place, row.lower, row.upper, colors=colour, linewidth=1.6)
            axes.plot(row.effect, place, "o", color=colour, markersize=5, gid=f"{row.label}")
            p_holm = "p < 0.001" if row.p_holm < 0.001 else f"p = {row.p_holm:.3f}"
            tested = f"  {p_holm}" if np.isfinite(row.p_holm) else ""
            axes.annotate(
                f"{row.effect:+z.3f}{tested}", (1.0, place), xycoords=axes.get_yaxis_transform(),
                xytext=(4, 0), textcoords="offset points", va="center", fontsize=7,
                color=style.INK, annotation_clip=False,
            )  # fmt: skip
        place += 1.25
    axes.set_yticks(places, names, fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(place - 0.4, -0.8)
    axes.set_xlabel("difference in MAE (left of the line: better)", fontsize=8)
    style.stamp(figure, stamps)
    return figure
