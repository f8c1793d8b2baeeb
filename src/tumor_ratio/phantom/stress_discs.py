"""Small things that stress strews over a section: debris, smears, pigment, red cells.

Every table has rows as `painters.paint_discs` takes them: x, y, cos, sin, long, short (um),
softness, value; sorted by y.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from tumor_ratio.imaging.transform import Transform
from tumor_ratio.phantom.block_rows import Table
from tumor_ratio.phantom.fields import FIELD_UM, Field, TissueFields, smooth_field
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.sections import Section
from tumor_ratio.phantom.streams import stream
from tumor_ratio.phantom.stress import PIGMENT_SHARE, RED_CELL_SHARE, Stress
from tumor_ratio.phantom.stress_fields import field_at, on_section
from tumor_ratio.phantom.stress_sections import crush_angle, tissue_field

PIGMENT_OD: Final = (0.17, 0.42, 0.80)
"""Golden-brown granules as of hemosiderin, R, G, B: 12 degrees from DAB, whose hue varies by 4."""
RED_CELL_OD: Final = {"he": (0.06, 0.62, 0.46), "ihc": (0.04, 0.13, 0.28)}
"""Erythrocytes: red where eosin stains them, straw-coloured beside a DAB stain."""
RED_CELL_UM: Final = 3.3
"""Radius of an erythrocyte."""
_RED_APART_UM = 5.6
"""Erythrocytes lie at least so far apart: their rims overlap."""
_GRANULE_UM = (0.5, 1.2)
_GRANULES = 28
"""Mean number a macrophage."""


def necrotic_debris(
    plan: PhantomSlide, tissue: TissueFields, section: str, transform: Transform, stress: Stress
) -> Table:
    """Dark dust of broken nuclei in the necrosis, and pale ghosts of whole ones."""
    rng = stream(plan.key, section, "stress/necrosis/debris")
    field = tissue_field(plan, tissue, section, transform, stress)
    dust = _scattered(rng, field, 8000.0)
    radius = rng.uniform(0.4, 1.3, len(dust))
    rows = [_discs(rng, dust, radius, radius * rng.uniform(0.6, 1, len(dust)), 0.5)]
    rows[0][:, 7] = rng.uniform(0.3, 1.0, len(dust))
    ghosts = _scattered(rng, field, 1500.0)
    radius = rng.uniform(3.0, 4.6, len(ghosts))
    pale = _discs(rng, ghosts, radius, radius * rng.uniform(0.7, 1, len(ghosts)), 0.5)
    pale[:, 7] = rng.uniform(0.04, 0.16, len(ghosts))
    return _by_height(np.concatenate([*rows, pale]))


def crush_smears(
    plan: PhantomSlide, tissue: TissueFields, section: str, transform: Transform, stress: Stress
) -> Table:
    """Streaks of nuclear material along the crush."""
    rng = stream(plan.key, section, "stress/crush/smears")
    field = tissue_field(plan, tissue, section, transform, stress)
    places = _scattered(rng, field, 5500.0)
    n = len(places)
    rows = _discs(rng, places, rng.uniform(7.0, 24.0, n), rng.uniform(0.5, 1.5, n), 0.9)
    angle = crush_angle(plan, section) + 0.15 * rng.standard_normal(n)
    rows[:, 2], rows[:, 3] = np.cos(angle), np.sin(angle)
    rows[:, 7] = rng.uniform(0.15, 0.5, n)
    return _by_height(rows)


def pigment_granules(
    plan: PhantomSlide, tissue: TissueFields, section: str, transform: Transform, stress: Stress
) -> Table:
    """Granules in clumps of macrophages that cover their share of the tissue."""
    rng = stream(plan.key, section, "stress/pigment")
    clumps = smooth_field(stream(plan.key, "volume", "stress/pigment"), tissue.shape, 90.0)
    edge_um = on_section(tissue.edge_um, tissue, section, transform)
    density = np.exp(1.5 * on_section(clumps, tissue, section, transform)) * (edge_um > 15)
    granule_um2 = np.pi * np.square(np.mean(_GRANULE_UM))
    overlapping = 1.18  # granules lie in one another
    wanted = overlapping * stress.share(PIGMENT_SHARE) * _tissue_um2(edge_um) / granule_um2
    n_cells = max(round(wanted / _GRANULES), 1)
    centres = _weighted(rng, density, n_cells)
    around = np.repeat(centres, rng.poisson(_GRANULES, n_cells), axis=0)
    away = 4.2 * rng.standard_normal(around.shape)
    radius = rng.uniform(*_GRANULE_UM, len(around))
    rows = _discs(rng, around + away, radius, radius * rng.uniform(0.7, 1, len(around)), 0.5)
    rows[:, 7] = rng.uniform(0.5, 1.2, len(around))
    return _by_height(rows)


def red_cells(
    plan: PhantomSlide,
    tissue: TissueFields,
    section: Section,
    transform: Transform,
    stress: Stress,
) -> Table:
    """Bleeding between the nuclei that covers its share of the tissue."""
    rng = stream(plan.key, section.name, "stress/red_cells")
    bleeding = smooth_field(stream(plan.key, "volume", "stress/red_cells"), tissue.shape, 150.0)
    edge_um = on_section(tissue.edge_um, tissue, section.name, transform)
    score = on_section(bleeding, tissue, section.name, transform)
    n_tried = round(plan.width_um * plan.height_um / 9.0)
    places = rng.uniform(0, 1, (n_tried, 2)) * (plan.width_um, plan.height_um)
    free = field_at(edge_um, places[:, 0], places[:, 1]) > 8
    profiles = section.profiles
    if len(profiles):
        reach = 0.9 * np.sqrt(profiles[:, 4] * profiles[:, 5]) + 1.5
        distance, nearest = cKDTree(profiles[:, :2]).query(places)
        free &= distance > reach[nearest]
    places = places[free]
    order = np.argsort(-field_at(score, places[:, 0], places[:, 1]), kind="stable")
    wanted = stress.share(RED_CELL_SHARE) * _tissue_um2(edge_um) / (np.pi * RED_CELL_UM**2)
    places = places[order[: round(12 * wanted)]]
    places = places[_apart(rng, places)][: round(wanted)]
    n = len(places)
    radius = RED_CELL_UM * rng.uniform(0.92, 1.08, n)
    rows = _discs(rng, places, radius, radius * rng.uniform(0.85, 1, n), 0.25)
    rows[:, 7] = rng.uniform(0.8, 1.1, n)
    return _by_height(rows)


def _apart(rng: np.random.Generator, places: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Places that are kept where each, in random order, wants some room; in their own order."""
    neighbours = cKDTree(places).query_ball_point(places, _RED_APART_UM) if len(places) else []
    taken = np.zeros(len(places), dtype=bool)
    for index in rng.permutation(len(places)):
        taken[index] = not taken[neighbours[index]].any()
    return np.flatnonzero(taken)


def _tissue_um2(edge_um: Field) -> float:
    return float((edge_um > 0).sum()) * FIELD_UM**2


def _scattered(rng: np.random.Generator, field: Field, per_mm2: float) -> npt.NDArray[np.float64]:
    """Random points (x, y in um) where the field is over a half."""
    cells = np.flatnonzero(field > 0.5)
    n = rng.poisson(per_mm2 * len(cells) * FIELD_UM**2 * 1e-6)
    chosen = cells[rng.integers(len(cells), size=n)] if len(cells) else cells
    return _points(rng, chosen, field.shape[1])


def _weighted(rng: np.random.Generator, density: Field, n: int) -> npt.NDArray[np.float64]:
    """`n` random points, as many as the density says; none where it is 0 everywhere."""
    mass = density.ravel().astype(np.float64)
    if mass.sum() <= 0:
        return np.empty((0, 2))
    return _points(rng, rng.choice(mass.size, size=n, p=mass / mass.sum()), density.shape[1])


def _points(
    rng: np.random.Generator, cells: npt.NDArray[np.intp], columns: int
) -> npt.NDArray[np.float64]:
    rows, column = np.divmod(cells, columns)
    return np.stack([column, rows], axis=1) * FIELD_UM + rng.uniform(-2, 2, (len(cells), 2))


def _discs(
    rng: np.random.Generator,
    places: npt.NDArray[np.float64],
    long_um: npt.NDArray[np.float64],
    short_um: npt.NDArray[np.float64],
    softness: float,
) -> npt.NDArray[np.float64]:
    """Rows of value 1, turned at random."""
    turn = rng.uniform(0, np.pi, len(places))
    rest = np.full(len(places), softness), np.ones(len(places))
    return np.column_stack([places, np.cos(turn), np.sin(turn), long_um, short_um, *rest])


def _by_height(rows: npt.NDArray[np.float64]) -> Table:
    return np.ascontiguousarray(rows[np.argsort(rows[:, 1], kind="stable")], np.float32)
