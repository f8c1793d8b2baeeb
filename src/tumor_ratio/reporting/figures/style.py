"""One look for all figures: an approach has the same colour wherever it appears."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK: Final = "#1f2933"
MUTED: Final = "#7b8794"
GRID: Final = "#e4e7eb"
CEILING: Final = "#2f855a"
BASELINE: Final = "#9aa5b1"
RIDGE: Final = "#52606d"

MODELS: Final = ("#2b6cb0", "#c05621", "#6b46c1", "#b83280", "#0987a0", "#975a16")
"""In the order in which models are listed; they repeat beyond six."""

MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
"""In the order of the approaches, where greys alone would not tell them apart."""

SPLITS: Final = {"train": "#9fb3c8", "validation": "#d69e2e", "test": "#2b6cb0"}

DPI: Final = 140

_LETTERS_AN_INCH: Final = 23  # of the stamps' type, with a margin


def approach_colours(names: Sequence[str], roles: Sequence[str]) -> dict[str, str]:
    """Colour by approach: models in colours, baselines grey, the ceiling green."""
    colours: dict[str, str] = {}
    models = [name for name, role in zip(names, roles, strict=True) if role == "model"]
    for name, role in zip(names, roles, strict=True):
        if role == "model":
            colours[name] = MODELS[models.index(name) % len(MODELS)]
        elif role == "ceiling":
            colours[name] = CEILING
        else:
            colours[name] = RIDGE if name.startswith("ridge") else BASELINE
    return colours


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure outside pyplot: no window, no global state, collected when dropped."""
    return Figure(figsize=(width_in, height_in), dpi=DPI, layout="compressed", facecolor="white")


def plain_axes(axes: Axes, *, grid: str | None = None) -> None:
    """Drop the frame's upper and right side, quieten the ticks; grid along "x" or "y"."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=8, color=MUTED)
    if grid in ("x", "y"):
        axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def message_figure(text: str, stamps: Sequence[str] = ()) -> Figure:
    """A figure that says why there is nothing to draw, with the sentences it must carry."""
    figure = new_figure(6, 1.2)
    wrapped = textwrap.fill(text, 80)
    figure.text(0.5, 0.5, wrapped, ha="center", va="center", color=MUTED, fontsize=10)
    stamp(figure, stamps)
    return figure


def stamp(figure: Figure, sentences: Sequence[str]) -> None:
    """Write sentences that a figure must carry under it, in small type."""
    width = int(figure.get_figwidth() * _LETTERS_AN_INCH)
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, width)]
    if lines:
        figure.supxlabel("\n".join(lines), fontsize=5.5, color=MUTED)
