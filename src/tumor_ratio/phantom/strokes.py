"""Strokes as a biologist would draw them in ilastik, from a phantom's truth.

The one place where truth teaches: nobody can see Ki-67 on H&E, so strokes there follow what the eye
tells apart, tumor nuclei and others, never positivity; and a share of them is wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tumor_ratio.phantom.truth import SECTIONS, truth_nuclei

BACKGROUND = "background"
CLASSES = {
    "he": (BACKGROUND, "other nucleus", "tumor nucleus"),
    "ihc": (BACKGROUND, "negative nucleus", "positive nucleus"),
}
"""Names of the labels by section; a label's value is its place, from 1."""
SMALLEST_UM2 = 20.0
"""Smaller profiles are caps that nobody draws on."""
REACH = 0.5
"""A stroke stays within this share of a nucleus' radius."""
CLEAR_UM = 2.0
"""A background stroke stays this far from the rim of any nucleus."""
BACKGROUND_UM = (3.0, 8.0)
TRIES = 40


def draw_strokes(
    truth_dir: Path,
    section: str,
    corner_px: tuple[float, float],
    frame_mpp: float,
    size_px: int,
    mpp: float,
    *,
    per_class: int,
    error_rate: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """Draw sparse labels on one tile.

    Parameters
    ----------
    truth_dir : the pair's sidecar folder.
    section : `he` or `ihc`.
    corner_px : the tile's upper left corner, level-0 pixels of the pair's frame.
    frame_mpp : micrometres a pixel of the frame.
    size_px, mpp : the tile's side, in pixels at `mpp`.
    per_class : strokes of each class, where there is so much of it.
    error_rate : share of the strokes that get one of the other classes.
    rng : chooses nuclei, directions and errors.

    Returns
    -------
    (size_px, size_px) uint8
        0 without a label, else the class' place in `CLASSES[section]`, from 1.

    Raises
    ------
    ValueError
        For any other section.
    """
    if section not in SECTIONS:
        raise ValueError(f"section is one of {SECTIONS}, not {section!r}")
    nuclei = truth_nuclei(truth_dir, section)
    scale = frame_mpp / mpp
    xy = (nuclei[["x_he_px", "y_he_px"]].to_numpy(dtype=np.float64) - corner_px) * scale
    radius = np.sqrt(nuclei["area_um2"].to_numpy(dtype=np.float64) / np.pi) / mpp
    near = np.flatnonzero(((xy > -40) & (xy < size_px + 40)).all(axis=1))
    nuclei, xy, radius = nuclei.iloc[near], xy[near], radius[near]
    labels = np.zeros((size_px, size_px), dtype=np.uint8)
    for value, (start, end) in _strokes(nuclei, section, xy, radius, size_px, mpp, per_class, rng):
        if rng.random() < error_rate:
            value = int(rng.choice([other for other in (1, 2, 3) if other != value]))
        _draw_line(labels, start, end, value)
    return labels


def _strokes(
    nuclei: pd.DataFrame,
    section: str,
    xy: npt.NDArray[np.float64],
    radius: npt.NDArray[np.float64],
    size_px: int,
    mpp: float,
    per_class: int,
    rng: np.random.Generator,
) -> list[tuple[int, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]]:
    """Class and ends of each stroke, in pixels of the tile."""
    strokes = []
    inside = ((xy >= 1) & (xy < size_px - 1)).all(axis=1)
    drawn = inside & (nuclei["area_um2"].to_numpy() >= SMALLEST_UM2)
    marked = (nuclei["cell_type"] == "tumor") if section == "he" else nuclei["positive"]
    for value, of_class in ((2, ~marked.to_numpy(dtype=bool)), (3, marked.to_numpy(dtype=bool))):
        candidates = np.flatnonzero(drawn & of_class)
        for index in rng.permutation(candidates)[:per_class]:
            reach = REACH * radius[index] * _direction(rng)
            strokes.append((value, (xy[index] - reach, xy[index] + reach)))
    n_background = 0
    for _ in range(TRIES * per_class):
        if n_background == per_class:
            break
        length_px = rng.uniform(*BACKGROUND_UM) / mpp
        start = rng.uniform(0, size_px, 2)
        end = start + length_px * _direction(rng)
        points = start + np.linspace(0, 1, 9)[:, None] * (end - start)
        away = np.linalg.norm(points[:, None] - xy[None], axis=2) - radius
        if (away > CLEAR_UM / mpp).all() and ((end >= 0) & (end < size_px)).all():
            strokes.append((1, (start, end)))
            n_background += 1
    return strokes


def _direction(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _draw_line(
    labels: npt.NDArray[np.uint8],
    start: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    value: int,
) -> None:
    """A line one pixel wide, as ilastik's finest brush draws."""
    n_points = int(np.ceil(2 * np.abs(end - start).max())) + 1
    points = np.floor(start + np.linspace(0, 1, n_points)[:, None] * (end - start)).astype(int)
    inside = ((points >= 0) & (points < labels.shape[0])).all(axis=1)
    columns, rows = points[inside].T
    labels[rows, columns] = value
