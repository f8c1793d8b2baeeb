"""Predicted against true rich areas, the tumor they are not, and how often intervals hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style

PROMISED = 0.9
_SEEN, _TRUE = style.MODELS[0], style.INK


def draw_validated_areas(
    slides: pd.DataFrame,
    areas: pd.DataFrame,
    curves: pd.DataFrame,
    intervals: pd.DataFrame,
    stamps: Sequence[str] = (),
) -> Figure:
    """Four panels; the first condition of `areas` is the slides as they were drawn.

    Parameters
    ----------
    slides : condition, rich_mm2, true_rich_mm2 by slide.
    areas : condition, tumor_labelling, tau, rich_over_tumor, true_rich_over_tumor.
    curves : condition, tau, rich_mm2, true_rich_mm2.
    intervals : condition, level, reference, burden, coverage.
    stamps : sentences under the figure.
    """
    if not len(curves) or areas["tau"].isna().all():
        return style.message_figure("without tau and calibration there are no areas", stamps)
    drawn = areas["condition"].iloc[0]
    figure = style.new_figure(8.4, 6.6)
    panels = figure.subplots(2, 2)
    _slides(panels[0, 0], slides[slides["condition"] == drawn])
    _curve(panels[0, 1], curves[curves["condition"] == drawn], float(areas["tau"].iloc[0]))
    _tumor(panels[1, 0], areas.iloc[1:])
    _coverage(panels[1, 1], intervals[intervals["condition"] == drawn])
    style.stamp(figure, stamps)
    return figure


def _slides(axes: Axes, slides: pd.DataFrame) -> None:
    style.plain_axes(axes, grid="y")
    most = 1.08 * max(float(slides[["rich_mm2", "true_rich_mm2"]].max().max()), 1e-3)
    ends = np.array([0, most])
    axes.plot(ends, ends, color=style.MUTED, linewidth=1)
    axes.fill_between(ends, 0.9 * ends, 1.1 * ends, color=style.GRID, zorder=0)
    axes.plot(slides["true_rich_mm2"], slides["rich_mm2"], "o", color=_SEEN, markersize=4)
    axes.set(xlim=(0, most), ylim=(0, most))
    axes.set_xlabel("true Ki-67-rich area, mm² (band: 10 %)", fontsize=8)
    axes.set_ylabel("predicted, mm²", fontsize=8)
    axes.set_title("each slide, same cells", fontsize=9)


def _curve(axes: Axes, curve: pd.DataFrame, tau: float) -> None:
    style.plain_axes(axes, grid="y")
    axes.plot(curve["tau"], curve["true_rich_mm2"], color=_TRUE, linewidth=1.6, label="true")
    axes.plot(curve["tau"], curve["rich_mm2"], color=_SEEN, linewidth=1.6, label="predicted")
    axes.axvline(tau, color=style.MODELS[1], linewidth=1, linestyle="--", label=f"tau {tau:.2f}")
    axes.set(xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tau", fontsize=8)
    axes.set_ylabel("Ki-67-rich area, mm²", fontsize=8)
    axes.set_title("all slides together", fontsize=9)
    axes.legend(fontsize=7, frameon=False)


def _tumor(axes: Axes, areas: pd.DataFrame) -> None:
    style.plain_axes(axes, grid="y")
    at = areas["tumor_labelling"]
    axes.axhline(1, color=style.MUTED, linewidth=1)
    axes.plot(at, areas["true_rich_over_tumor"], "o-", color=_TRUE, markersize=4, label="true")
    axes.plot(at, areas["rich_over_tumor"], "o-", color=_SEEN, markersize=4, label="predicted")
    axes.set(xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("share of tumor nuclei that are positive, same tissue", fontsize=8)
    axes.set_ylabel("rich area / tumor's area", fontsize=8)
    axes.set_title("the rich area is not the tumor's", fontsize=9)
    axes.legend(fontsize=7, frameon=False)


def _coverage(axes: Axes, intervals: pd.DataFrame) -> None:
    style.plain_axes(axes, grid="y")
    known = intervals[intervals["reference"] == "ihc_measured"]
    groups = list(dict.fromkeys(known["burden"]))
    axes.axhline(PROMISED, color=style.MODELS[1], linewidth=1, linestyle="--")
    for shift, (level, marker) in zip((-0.1, 0.1), (("region", "o"), ("slide", "s")), strict=True):
        own = known[known["level"] == level].set_index("burden").reindex(groups)
        axes.plot(
            np.arange(len(groups)) + shift, own["coverage"], marker, color=_SEEN, markersize=5,
            markerfacecolor=_SEEN if level == "region" else "white", label=f"{level}s",
        )  # fmt: skip
    axes.set_xticks(range(len(groups)), groups, fontsize=7)
    axes.set(ylim=(0, 1.05), xlim=(-0.5, len(groups) - 0.5))
    axes.set_xlabel("share of the tissue that is tumor", fontsize=8)
    axes.set_ylabel("intervals that hold the measured ratio", fontsize=8)
    axes.set_title("intervals", fontsize=9)
    axes.legend(fontsize=7, frameon=False, loc="lower right")
