"""Pixel classes to look at: tiles, features, distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from tumor_ratio.reporting.figures import style

CLASS_COLOURS = {"background": "#e8e6e1", "other": "#3c6edc", "counted": "#c43c6a"}
TOP_FEATURES = 14
BINS = np.linspace(0, 1, 26)


@dataclass(frozen=True)
class ClassifiedTile:
    """One stain of an example.

    Parameters
    ----------
    rgb : (H, W, 3) uint8.
    classes : (H, W) int, 0 background, 1 other nuclei, 2 counted nuclei.
    counted : (H, W) float, probability of the counted classes.
    ratio : of the tile, by its classes.
    """

    rgb: NDArray[np.uint8]
    classes: NDArray[np.integer]
    counted: NDArray[np.floating]
    ratio: float


@dataclass(frozen=True)
class ExamplePair:
    """A region on both stains.

    Parameters
    ----------
    title : what it is.
    he, ihc : None where there is no such section.
    """

    title: str
    he: ClassifiedTile | None
    ihc: ClassifiedTile | None


def draw_gallery(examples: Sequence[ExamplePair], *, stamps: Sequence[str] = ()) -> Figure:
    """A row an example: image, classes and probability on H&E, then on Ki-67."""
    if not examples:
        return style.message_figure("no region was classified", stamps)
    figure = style.new_figure(11, 1.95 * len(examples))
    grid = figure.subplots(len(examples), 6, squeeze=False)
    colours = ListedColormap(list(CLASS_COLOURS.values()))
    for row, example in zip(grid, examples, strict=True):
        for axes in row:
            axes.set_axis_off()
        for start, stain, tile in ((0, "H&E", example.he), (3, "Ki-67", example.ihc)):
            if tile is None:
                continue
            row[start].imshow(tile.rgb)
            row[start + 1].imshow(tile.classes, cmap=colours, vmin=0, vmax=2)
            row[start + 2].imshow(tile.counted, cmap="magma", vmin=0, vmax=1)
            kind = "tumor nuclei" if stain == "H&E" else "positive nuclei"
            titles = (f"{stain} {example.title}" if start == 0 else stain,
                      f"share {tile.ratio:.2f}", f"probability of {kind}")  # fmt: skip
            for axes, title in zip(row[start : start + 3], titles, strict=True):
                axes.set_title(title, fontsize=6.5, color=style.INK, loc="left")
    style.stamp(figure, stamps)
    return figure


def draw_importance(
    importances: Mapping[str, Mapping[str, float]], *, stamps: Sequence[str] = ()
) -> Figure:
    """The features that tell the classes apart best, one panel a stain.

    Parameters
    ----------
    importances : by stain, the mean decrease of Gini impurity by feature; empty where not known.
    stamps : sentences under the figure.
    """
    known = {stain: own for stain, own in importances.items() if own}
    if not known:
        return style.message_figure("these forests tell no feature importance", stamps)
    figure = style.new_figure(5.2 * len(known), 3.6)
    for axes, (stain, own) in zip(
        figure.subplots(1, len(known), squeeze=False)[0], known.items(), strict=True
    ):
        top = sorted(own.items(), key=lambda item: -item[1])[:TOP_FEATURES][::-1]
        style.plain_axes(axes, grid="x")
        axes.barh([name for name, _ in top], [value for _, value in top], color=style.MODELS[0])
        axes.tick_params(axis="y", labelsize=6.5)
        axes.set_title(stain, fontsize=9, color=style.INK, loc="left", fontweight="bold")
        axes.set_xlabel("mean decrease of impurity", fontsize=8)
    style.stamp(figure, stamps)
    return figure


def draw_distributions(ratios: Mapping[str, ArrayLike], *, stamps: Sequence[str] = ()) -> Figure:
    """How the ratios of the same regions are distributed, one panel an estimate.

    Parameters
    ----------
    ratios : (N,) by estimate; NaN is left out and counted.
    stamps : sentences under the figure.
    """
    values = {name: np.asarray(own, dtype=np.float64) for name, own in ratios.items()}
    if not any(np.isfinite(own).any() for own in values.values()):
        return style.message_figure("no region has a ratio by pixel classes", stamps)
    figure = style.new_figure(2.9 * len(values), 2.5)
    panels = figure.subplots(1, len(values), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, own) in zip(panels, values.items(), strict=True):
        known = own[np.isfinite(own)]
        style.plain_axes(axes)
        axes.hist(
            known,
            bins=BINS,
            color=style.MODELS[0],
            weights=np.full(len(known), 1 / max(len(known), 1)),
        )
        if len(known):
            axes.axvline(np.median(known), color=style.INK, linewidth=1)
        axes.set_title(name, fontsize=8, color=style.INK, loc="left", fontweight="bold")
        undefined = f", {len(own) - len(known)} undefined" if len(known) < len(own) else ""
        median = f"median {np.median(known):.2f}" if len(known) else "none"
        axes.text(0.98, 0.95, f"{median}, {len(known)} regions{undefined}",
                  transform=axes.transAxes, fontsize=6.5, ha="right", va="top")  # fmt: skip
        axes.set_xlabel("ratio", fontsize=8)
    panels[0].set_ylabel("share of the regions", fontsize=8)
    style.stamp(figure, stamps)
    return figure
