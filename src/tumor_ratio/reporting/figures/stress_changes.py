"""What each factor of stress changes of the error, for the label and each approach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style

LABEL = "label"
LABEL_COLOUR = style.INK
BASELINES = ("training_median", "ridge_colour")
_SPREAD = 0.62
"""Of a row's height, shared by the approaches' dots."""


def draw_stress_changes(scores: pd.DataFrame, stamps: Sequence[str] = ()) -> Figure:
    """Dots with intervals, a row a factor: the label on the left, the approaches on the right.

    Parameters
    ----------
    scores : `schemas.StressScores`; rows without a paired change are not shown.
    stamps : sentences under the figure.
    """
    shown = scores[scores["change"].notna()]
    if shown.empty:
        return style.message_figure("no slide was measured both with and without stress", stamps)
    factors = list(dict.fromkeys(shown["stress"]))
    names = [name for name in dict.fromkeys(shown["approach"]) if name != LABEL]
    roles = ["baseline" if name in BASELINES else "model" for name in names]
    figure = style.new_figure(7.2, 0.34 * len(factors) + 1.5)
    left, right = figure.subplots(1, 2, sharey=True)
    _dots(left, shown, factors, {LABEL: LABEL_COLOUR})
    _dots(right, shown, factors, style.approach_colours(names, roles))
    left.set_yticks(range(len(factors)), [name.replace("_", " ") for name in factors], fontsize=8)
    left.invert_yaxis()
    left.set_title("the label, against the Ki-67 section's truth", fontsize=8)
    right.set_title("estimates, against the H&E section's truth", fontsize=8)
    figure.legend(*right.get_legend_handles_labels(), fontsize=7, frameon=False, ncols=4,
                  loc="outside upper right")  # fmt: skip
    style.stamp(figure, stamps)
    return figure


def _dots(
    axes: Axes, scores: pd.DataFrame, factors: Sequence[str], colours: Mapping[str, str]
) -> None:
    """One approach's dots after the other, each a little lower in its row."""
    style.plain_axes(axes, grid="x")
    axes.axvline(0, color=style.MUTED, linewidth=1)
    shifts = np.linspace(-0.5, 0.5, len(colours)) * _SPREAD if len(colours) > 1 else np.zeros(1)
    for shift, (name, colour) in zip(shifts, colours.items(), strict=True):
        own = scores[scores["approach"] == name].set_index("stress").reindex(list(factors))
        change = own["change"].to_numpy(dtype=np.float64)
        bounds = own[["change_lower", "change_upper"]].to_numpy(dtype=np.float64).T
        places = np.arange(len(factors)) + shift
        known = np.isfinite(bounds).all(axis=0)
        axes.hlines(places[known], bounds[0, known], bounds[1, known], colors=colour, linewidth=1.2)
        axes.plot(change, places, "o", color=colour, markersize=3.5, label=name)
    axes.set_xlabel("change of the MAE (mean over slides; right: worse)", fontsize=7)
    axes.tick_params(axis="y", length=0)
