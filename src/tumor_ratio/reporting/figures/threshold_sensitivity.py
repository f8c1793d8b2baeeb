"""How a slide's ratio depends on the DAB density from which a nucleus is positive."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style

THRESHOLDS = {
    "ratio_at_010": 0.10,
    "ratio_at_015": 0.15,
    "ratio_at_020": 0.20,
    "ratio_at_025": 0.25,
    "ratio_at_030": 0.30,
}
"""Columns of `tumor_ratio.schemas.StainingQuality`."""
DOUBTED = "#c05621"


def draw_sensitivity(staining_quality: pd.DataFrame) -> Figure:
    """A line a slide over the threshold; slides that are not trusted in another colour.

    Parameters
    ----------
    staining_quality : `tumor_ratio.schemas.StainingQuality`.
    """
    shown = staining_quality.dropna(subset=list(THRESHOLDS))
    if shown.empty:
        return style.message_figure("no slide has a measured ratio")
    figure = style.new_figure(4.6, 2.9)
    axes = figure.subplots()
    style.plain_axes(axes, grid="y")
    for trusted, colour, name in ((True, style.SPLITS["test"], "trusted"), (False, DOUBTED, "not")):
        part = shown[shown["trusted"].astype(bool) == trusted]
        lines = axes.plot(
            list(THRESHOLDS.values()), part[list(THRESHOLDS)].to_numpy(dtype=float).T,
            color=colour, alpha=0.6, linewidth=1, marker="o", markersize=2.5,
        )  # fmt: skip
        if lines:
            lines[0].set_label(f"{name} ({len(lines)} slides)")
    axes.set_xlabel("a nucleus is positive from a DAB density of", fontsize=8)
    axes.set_ylabel("slide's measured ratio", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7, frameon=False, loc="upper right")
    return figure
