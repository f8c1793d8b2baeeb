"""A map as a slide of its own, in blocks: the slide's frame at a coarser pixel size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.reporting.heat_map import TITLES
from tumor_ratio.reporting.map_band import map_band
from tumor_ratio.reporting.map_field import REASONS, MapField, MapKind, shown
from tumor_ratio.reporting.map_paint import MapLayers, bar_colours, map_layers, paint

Rgb = NDArray[np.uint8]
ReadBlock = Callable[[int, int, int, int], Rgb]
"""`read(x_px, y_px, width_px, height_px)` -> (height_px, width_px, 3) uint8."""

GAP_UM: Final = 200.0
"""White between the slide's lower edge and the words."""
TISSUE_GREY: Final = 165
"""Of H&E at its own brightness, for the colour bar."""
ON_WHITE: Final = 1.0
"""Opacity of the colours where there is no H&E below them: those of the colour bar."""


@dataclass(frozen=True)
class Overlay:
    """A picture that covers the slide from its origin on, with a band of words below.

    Parameters
    ----------
    width_px, height_px : of the whole picture.
    slide_height_px : rows that show the slide; the band begins there.
    mpp : micrometres a pixel.
    description : the stamps and what is shown, in ASCII, for the file's metadata.
    """

    width_px: int
    height_px: int
    slide_height_px: int
    mpp: float
    description: str
    layers: MapLayers
    band: Rgb
    below: ReadBlock | None

    def read(self, x_px: int, y_px: int, width_px: int, height_px: int) -> Rgb:
        """(height_px, width_px, 3) uint8 of the picture; blocks may be read in any order."""
        out = np.full((height_px, width_px, 3), 255, dtype=np.uint8)
        rows = min(max(self.slide_height_px - y_px, 0), height_px)
        if rows:
            if self.below is not None:
                out[:rows] = self.below(x_px, y_px, width_px, rows)
            out[:rows] = paint(out[:rows], self.layers, x_px=x_px, y_px=y_px)
        if rows < height_px:
            first = y_px + rows - self.slide_height_px
            part = self.band[first : first + height_px - rows, x_px : x_px + width_px]
            out[rows : rows + part.shape[0], : part.shape[1]] = part
        return out


def map_overlay(
    field: MapField,
    slide_size_px: tuple[int, int],
    *,
    stamps: Sequence[str],
    kind: MapKind = "ratio",
    mpp: float = 4.0,
    labels: NDArray[np.integer] | None = None,
    below: ReadBlock | None = None,
    opacity: float = 0.6,
    most: float = 1.0,
) -> Overlay:
    """Lay a map out as a slide.

    Parameters
    ----------
    field : of the slide.
    slide_size_px : width and height of the slide at level 0.
    stamps : sentences that the file carries, in its metadata and in the band.
    kind, labels, most : see `draw_map`.
    mpp : micrometres a pixel of the result.
    below : reads the H&E slide at `mpp`; None paints on white. It turns grey below coloured cells.
    opacity : of the colours over H&E; on white they are opaque.

    Raises
    ------
    ValueError
        If a number is not positive, or `labels` has another shape than the field.
    """
    if not mpp > 0:
        raise ValueError(f"an overlay needs a positive pixel size, not {mpp} um/px")
    slide_mpp = field.cell_um / field.cell_px
    width, height = (max(1, math.ceil(side * slide_mpp / mpp - 1e-6)) for side in slide_size_px)
    cells = shown(field, kind)
    shade = ON_WHITE if below is None else opacity
    layers = map_layers(
        cells,
        kind,
        cell_px=field.cell_um / mpp,
        labels=labels,
        most=most,
        opacity=shade,
        line_px=max(1, round(8 / mpp)),
    )
    heading = f"{field.slide_id}: {TITLES[kind]}; cells {field.cell_um:.0f} µm wide"
    band = map_band(
        width,
        height,
        gap_px=max(4, round(GAP_UM / mpp)),
        stamps=stamps,
        heading=heading,
        colours=bar_colours(kind, shade, TISSUE_GREY),
        most=most,
        reasons=[reason for reason in REASONS if (cells.reason == reason).any()],
        foci=bool(layers.focus.any()),
    )
    words = " ".join([*stamps, heading.replace("µ", "u"), f"Colours run from 0 to {most:g}."])
    return Overlay(
        width_px=width,
        height_px=height + len(band),
        slide_height_px=height,
        mpp=mpp,
        description=words.encode("ascii", "backslashreplace").decode("ascii"),
        layers=layers,
        band=band,
        below=below,
    )
