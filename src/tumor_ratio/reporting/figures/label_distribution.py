"""How the measured ratios are distributed over the parts of the split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.reporting.figures import style


def draw_label_distribution(
    labels: pd.DataFrame, bin_edges: Sequence[float], stamps: Sequence[str] = ()
) -> Figure:
    """Share of regions by measured ratio, one panel a split.

    Parameters
    ----------
    labels : split, slide_id, tumor_ratio (NaN where undefined, counted in the title).
    bin_edges : where the bins meet.
    stamps : sentences under the figure.
    """
    splits = [split for split in style.SPLITS if (labels["split"] == split).any()]
    if not splits:
        return style.message_figure("no region belongs to a split", stamps)
    figure = style.new_figure(2.9 * len(splits), 2.5)
    panels = figure.subplots(1, len(splits), squeeze=False, sharey=True)[0]
    for axes, split in zip(panels, splits, strict=True):
        own = labels[labels["split"] == split]
        ratios = own["tumor_ratio"].dropna().to_numpy()
        style.plain_axes(axes, grid="y")
        if ratios.size:
            weights = np.full(ratios.size, 100 / ratios.size)
            axes.hist(
                ratios, bins=np.linspace(0, 1, 21).tolist(), weights=weights,
                color=style.SPLITS[split],
            )  # fmt: skip
        for edge in bin_edges:
            axes.axvline(edge, color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        undefined = len(own) - ratios.size
        axes.set_title(
            f"{split}: {own['slide_id'].nunique()} slides, {ratios.size} regions\n"
            f"({undefined} without a label)",
            fontsize=8, color=style.INK, loc="left",
        )  # fmt: skip
        axes.set_xlabel("measured ratio", fontsize=8)
        axes.set_xlim(0, 1)
    panels[0].set_ylabel("% of labelled regions", fontsize=8)
    style.stamp(figure, stamps)
    return figure
