"""Where on a slide the predicted ratio is high, and where the prediction is sure: a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.legend import Legend
from matplotlib.legend_handler import HandlerBase
from matplotlib.lines import Line2D
from matplotlib.offsetbox import OffsetBox
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox, Transform, TransformedBbox
from numpy.typing import NDArray
from PIL import Image

from tumor_ratio.atomic import written_whole
from tumor_ratio.reporting.figures import style
from tumor_ratio.reporting.lengths import bar_um, length_words
from tumor_ratio.reporting.map_field import IN_WORDS, REASONS, MapField, MapKind, shown
from tumor_ratio.reporting.map_paint import (
    OUTLINE,
    Rgb,
    bar_colours,
    hatching,
    map_layers,
    paint,
    pale,
)

WIDTH_IN: Final = 7.2
MOST_HEIGHT_IN: Final = 7.6
SIDE_PX: Final = (700, 1600)
"""Smaller pictures are enlarged, so that hatching stays thin beside the cells; larger ones shrink
to what the figure can show.
"""
OPACITY: Final = 0.8
TISSUE_GREY: Final = 205
"""Of H&E on a pale picture, for the colour bar."""
MARGIN_IN: Final = 0.15
LOUD: Final = "#9c4221"
_QUIET_PT, _LOUD_PT = 6.5, 10.5

TITLES: Final[dict[MapKind, str]] = {
    "ratio": "predicted tumor ratio (calibrated)",
    "width": "width of the interval: upper minus lower bound",
}


def draw_map(
    field: MapField,
    picture: Rgb,
    picture_px: float,
    kind: MapKind = "ratio",
    *,
    stamps: Sequence[str],
    labels: NDArray[np.integer] | None = None,
    most: float = 1.0,
) -> Figure:
    """Cells coloured by value over a pale picture of the slide.

    Cells without a value are hatched by the reason; glass stays as it is.

    Parameters
    ----------
    field : of the slide.
    picture : (H, W, 3) uint8, an overview of the whole slide; its origin is the slide's.
    picture_px : level-0 pixels a pixel of `picture`.
    kind : the ratio, or the interval's width.
    stamps : sentences that the picture must carry; all but the first in large letters.
    labels : (R, C) number of each cell's focus, 0 for none; outlined.
    most : value at the colour bar's end; 1 keeps slides comparable.

    Raises
    ------
    ValueError
        If `labels` has another shape than the field, or a number is not positive.
    """
    painted, um_a_px = painted_map(field, picture, picture_px, kind, labels=labels, most=most)
    height, width = painted.shape[:2]
    present = shown(field, kind).reason
    map_in = (WIDTH_IN - 2 * MARGIN_IN, (WIDTH_IN - 2 * MARGIN_IN) * height / width)
    if map_in[1] > MOST_HEIGHT_IN:
        map_in = (MOST_HEIGHT_IN * width / height, MOST_HEIGHT_IN)
    lines = _stamp_lines(stamps)
    reasons = [reason for reason in REASONS if (present == reason).any()]
    entries = len(reasons) + (labels is not None and bool(labels.any()))
    legend_in = 0.24 * -(-entries // 3) + (0.1 if entries else 0.0)
    stamps_in = sum(points * 1.4 / 72 for _, points in lines) + 0.14
    below_in = 0.75 + legend_in + stamps_in
    height_in = 0.62 + map_in[1] + below_in
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=style.DPI, facecolor="white")
    _headings(figure, field, kind, height_in)
    left_in = (WIDTH_IN - map_in[0]) / 2
    axes = figure.add_axes(
        (left_in / WIDTH_IN, below_in / height_in, map_in[0] / WIDTH_IN, map_in[1] / height_in)
    )
    axes.imshow(painted, interpolation="antialiased", aspect="auto", extent=(0, width, height, 0))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(style.GRID)
    _scale_bar(axes, width, height, um_a_px)
    _colour_bar(figure, kind, most, (below_in - 0.32) / height_in, height_in)
    _legend(figure, reasons, entries > len(reasons), (stamps_in + legend_in) / height_in)
    _write_stamps(figure, lines, stamps_in, height_in)
    return figure


def painted_map(
    field: MapField,
    picture: Rgb,
    picture_px: float,
    kind: MapKind = "ratio",
    *,
    labels: NDArray[np.integer] | None = None,
    most: float = 1.0,
) -> tuple[Rgb, float]:
    """The map alone, without words.

    Parameters
    ----------
    field, picture, picture_px, kind, labels, most : as in `draw_map`.

    Returns
    -------
    rgb : (H, W, 3) uint8, 700 to 1600 pixels on its longer side.
    mpp : float, micrometres a pixel of it.
    """
    longest = max(picture.shape[:2])
    factor = min(max(longest, SIDE_PX[0]), SIDE_PX[1]) / longest
    height, width = (max(1, round(side * factor)) for side in picture.shape[:2])
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    cell_px = field.cell_px / picture_px * factor
    layers = map_layers(
        shown(field, kind), kind, cell_px=cell_px, labels=labels, most=most, opacity=OPACITY,
        line_px=max(1, round(max(height, width) / 450)),
    )  # fmt: skip
    return paint(pale(np.asarray(resized)), layers), field.cell_um / cell_px


def write_map(path: Path, figure: Figure, stamps: Sequence[str]) -> None:
    """Write a figure as PNG, with the stamps in its metadata, too.

    Raises
    ------
    DiskFullError
        If there is no room for it.
    """
    with written_whole(path) as unfinished:
        figure.savefig(
            unfinished,
            format="png",
            dpi=figure.dpi,
            metadata={"Description": " ".join(stamps), "Software": None},
        )


def _headings(figure: Figure, field: MapField, kind: MapKind, height_in: float) -> None:
    left = MARGIN_IN / WIDTH_IN
    title = textwrap.shorten(field.slide_id, 60, placeholder="…")
    figure.text(
        left, 1 - 0.1 / height_in, title, va="top", fontsize=12, fontweight="bold", color=style.INK
    )
    words = f"{TITLES[kind]}; cells {field.cell_um:.0f} µm wide"
    figure.text(left, 1 - 0.34 / height_in, words, va="top", fontsize=9, color=style.INK)


def _scale_bar(axes: Axes, width: int, height: int, um_a_px: float) -> None:
    length_um = bar_um(width * um_a_px)
    length, thick = length_um / um_a_px, max(3.0, 0.006 * height)
    x, y = 0.03 * width, height - 0.035 * height - thick
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
    axes.add_patch(Rectangle((x, y), length, thick, facecolor="black", edgecolor="white", lw=0.6))
    axes.text(
        x + length / 2, y - 0.012 * height, length_words(length_um),
        ha="center", va="bottom", fontsize=9, color="black", bbox=paper,
    )  # fmt: skip


def _colour_bar(figure: Figure, kind: MapKind, most: float, y: float, height_in: float) -> None:
    colours = ListedColormap(list(bar_colours(kind, OPACITY, TISSUE_GREY) / 255))
    axes = figure.add_axes((0.2, y, 0.6, 0.16 / height_in))
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, most), colours), cax=axes, orientation="horizontal"
    )
    bar.ax.tick_params(labelsize=9, color=style.MUTED)
    bar.outline.set_visible(False)  # type: ignore[operator]


def _legend(figure: Figure, reasons: Sequence[str], foci: bool, top: float) -> None:
    handles: list[Artist] = [Rectangle((0, 0), 1, 1) for _ in reasons]
    names = [IN_WORDS[reason] for reason in reasons]
    swatches: dict[object, HandlerBase] = {
        handle: _Swatch(reason) for handle, reason in zip(handles, reasons, strict=True)
    }
    if foci:
        red, green, blue = (channel / 255 for channel in OUTLINE)
        handles.append(Line2D([], [], color=(red, green, blue), linewidth=2))
        names.append("Ki-67-rich focus")
    if handles:
        figure.legend(
            handles, names, handler_map=swatches, loc="upper center", ncols=3, frameon=False,
            bbox_to_anchor=(0.5, top), fontsize=9, borderaxespad=0, borderpad=0.2,
        )  # type: ignore[arg-type]  # fmt: skip


class _Swatch(HandlerBase):
    """A legend's sample of a reason's hatching, the same as on the map."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self._reason = reason

    def create_artists(
        self,
        legend: Legend | OffsetBox,
        orig_handle: Artist,
        xdescent: float,
        ydescent: float,
        width: float,
        height: float,
        fontsize: float,
        trans: Transform,
    ) -> Sequence[Artist]:
        box = TransformedBbox(Bbox.from_bounds(-xdescent, -ydescent, width, height), trans)
        image = BboxImage(box, interpolation="nearest")
        image.set_data(np.tile(hatching(self._reason), (2, 5, 1)))
        return [image]


def _stamp_lines(stamps: Sequence[str]) -> list[tuple[str, float]]:
    """Lines with their size in points; the first stamp in small letters, the others in large."""
    lines = []
    for index, sentence in enumerate(stamps):
        points = _LOUD_PT if index else _QUIET_PT
        letters = int((WIDTH_IN - 2 * MARGIN_IN) * 72 / (0.72 * points if index else 0.54 * points))
        lines += [(line, points) for line in textwrap.wrap(sentence, letters)]
    return lines


def _write_stamps(
    figure: Figure, lines: Sequence[tuple[str, float]], top_in: float, height_in: float
) -> None:
    y_in = top_in - 0.02
    before = lines[0][1] if lines else 0.0
    for text, points in lines:
        loud = points == _LOUD_PT
        y_in -= 0.05 if points != before else 0.0
        before = points
        figure.text(
            0.5, y_in / height_in, text, ha="center", va="top", fontsize=points,
            fontweight="bold" if loud else "normal", color=LOUD if loud else style.MUTED,
        )  # fmt: skip
        y_in -= points * 1.4 / 72
