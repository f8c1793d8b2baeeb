"""MAE by the bin that was measured: where the error of each approach comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style

_SPREAD = 0.7
"""Of a bin's width, shared by the approaches' dots."""


def draw_error_by_bin(
    errors: pd.DataFrame, colours: Mapping[str, str], stamps: Sequence[str] = ()
) -> Figure:
    """Dots with intervals, a group of them for each bin.

    Parameters
    ----------
    errors : approach, bin, mae, lower, upper, n_slides, n_regions; bins in their order.
    colours : by approach, in the order of the dots.
    stamps : sentences under the figure.
    """
    shown = errors[errors["mae"].notna() & errors["approach"].isin(list(colours))]
    if shown.empty:
        return style.message_figure("no test region was compared", stamps)
    bins = list(dict.fromkeys(errors["bin"]))
    names = [name for name in colours if name in set(shown["approach"])]
    figure = style.new_figure(6.4, 3.3)
    axes = figure.subplots()
    style.plain_axes(axes, grid="y")
    shifts = np.linspace(-0.5, 0.5, len(names)) * _SPREAD if len(names) > 1 else np.zeros(1)
    for shift, name in zip(shifts, names, strict=True):
        own = shown[shown["approach"] == name].set_index("bin").reindex(bins)
        places = np.arange(len(bins)) + shift
        bounds = own[["lower", "upper"]].to_numpy(np.float64).T.clip(0)
        known = np.isfinite(bounds).all(axis=0)
        axes.vlines(
            places[known], bounds[0, known], bounds[1, known], colors=colours[name], linewidth=1.3
        )
        axes.plot(
            places, own["mae"], marker=style.MARKERS[names.index(name) % len(style.MARKERS)],
            color=colours[name], markersize=4.5, label=name, linestyle="none", gid=name,
        )  # fmt: skip
    axes.set_xticks(range(len(bins)), [_label(shown, each) for each in bins], fontsize=8)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("MAE in the bin", fontsize=8)
    axes.set_xlabel("measured ratio", fontsize=8)
    figure.legend(loc="outside upper left", fontsize=7, frameon=False, ncols=4)
    style.stamp(figure, stamps)
    return figure


def _label(errors: pd.DataFrame, name: str) -> str:
    own = errors[errors["bin"] == name]
    if own.empty:
        return f"{name}\nno region"
    slides, regions = int(own["n_slides"].max()), int(own["n_regions"].max())
    return f"{name}\n{regions} region{'s' * (regions != 1)}, {slides} slide{'s' * (slides != 1)}"
