"""What is on a slide besides tissue: folds, pen strokes and dust, and the lumens inside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tumor_ratio.imaging.transform import Transform
from tumor_ratio.phantom.fields import TissueFields
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.streams import stream

PEN_COLOURS_OD = ((1.1, 0.8, 0.25), (0.9, 0.9, 0.9), (1.0, 0.35, 0.8))
"""Blue, black and green felt pen, optical densities in R, G, B."""
DUST_OD = (0.75, 0.8, 0.85)
Plane = npt.NDArray[np.float32]


def fold_gain(plan: PhantomSlide, section: str, x_um: Plane, y_um: Plane) -> Plane:
    """Factor on the optical density: about 1.8 along one narrow, wavy fold, 1 elsewhere.

    A section of a quarter square millimetre or less has none.
    """
    if plan.width_um * plan.height_um < 0.25e6:
        return np.ones_like(x_um)
    rng = stream(plan.key, section, "fold")
    turn, phase = rng.uniform(0, 2 * np.pi, 2)
    reach = 0.5 * min(plan.width_um, plan.height_um)
    start = rng.uniform(0.55, 0.8) * reach
    dx, dy = x_um - plan.width_um / 2, y_um - plan.height_um / 2
    along = dx * np.cos(turn) + dy * np.sin(turn)
    across = -dx * np.sin(turn) + dy * np.cos(turn) - start
    across += 9.0 * np.sin(along / 55.0 + phase)
    half_width = rng.uniform(5.0, 9.0) * np.clip(1.3 - np.abs(along) / (0.5 * reach), 0, 1)
    inside = np.clip((half_width - np.abs(across)) / 2.0 + 0.5, 0, 1) * (half_width > 0)
    return (1.0 + 0.8 * inside).astype(np.float32)


def pen_ink(plan: PhantomSlide, section: str, x_um: Plane, y_um: Plane, edge_um: Plane) -> Plane:
    """Amount of pen ink: a stroke across a corner of some slides, on the glass."""
    rng = stream(plan.key, section, "pen")
    if rng.random() > 0.35 or plan.width_um * plan.height_um < 0.25e6:
        return np.zeros_like(x_um)
    corner = np.array([rng.integers(2), rng.integers(2)]) * (plan.width_um, plan.height_um)
    radius = rng.uniform(0.07, 0.11) * (plan.width_um + plan.height_um)
    away = np.abs(np.hypot(x_um - corner[0], y_um - corner[1]) - radius)
    stroke = np.clip((rng.uniform(14.0, 26.0) - away) / 6.0, 0, 1)
    streaks = 0.8 + 0.2 * np.sin(away * 0.9)
    return (stroke * streaks * np.clip(-edge_um / 10.0, 0, 1)).astype(np.float32)


def pen_colour(plan: PhantomSlide, section: str) -> tuple[float, float, float]:
    """Optical density of the section's pen."""
    rng = stream(plan.key, section, "pen/colour")
    return PEN_COLOURS_OD[int(rng.integers(len(PEN_COLOURS_OD)))]


def dust_discs(plan: PhantomSlide, section: str) -> Plane:
    """Specks on the cover glass, out of focus; rows as `paint_discs` takes them."""
    rng = stream(plan.key, section, "dust")
    n = rng.poisson(9.0 * plan.width_um * plan.height_um * 1e-6)
    turn = rng.uniform(0, np.pi, n)
    long = rng.uniform(1.5, 7.0, n)
    columns = [
        rng.uniform(0, plan.width_um, n),
        rng.uniform(0, plan.height_um, n),
        np.cos(turn),
        np.sin(turn),
        long,
        long * rng.uniform(0.3, 1.0, n),
        rng.uniform(0.5, 1.0, n),
        rng.uniform(0.2, 0.9, n),
    ]
    return _by_height(np.stack(columns, axis=1))


def lumen_discs(
    plan: PhantomSlide, tissue: TissueFields, section: str, transform: Transform
) -> Plane:
    """Lumens of glands, and capillaries, at their places on the section."""
    rng = stream(plan.key, "volume", "lumens")
    rows = []
    for gland in tissue.glands:
        wall = 24.0 if gland.labelling > 0.1 else 17.0
        long, short = max(gland.long_um - wall, 2.0), max(gland.short_um - wall, 2.0)
        rows.append((gland.x_um, gland.y_um, gland.angle, long, short, 0.15, 0.97))
    shape = tissue.shape
    n = rng.poisson(45.0 * (tissue.edge_um > 0).sum() * 16e-6)
    x, y = rng.uniform(0, (shape[1] - 1) * 4.0, n), rng.uniform(0, (shape[0] - 1) * 4.0, n)
    angle, long = rng.uniform(0, np.pi, n), rng.uniform(3.0, 9.0, n)
    short = long * rng.uniform(0.35, 0.9, n)
    wanted = (tissue.at(tissue.edge_um, x, y) > 10) & (tissue.at(tissue.cellularity, x, y) > 0)
    rows += [(x[i], y[i], angle[i], long[i], short[i], 0.35, 0.9) for i in np.flatnonzero(wanted)]
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    turn = 0.0
    if section != "he":
        table[:, :2] = transform.forward(table[:, :2])
        turn = np.deg2rad(plan.rotation_deg)
    angles = table[:, 2] + turn
    return _by_height(np.column_stack([table[:, :2], np.cos(angles), np.sin(angles), table[:, 3:]]))


def unevenness(plan: PhantomSlide, section: str, shape: tuple[int, int], spread: float) -> Plane:
    """Factor on the stain over the section, mean 1."""
    rng = stream(plan.key, section, "unevenness")
    lattice = rng.standard_normal((12, 12))
    grid = np.meshgrid(*(np.linspace(2, 9, n) for n in shape), indexing="ij")
    field = ndimage.map_coordinates(ndimage.gaussian_filter(lattice, 0.8), grid, order=2)
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    return np.exp(spread * field).astype(np.float32)


def _by_height(rows: npt.NDArray[np.float64]) -> Plane:
    return np.ascontiguousarray(rows[np.argsort(rows[:, 1], kind="stable")], np.float32)
