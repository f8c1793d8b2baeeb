"""Colours of labels that have none."""

from __future__ import annotations

PALETTE = (
    (255, 225, 25),
    (0, 130, 200),
    (230, 25, 75),
    (70, 240, 240),
    (60, 180, 75),
    (250, 190, 190),
    (170, 110, 40),
    (145, 30, 180),
    (0, 128, 128),
    (245, 130, 48),
)


def default_colour(index: int) -> tuple[int, int, int]:
    """Red, green and blue of the label at `index`, counted from 0."""
    return PALETTE[index % len(PALETTE)]
