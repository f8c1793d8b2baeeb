"""Tiles with the nuclei found in them: positive ones outlined in red, negative ones in blue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from tumor_ratio.reporting.figures import style

POSITIVE, NEGATIVE = "#d62728", "#1565c0"


@dataclass(frozen=True)
class NucleiTile:
    """A picture and the nuclei in it.

    Parameters
    ----------
    rgb : (H, W, 3) uint8.
    polygons : (R, 2) each, x and y in the picture's pixels.
    positive : (N,) bool.
    title : above it.
    """

    rgb: NDArray[np.uint8]
    polygons: Sequence[NDArray[np.float64]]
    positive: NDArray[np.bool_]
    title: str


def draw_nuclei_tiles(tiles: Sequence[NucleiTile], *, stamps: Sequence[str] = ()) -> Figure:
    """Tiles side by side, each plain above and outlined below.

    Parameters
    ----------
    tiles : any number; without any, the figure says so.
    stamps : sentences under the figure.
    """
    if not tiles:
        return style.message_figure("no tile with nuclei to show")
    columns = min(3, len(tiles))
    bands = math.ceil(len(tiles) / columns)
    figure = style.new_figure(3.1 * columns, 6.4 * bands + 0.4)
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, tile in enumerate(tiles):
        band, column = divmod(index, columns)
        for row, outlined in ((2 * band, False), (2 * band + 1, True)):
            axes = grid[row, column]
            height, width = tile.rgb.shape[:2]
            axes.imshow(tile.rgb, extent=(0, width, height, 0))
            if outlined:
                outline_nuclei(axes, tile)
            else:
                axes.set_title(tile.title, fontsize=7, color=style.INK, loc="left")
            axes.set(xlim=(0, width), ylim=(height, 0))
    outline_legend(figure)
    style.stamp(figure, stamps)
    return figure


def outline_nuclei(axes: Axes, tile: NucleiTile) -> None:
    """Draw a tile's outlines over its picture."""
    colours = [POSITIVE if positive else NEGATIVE for positive in tile.positive]
    axes.add_collection(
        PolyCollection(tile.polygons, facecolors="none", edgecolors=colours, linewidths=0.9)
    )


def outline_legend(figure: Figure) -> None:
    """Say what the outlines' colours mean."""
    handles = [
        Line2D([], [], color=colour, label=name)
        for colour, name in ((POSITIVE, "positive"), (NEGATIVE, "negative"))
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=8, frameon=False)
