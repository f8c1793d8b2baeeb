"""Measured against true ratio, one panel a way to label."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.label_methods import TITLES
from tumor_ratio.reporting.figures import style

SOURCES = {
    "phantom": (style.BASELINE, "o", "phantom region"),
    "annotated": ("#c05621", "D", "annotated tile"),
}


def draw_label_methods(comparison: pd.DataFrame, *, stamps: Sequence[str] = ()) -> Figure:
    """One panel a method, regions of phantoms grey, annotated tiles marked.

    Parameters
    ----------
    comparison : source, label_method, tumor_ratio, true_ratio; see
        `tumor_ratio.metrics.label_agreement.method_summary`.
    stamps : sentences under the figure.
    """
    shown = comparison[comparison["true_ratio"].notna() & comparison["tumor_ratio"].notna()]
    methods = [name for name in TITLES if (shown["label_method"] == name).any()]
    if not methods:
        return style.message_figure("no region has both a measured and a true ratio")
    figure = style.new_figure(2.7 * len(methods), 3.1)
    panels = figure.subplots(1, len(methods), squeeze=False, sharex=True, sharey=True)[0]
    for axes, method in zip(panels, methods, strict=True):
        style.plain_axes(axes)
        axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)))
        own = shown[shown["label_method"] == method]
        for source, (colour, marker, name) in SOURCES.items():
            part = own[own["source"] == source]
            if len(part):
                axes.scatter(
                    part["true_ratio"], part["tumor_ratio"], s=14 if marker == "o" else 34,
                    color=colour, marker=marker, label=name, linewidths=0, zorder=3,
                )  # fmt: skip
        error = (own["tumor_ratio"] - own["true_ratio"]).abs().groupby(own["source"]).mean()
        said = ", ".join(f"{value:.3f} ({source})" for source, value in error.items())
        axes.set_title(TITLES[method], fontsize=9, color=style.INK, loc="left", fontweight="bold")
        axes.text(0.02, 0.98, f"MAE {said}", transform=axes.transAxes, fontsize=6.5, va="top")
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.12), aspect="equal")
        axes.set_xlabel("true ratio", fontsize=9)
    panels[0].set_ylabel("measured ratio", fontsize=9)
    panels[-1].legend(loc="lower right", fontsize=7, frameon=False)
    style.stamp(figure, stamps)
    return figure
