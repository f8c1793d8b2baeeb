"""How the Ki-67-rich area depends on tau, the ratio from which a cell counts as rich."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style


def draw_rich_area(
    curve: Sequence[tuple[float, float]], tau: float, stamps: Sequence[str] = ()
) -> Figure:
    """Area over tau; the tau in use is marked.

    Parameters
    ----------
    curve : tau and area in mm2, ascending in tau; without a finite area the figure says so.
    tau : in use; NaN marks nothing.
    stamps : sentences under the figure.
    """
    points = np.array(curve, dtype=np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return style.message_figure("no cell of this slide has a ratio", stamps)
    figure = style.new_figure(5.6, 3.1)
    axes = figure.subplots()
    style.plain_axes(axes, grid="y")
    axes.plot(points[:, 0], points[:, 1], color=style.MODELS[0], linewidth=1.8)
    if np.isfinite(tau):
        area = float(np.interp(tau, points[:, 0], points[:, 1]))
        axes.axvline(tau, color=style.MODELS[1], linewidth=1, linestyle="--")
        axes.plot([tau], [area], "o", color=style.MODELS[1], markersize=5)
        axes.annotate(
            f"tau {tau:.2f}: {area:.3g} mm²", (tau, area), xytext=(7, 7),
            textcoords="offset points", fontsize=8.5, color=style.MODELS[1],
        )  # fmt: skip
    axes.set(xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tau: ratio from which a cell counts as Ki-67-rich", fontsize=9)
    axes.set_ylabel("Ki-67-rich area, mm²", fontsize=9)
    style.stamp(figure, stamps)
    return figure
