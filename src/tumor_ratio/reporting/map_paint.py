"""Paints cells over a picture, block by block: colours for values, hatching for reasons, outlines.

A pixel's colour depends on its own place alone, so that blocks of any size fit together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from tumor_ratio.reporting.map_field import OTHER, REASONS, MapKind, Shown

Rgb = NDArray[np.uint8]

COLOUR_MAPS: Final[dict[MapKind, str]] = {"ratio": "viridis", "width": "magma"}
"""Perceptually uniform, and different, so that no one takes a width for a ratio."""

STEPS: Final = 256
PERIOD_PX: Final = 8
"""Hatching repeats after so many pixels."""

INK: Final = (97, 97, 97)
PAPER: Final = (222, 222, 222)
OUTLINE: Final = (214, 0, 28)
PALE: Final = 0.55
"""Share of its darkness that a pale picture keeps."""
HALO: Final = (255, 255, 255)
"""A focus' outline is red inside and white outside, so that it shows on every colour."""

_GLASS, _VALUE, _FIRST_REASON = 0, 1, 2


@dataclass(frozen=True)
class MapLayers:
    """What is painted, on a grid of (R, C) cells with one more row and column of glass.

    Parameters
    ----------
    step : uint8, the place of a cell's value on the colour map.
    look : uint8: glass, a value, or a reason.
    focus : int64, number of the focus, 0 for none.
    cell_px : side of a cell in pixels of the painted picture.
    colours : (256, 3) uint8.
    opacity : of the colours, in (0, 1].
    line_px : width of an outline's red part.
    """

    step: NDArray[np.uint8]
    look: NDArray[np.uint8]
    focus: NDArray[np.int64]
    cell_px: float
    colours: Rgb
    opacity: float
    line_px: int


def map_layers(
    cells: Shown,
    kind: MapKind,
    *,
    cell_px: float,
    labels: NDArray[np.integer] | None = None,
    most: float = 1.0,
    opacity: float = 0.75,
    line_px: int = 2,
) -> MapLayers:
    """Prepare cells for painting.

    Parameters
    ----------
    cells : from `shown`.
    kind : chooses the colour map.
    cell_px : side of a cell in pixels of the painted picture; at least 1 shows every cell.
    labels : (R, C) number of each cell's focus, 0 for none; None draws no outlines.
    most : value of the colour map's end; it begins at 0.
    opacity, line_px : see `MapLayers`.

    Raises
    ------
    ValueError
        If `labels` has another shape than the cells, or a number is not positive.
    """
    if labels is None:
        labels = np.zeros(cells.value.shape, dtype=np.int64)
    if labels.shape != cells.value.shape:
        raise ValueError(f"labels {labels.shape} and cells {cells.value.shape} differ in shape")
    if not (cell_px > 0 and most > 0 and 0 < opacity <= 1):
        raise ValueError(f"cannot paint: cell_px {cell_px}, most {most}, opacity {opacity}")
    has_value = np.isfinite(cells.value)
    share = np.clip(np.where(has_value, cells.value, 0.0) / most, 0, 1)
    look = np.zeros(cells.value.shape, dtype=np.uint8)
    for number, reason in enumerate(REASONS):
        look[cells.reason == reason] = _FIRST_REASON + number
    look[has_value] = _VALUE
    beyond = ((0, 1), (0, 1))
    return MapLayers(
        step=np.pad(np.rint(share * (STEPS - 1)).astype(np.uint8), beyond),
        look=np.pad(look, beyond),
        focus=np.pad(labels.astype(np.int64), beyond),
        cell_px=cell_px,
        colours=map_colours(kind),
        opacity=opacity,
        line_px=line_px,
    )


@lru_cache(maxsize=len(COLOUR_MAPS))
def map_colours(kind: MapKind) -> Rgb:
    """(256, 3) uint8, from the least to the greatest value; cannot be written to."""
    rgba = mpl.colormaps[COLOUR_MAPS[kind]](np.linspace(0, 1, STEPS))
    colours = np.rint(255 * rgba[:, :3]).astype(np.uint8)
    colours.flags.writeable = False
    return colours


def paint(background: Rgb, layers: MapLayers, *, x_px: int = 0, y_px: int = 0) -> Rgb:
    """A copy of a block of the picture with the cells over it.

    Below coloured cells the picture is grey: colours mean values, and nothing else.

    Parameters
    ----------
    background : (H, W, 3) uint8, the picture there; it stays as it is on glass.
    x_px, y_px : where in the picture the block begins.
    """
    height, width = background.shape[:2]
    rows, columns = _cells(layers, y_px, height, 0), _cells(layers, x_px, width, 1)
    look = layers.look[np.ix_(rows, columns)]
    out = background.copy()
    valued = look == _VALUE
    step = layers.step[np.ix_(rows, columns)][valued]
    out[valued] = blended(grey(background[valued]), layers.colours[step], layers.opacity)
    place = np.arange(y_px, y_px + height) % PERIOD_PX, np.arange(x_px, x_px + width) % PERIOD_PX
    for number in np.unique(look[look >= _FIRST_REASON]):
        tile = hatching(REASONS[number - _FIRST_REASON])
        here = look == number
        out[here] = tile[np.ix_(*place)][here]
    _outline(out, layers, x_px, y_px)
    return out


def blended(below: Rgb, above: Rgb, opacity: float) -> Rgb:
    """(..., 3) uint8: `above` laid over `below`."""
    mixed = opacity * above.astype(np.float32) + (1 - opacity) * below.astype(np.float32)
    return np.rint(mixed).astype(np.uint8)


def bar_colours(kind: MapKind, opacity: float, tissue: int) -> Rgb:
    """(256, 3) uint8, the colours as they look over tissue of that grey."""
    return blended(np.full((STEPS, 3), tissue, dtype=np.uint8), map_colours(kind), opacity)


def grey(rgb: Rgb) -> Rgb:
    """(..., 3) uint8 without colour, equally bright (luminance of Rec. 709)."""
    light = rgb.astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
    return np.repeat(np.rint(light).astype(np.uint8)[..., None], 3, axis=-1)


def pale(rgb: Rgb) -> Rgb:
    """(..., 3) uint8 in light grey, so that tissue only just shows through."""
    light = 255 - PALE * (255 - grey(rgb).astype(np.float32))
    return np.rint(light).astype(np.uint8)


@lru_cache(maxsize=len(REASONS))
def hatching(reason: str) -> Rgb:
    """(8, 8, 3) uint8, repeats without a seam; a pattern a reason, no colour needed."""
    y, x = np.mgrid[:PERIOD_PX, :PERIOD_PX]
    half = PERIOD_PX // 2
    rising, falling = (x + y) % PERIOD_PX < 2, (x - y) % PERIOD_PX < 2
    marks = {
        "white": np.zeros_like(rising),
        "blurred": rising,
        "folded": falling,
        "pen": rising | falling,
        "unreadable": y % half < 2,
        "no interval": (x % half < 2) & (y % half < 2),
        OTHER: x % half < 2,
    }
    out = np.empty((PERIOD_PX, PERIOD_PX, 3), dtype=np.uint8)
    out[:] = PAPER
    out[marks[reason]] = INK
    out.flags.writeable = False
    return out


def _cells(layers: MapLayers, start_px: int, count: int, axis: int) -> NDArray[np.int64]:
    """Number of the cell of each pixel's middle along an axis; the last one is glass."""
    beyond = layers.look.shape[axis] - 1
    middle = np.arange(start_px, start_px + count) + 0.5
    cells = np.floor(middle / layers.cell_px).astype(np.int64)
    return np.where((cells < 0) | (cells >= beyond), beyond, cells)


def _outline(out: Rgb, layers: MapLayers, x_px: int, y_px: int) -> None:
    """Draw the borders of foci into a block."""
    height, width = out.shape[:2]
    margin = layers.line_px
    rows = _cells(layers, y_px - margin, height + 2 * margin, 0)
    columns = _cells(layers, x_px - margin, width + 2 * margin, 1)
    around = layers.focus[np.ix_(rows, columns)]
    if margin == 0 or not around.any():
        return
    own = around[margin : margin + height, margin : margin + width]
    border = np.zeros(own.shape, dtype=bool)
    for down in (0, margin, 2 * margin):
        for right in (0, margin, 2 * margin):
            border |= around[down : down + height, right : right + width] != own
    out[border & (own == 0)] = HALO
    out[border & (own > 0)] = OUTLINE
