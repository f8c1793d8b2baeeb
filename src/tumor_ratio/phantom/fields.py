"""The tissue that both sections pass through: which kind of tissue lies where.

Fields live on a coarse grid over the H&E slide (node `i` at `i * FIELD_UM` micrometres) and do not
change over the few tens of micrometres between the sections. Cellularity and eosin are fields of
their own, independent of the kind of tissue, so that neither colour nor density tells a nest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.streams import stream

FIELD_UM = 4.0
Field = npt.NDArray[np.float32]
"""(rows, columns) float32 on the coarse grid."""


@dataclass(frozen=True)
class Disc:
    """A follicle's germinal centre with its mantle, or a micro-focus (no mantle)."""

    x_um: float
    y_um: float
    radius_um: float
    mantle_um: float = 0.0


@dataclass(frozen=True)
class Gland:
    """A tube of epithelium, perpendicular to the section, around a lumen."""

    x_um: float
    y_um: float
    long_um: float
    short_um: float
    angle: float
    labelling: float
    """Share of its nuclei that proliferate."""


@dataclass(frozen=True)
class TissueFields:
    """The coarse fields; shares of the kinds of tissue add up to 1 inside the tissue."""

    edge_um: Field
    """Distance to the tissue's outline, positive inside."""
    tumor: Field
    follicle: Field
    lymphoid: Field
    parenchyma: Field
    stroma: Field
    cellularity: Field
    """Share of the area that nuclei cover, 0 in glands and lumens (their nuclei are placed)."""
    labelling_shift: Field
    """Shift of the tumor labelling's logit."""
    tone: Field
    """Hematoxylin amount of nuclei, relative."""
    eosin: Field
    """Cytoplasm stain, relative."""
    fibre: tuple[Field, Field]
    """Coordinates across and along collagen, um."""
    glands: tuple[Gland, ...]
    follicles: tuple[Disc, ...]
    foci: tuple[Disc, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of every field."""
        return self.tumor.shape  # type: ignore[return-value]

    def at(self, field: Field, x_um: npt.NDArray, y_um: npt.NDArray) -> npt.NDArray[np.float32]:
        """Bilinear value of `field` at points; beyond the grid its border holds."""
        return ndimage.map_coordinates(
            field, [y_um / FIELD_UM, x_um / FIELD_UM], order=1, mode="nearest"
        )


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], length_um: float) -> Field:
    """Gaussian random field of mean 0 and variance 1 whose bumps are about `length_um` wide."""
    sigma = max(length_um / FIELD_UM / 2.5, 0.5)
    coarse = max(int(sigma / 2), 1)  # a blurred lattice, refined, instead of a huge kernel
    lattice = tuple(n // coarse + 4 for n in shape)
    field = ndimage.gaussian_filter(
        rng.standard_normal(lattice, dtype=np.float32), sigma / coarse, mode="wrap"
    )
    if coarse > 1:
        grid = np.meshgrid(*(np.arange(n) / coarse + 1 for n in shape), indexing="ij")
        field = ndimage.map_coordinates(field, grid, order=1, mode="nearest")
    field = field[: shape[0], : shape[1]]
    return ((field - field.mean()) / max(float(field.std()), 1e-6)).astype(np.float32)


def tissue_fields(plan: PhantomSlide) -> TissueFields:
    """Lay out the tissue of a slide pair."""
    shape = (
        int(np.ceil(plan.height_um / FIELD_UM)) + 1,
        int(np.ceil(plan.width_um / FIELD_UM)) + 1,
    )

    def field(factor: str, length_um: float) -> Field:
        return smooth_field(stream(plan.key, "volume", factor), shape, length_um)

    edge_um = _outline(plan, shape)
    free = edge_um > 0.0
    n_tissue = int(free.sum())
    yy, xx = np.mgrid[: shape[0], : shape[1]].astype(np.float32) * np.float32(FIELD_UM)

    follicles = _follicles(plan, edge_um)
    follicle = _disc_mask(shape, follicles)
    lymphoid = _disc_mask(shape, follicles, with_mantle=True) & ~follicle
    free &= ~(follicle | lymphoid)
    glands = _glands(plan, free)
    inside_gland = _gland_mask(shape, glands, 6.0)
    free &= ~inside_gland

    score = field("nests", 1.6 * plan.nest_um) + 0.55 * field("nests/fine", 0.4 * plan.nest_um)
    tumor = _claim(score, free, plan.burden * n_tissue)
    foci = _foci(plan, free & ~tumor)
    tumor |= _disc_mask(shape, foci) & free
    free &= ~tumor
    rest = int(free.sum())
    score = field("lymphoid", 110.0) + 0.5 * field("lymphoid/fine", 45.0)
    infiltrate = _claim(score, free, plan.lymphoid_share * rest)
    free &= ~infiltrate
    score = field("parenchyma", 170.0) + 0.5 * field("parenchyma/fine", 60.0)
    parenchyma = _claim(score, free, plan.parenchyma_share * rest)
    stroma = free & ~parenchyma

    shares = np.stack(
        [tumor, follicle, lymphoid | infiltrate, parenchyma, stroma, inside_gland]
    ).astype(np.float32)
    shares = ndimage.gaussian_filter(shares, (0, 0.8, 0.8), mode="nearest")
    shares /= np.maximum(shares.sum(axis=0), 1e-3)

    spread = 0.30 * field("cellularity", 130.0) + 0.20 * field("cellularity/fine", 45.0)
    cellularity = np.clip(plan.cellularity * np.exp(spread), 0.08, 0.52)
    cellularity *= (edge_um > 0.0) & ~inside_gland
    turn = 2 * np.pi * stream(plan.key, "volume", "fibre/turn").random()
    across = xx * np.cos(turn) + yy * np.sin(turn) + 45.0 * field("fibre/across", 220.0)
    along = -xx * np.sin(turn) + yy * np.cos(turn) + 45.0 * field("fibre/along", 220.0)
    return TissueFields(
        edge_um=edge_um,
        tumor=shares[0],
        follicle=shares[1],
        lymphoid=shares[2],
        parenchyma=shares[3],
        stroma=shares[4],
        cellularity=cellularity.astype(np.float32),
        labelling_shift=plan.labelling_spread * field("labelling", 160.0),
        tone=np.exp(0.11 * field("tone", 120.0)),
        eosin=np.exp(0.16 * field("eosin", 90.0) + 0.12 * field("eosin/fine", 30.0)),
        fibre=(across.astype(np.float32), along.astype(np.float32)),
        glands=glands,
        follicles=follicles,
        foci=foci,
    )


def _claim(score: Field, free: npt.NDArray[np.bool_], n_cells: float) -> npt.NDArray[np.bool_]:
    """The `n_cells` highest-scoring free cells (all of them where fewer are free)."""
    n_free = int(free.sum())
    if n_cells < 0.5 or n_free == 0:
        return np.zeros_like(free)
    share = min(n_cells / n_free, 1.0)
    return free & (score >= np.quantile(score[free], 1.0 - share))


def _outline(plan: PhantomSlide, shape: tuple[int, int]) -> Field:
    """Signed distance to an irregular outline that holds the planned share of the slide."""
    if plan.tissue_share >= 1.0:
        return np.full(shape, 1e3, dtype=np.float32)
    rng = stream(plan.key, "volume", "outline")
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    turn = rng.uniform(0, np.pi)
    stretch = rng.uniform(0.92, 1.08)
    u = (x * np.cos(turn) + y * np.sin(turn)) * stretch
    v = (-x * np.sin(turn) + y * np.cos(turn)) / stretch
    side_um = min(plan.width_um, plan.height_um)
    height = -((np.abs(u) ** 2.6 + np.abs(v) ** 2.6) ** (1 / 2.6))
    height += 0.07 * smooth_field(rng, shape, 0.45 * side_um)
    height += 0.02 * smooth_field(rng, shape, 60.0)
    edge = np.maximum(np.abs(x), np.abs(y))
    height -= 8.0 * np.maximum(edge - 0.95, 0.0)  # the tissue ends before the slide does
    inside = height >= np.quantile(height, 1.0 - plan.tissue_share)
    signed = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    return (FIELD_UM * ndimage.gaussian_filter(signed, 1.0)).astype(np.float32)


def _scattered(
    rng: np.random.Generator, allowed: npt.NDArray[np.bool_], n: int
) -> npt.NDArray[np.float64]:
    """`n` random points (x, y in um) of the allowed cells."""
    cells = np.flatnonzero(allowed)
    if not len(cells):
        return np.empty((0, 2))
    rows, columns = np.divmod(cells[rng.integers(len(cells), size=n)], allowed.shape[1])
    return np.stack([columns, rows], axis=1) * FIELD_UM + rng.uniform(-2, 2, (n, 2))


def _follicles(plan: PhantomSlide, edge_um: Field) -> tuple[Disc, ...]:
    rng = stream(plan.key, "volume", "follicles")
    wanted_um2 = plan.follicle_share * float((edge_um > 0).sum()) * FIELD_UM**2
    found: list[Disc] = []
    area = 0.0
    for x, y in _scattered(rng, edge_um > 60.0, 2000):
        radius, mantle = rng.uniform(38.0, 80.0), rng.uniform(14.0, 34.0)
        if area + 0.5 * np.pi * radius**2 > wanted_um2:
            break
        if all(np.hypot(x - d.x_um, y - d.y_um) > radius + d.radius_um + 60 for d in found):
            found.append(Disc(float(x), float(y), radius, mantle))
            area += np.pi * radius**2
    return tuple(found)


def _foci(plan: PhantomSlide, allowed: npt.NDArray[np.bool_]) -> tuple[Disc, ...]:
    """Micro-foci of tumor, a few cells each, away from the nests."""
    rng = stream(plan.key, "volume", "foci")
    n = rng.poisson(6.0 * allowed.sum() * FIELD_UM**2 * 1e-6)
    return tuple(
        Disc(float(x), float(y), float(rng.uniform(10.0, 32.0)))
        for x, y in _scattered(rng, allowed, n)
    )


def _glands(plan: PhantomSlide, allowed: npt.NDArray[np.bool_]) -> tuple[Gland, ...]:
    rng = stream(plan.key, "volume", "glands")
    wanted_um2 = plan.gland_share * float(allowed.sum()) * FIELD_UM**2
    beds = smooth_field(rng, allowed.shape, 260.0) > 0.3  # type: ignore[arg-type]
    found: list[Gland] = []
    area = 0.0
    centres = np.empty((0, 3))
    for x, y in _scattered(rng, allowed & beds, 4000):
        if area > wanted_um2:
            break
        long_um = rng.uniform(28.0, 50.0)
        short_um = long_um * rng.uniform(0.62, 0.95)
        angle, active = rng.uniform(0, np.pi), rng.random() < 0.35
        labelling = rng.uniform(0.35, 0.7) if active else rng.uniform(0.01, 0.06)
        near = np.hypot(centres[:, 0] - x, centres[:, 1] - y) < centres[:, 2] + long_um + 5
        if near.any():
            continue
        found.append(Gland(float(x), float(y), long_um, short_um, angle, labelling))
        centres = np.vstack([centres, (x, y, long_um)])
        area += np.pi * long_um * short_um
    return tuple(found)


def _disc_mask(
    shape: tuple[int, int], discs: tuple[Disc, ...], *, with_mantle: bool = False
) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    for disc in discs:
        radius = disc.radius_um + (disc.mantle_um if with_mantle else 0.0)
        _paint(mask, disc.x_um, disc.y_um, radius, radius, 0.0)
    return mask


def _gland_mask(
    shape: tuple[int, int], glands: tuple[Gland, ...], margin_um: float
) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    for gland in glands:
        _paint(
            mask,
            gland.x_um,
            gland.y_um,
            gland.long_um + margin_um,
            gland.short_um + margin_um,
            gland.angle,
        )
    return mask


def _paint(
    mask: npt.NDArray[np.bool_], x: float, y: float, long: float, short: float, angle: float
) -> None:
    reach = max(long, short)
    r0, c0 = (max(int((v - reach) / FIELD_UM), 0) for v in (y, x))
    r1, c1 = (max(int((v + reach) / FIELD_UM) + 2, 0) for v in (y, x))
    window = mask[r0:r1, c0:c1]
    rows, columns = np.mgrid[: window.shape[0], : window.shape[1]]
    dx, dy = (columns + c0) * FIELD_UM - x, (rows + r0) * FIELD_UM - y
    u = dx * np.cos(angle) + dy * np.sin(angle)
    v = -dx * np.sin(angle) + dy * np.cos(angle)
    window |= (u / long) ** 2 + (v / short) ** 2 <= 1.0
