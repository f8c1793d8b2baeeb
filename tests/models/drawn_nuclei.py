"""Draws sections with known nuclei: ellipses of given stain, mixed in optical density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from tumor_ratio.imaging.stains import H_DAB

HEMATOXYLIN = np.array(H_DAB.first) / np.linalg.norm(H_DAB.first)
DAB = np.array(H_DAB.second) / np.linalg.norm(H_DAB.second)


@dataclass(frozen=True)
class DrawnSection:
    """What was drawn, and the truth."""

    rgb: np.ndarray
    labels: np.ndarray
    nuclei: pd.DataFrame
    """x, y (image px), area_px, positive, in the order of the labels."""


def draw_section(
    rng: np.random.Generator,
    *,
    side_px: int,
    spacing_px: float = 24.0,
    radius_px: tuple[float, float] = (6.0, 9.0),
    positive_share: float = 0.3,
    hematoxylin: tuple[float, float] = (0.35, 0.6),
    dab: tuple[float, float] = (0.5, 0.9),
    noise: float = 2.0,
) -> DrawnSection:
    """Nuclei on a jittered lattice, so that none touch, none at the border."""
    density = np.zeros((side_px, side_px, 3))
    labels = np.zeros((side_px, side_px), dtype=np.int32)
    yy, xx = np.mgrid[:side_px, :side_px] + 0.5
    rows = []
    places = np.arange(spacing_px, side_px - spacing_px / 2, spacing_px)
    for base_y in places:
        for base_x in places:
            x, y = np.array([base_x, base_y]) + rng.uniform(-2, 2, size=2)
            long = rng.uniform(*radius_px)
            short = long * rng.uniform(0.8, 1.0)
            turn = rng.uniform(0, np.pi)
            box = np.s_[int(y - 14) : int(y + 15), int(x - 14) : int(x + 15)]
            u = (xx[box] - x) * np.cos(turn) + (yy[box] - y) * np.sin(turn)
            v = (yy[box] - y) * np.cos(turn) - (xx[box] - x) * np.sin(turn)
            inside = (u / long) ** 2 + (v / short) ** 2 < 1
            positive = rng.random() < positive_share
            amount = rng.uniform(*hematoxylin) * HEMATOXYLIN * (0.5 if positive else 1.0)
            if positive:
                amount = amount + rng.uniform(*dab) * DAB
            density[box][inside] += amount
            labels[box][inside] = len(rows) + 1
            rows.append({"x": x, "y": y, "area_px": int(inside.sum()), "positive": positive})
    light = 256 * np.power(10.0, -gaussian_filter(density, (0.7, 0.7, 0))) - 1
    light += rng.normal(0, noise, size=light.shape)
    return DrawnSection(
        np.clip(np.rint(light), 0, 255).astype(np.uint8), labels, pd.DataFrame(rows)
    )
