"""H&E beside its translation and the neighbouring Ki-67 section, plain and with nuclei outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tumor_ratio.reporting.figures import style
from tumor_ratio.reporting.figures.nuclei_overlay import NucleiTile, outline_legend, outline_nuclei
from tumor_ratio.reporting.synthetic_mark import marked

COLUMNS = 5


@dataclass(frozen=True)
class TranslatedTile:
    """A place on three sections.

    Parameters
    ----------
    slide_id : above the row.
    he : (H, W, 3) uint8.
    virtual, real : the translation and the neighbouring section, with their nuclei.
    """

    slide_id: str
    he: NDArray[np.uint8]
    virtual: NucleiTile
    real: NucleiTile


def draw_translations(tiles: Sequence[TranslatedTile], *, stamps: Sequence[str] = ()) -> Figure:
    """One row a tile.

    Parameters
    ----------
    tiles : any number; without any, the figure says so.
    stamps : sentences under the figure.
    """
    if not tiles:
        return style.message_figure("no translated tile can be shown", stamps)
    figure = style.new_figure(2.35 * COLUMNS, 2.6 * len(tiles) + 0.5)
    grid = figure.subplots(len(tiles), COLUMNS, squeeze=False)
    for row, tile in zip(grid, tiles, strict=True):
        virtual = marked(tile.virtual.rgb)
        _show(row[0], tile.he, f"{tile.slide_id}: H&E")
        _show(row[1], virtual, "virtual Ki-67")
        _show(row[2], virtual, tile.virtual.title)
        _show(row[3], tile.real.rgb, "next section, Ki-67")
        _show(row[4], tile.real.rgb, tile.real.title)
        outline_nuclei(row[2], tile.virtual)
        outline_nuclei(row[4], tile.real)
    outline_legend(figure)
    style.stamp(figure, stamps)
    return figure


def _show(axes: Axes, rgb: NDArray[np.uint8], title: str) -> None:
    height, width = rgb.shape[:2]
    axes.imshow(rgb, extent=(0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.set_title(title, fontsize=6.5, color=style.INK, loc="left")
