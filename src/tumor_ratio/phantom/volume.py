"""The nuclei of the tissue volume: ellipsoids with their Ki-67 state, placed in three dimensions.

The slab holds both sections, so that a nucleus may be cut by one, by both or, in the gap, by none.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from tumor_ratio.phantom.cells import (
    BLAST,
    EPITHELIUM,
    KINDS,
    LARGEST_CYCLING_GROWTH,
    LARGEST_DIAMETER_UM,
    LYMPHOCYTE,
    MITOTIC_SHARE,
    PARENCHYMA,
    STROMA,
    TUMOR,
    WEAK_SHARE,
)
from tumor_ratio.phantom.fields import FIELD_UM, TissueFields
from tumor_ratio.phantom.packing import settle
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.streams import stream

FloatArray = npt.NDArray[np.float64]
TRIES = 10
TOLERATED_OVERLAP = 0.25
_Z_MARGIN_UM = 9.0

# Share of the nuclear area that each kind of cell has in each kind of tissue.
_MIXTURES: dict[str, dict[int, float]] = {
    "tumor": {TUMOR: 0.77, LYMPHOCYTE: 0.13, STROMA: 0.08, PARENCHYMA: 0.02},
    "follicle": {BLAST: 0.86, LYMPHOCYTE: 0.14},
    "lymphoid": {LYMPHOCYTE: 0.84, STROMA: 0.08, PARENCHYMA: 0.08},
    "parenchyma": {PARENCHYMA: 0.82, STROMA: 0.12, LYMPHOCYTE: 0.06},
    "stroma": {STROMA: 0.60, LYMPHOCYTE: 0.245, PARENCHYMA: 0.15, TUMOR: 0.005},
}


@dataclass
class Volume:
    """Nuclei of the slab, one element each; positions and semi-axes in um."""

    x_um: FloatArray
    y_um: FloatArray
    z_um: FloatArray
    """Depth below the H&E section's upper face."""
    long_um: FloatArray
    short_um: FloatArray
    deep_um: FloatArray
    """Semi-axis along z."""
    angle: FloatArray
    kind: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    growth: FloatArray
    """Diameter over that of the resting nucleus."""
    mitotic: npt.NDArray[np.bool_]
    dab: FloatArray
    """Amount of DAB at full section thickness."""

    def __len__(self) -> int:
        return len(self.x_um)

    def take(self, which: npt.NDArray) -> Volume:
        """The nuclei at the indices, or where the mask holds."""
        return Volume(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


def section_floor_um(plan: PhantomSlide, section: str) -> float:
    """Depth at which a section (`he`, `ihc`) begins; it ends `thickness_um` deeper."""
    return 0.0 if section == "he" else plan.thickness_um + plan.gap_um


def tissue_volume(plan: PhantomSlide, tissue: TissueFields) -> Volume:
    """Place every nucleus that either section can cut."""
    depth_um = 2 * plan.thickness_um + plan.gap_um + 2 * _Z_MARGIN_UM
    parts = [_gland_nuclei(plan, tissue, depth_um)]
    shares = {
        kind: sum(mix.get(kind, 0.0) * getattr(tissue, name) for name, mix in _MIXTURES.items())
        for kind in range(len(KINDS))
        if kind != EPITHELIUM
    }
    for kind, share in shares.items():
        rng = stream(plan.key, "volume", f"nuclei/{kind}")
        per_um2 = np.asarray(share) * tissue.cellularity / _mean_swept_um3(plan, kind) * depth_um
        counts = rng.poisson(per_um2 * FIELD_UM**2)
        rows, columns = np.divmod(
            np.repeat(np.arange(counts.size), counts.ravel()), counts.shape[1]
        )
        xy = (np.stack([columns, rows], axis=1) + rng.uniform(-0.5, 0.5, (len(rows), 2))) * FIELD_UM
        parts.append(_nuclei(plan, tissue, kind, xy, rng, depth_um))
    order = stream(plan.key, "volume", "order")
    loose = _join(parts[1:])
    volume = _join([parts[0], loose.take(order.permutation(len(loose)))])
    return _packed(plan, volume)


def _packed(plan: PhantomSlide, volume: Volume) -> Volume:
    reach = volume.deep_um + plan.thickness_um / 2
    middles = [section_floor_um(plan, s) + plan.thickness_um / 2 for s in ("he", "ihc")]
    cut = np.zeros(len(volume), dtype=bool)
    for middle in middles:
        cut |= np.abs(volume.z_um - middle) < reach
    volume = volume.take(cut)
    rng = stream(plan.key, "volume", "packing")
    moves = rng.standard_normal((len(volume), TRIES, 2)) * np.linspace(0.0, 1.6, TRIES)[:, None]
    xyz = np.stack([volume.x_um, volume.y_um, volume.z_um], axis=1)
    radius = 0.95 * np.cbrt(volume.long_um * volume.short_um * volume.deep_um)
    reach_um = np.where(volume.kind == EPITHELIUM, 0.4, 0.8) * volume.long_um
    kept = settle(xyz, radius, moves, reach_um, TOLERATED_OVERLAP)
    volume.x_um, volume.y_um = xyz[:, 0], xyz[:, 1]
    inside = (
        (volume.x_um > 0)
        & (volume.y_um > 0)
        & (volume.x_um < plan.width_um)
        & (volume.y_um < plan.height_um)
    )
    return volume.take(kept & inside)


def _nuclei(
    plan: PhantomSlide,
    tissue: TissueFields,
    kind: int,
    xy_um: FloatArray,
    rng: np.random.Generator,
    depth_um: float,
) -> Volume:
    x, y = xy_um[:, 0], xy_um[:, 1]
    if kind == TUMOR:
        logit = np.log(plan.tumor_labelling / (1 - plan.tumor_labelling))
        chance = 1 / (1 + np.exp(-logit - tissue.at(tissue.labelling_shift, x, y)))
    else:
        level = {BLAST: 0.85, LYMPHOCYTE: 0.6 * plan.background_labelling}
        chance = np.full(len(x), level.get(kind, plan.background_labelling))
    angle = rng.uniform(0, np.pi, len(x))
    if kind == STROMA:
        angle = _fibre_angle(tissue, x, y) + 0.25 * rng.standard_normal(len(x))
    volume = _shaped(plan, kind, chance, rng)
    volume.x_um, volume.y_um, volume.angle = x, y, angle
    volume.z_um = rng.uniform(0, depth_um, len(x)) - _Z_MARGIN_UM
    return volume


def _shaped(plan: PhantomSlide, kind: int, chance: npt.NDArray, rng: np.random.Generator) -> Volume:
    """Nuclei without a place: Ki-67 state, then size, which a cycling nucleus's growth changes."""
    n = len(chance)
    cell = KINDS[kind]
    positive = rng.random(n) < chance
    growth = np.where(positive, 1 + (LARGEST_CYCLING_GROWTH - 1) * rng.random(n) ** 0.6, 1.0)
    mitotic = positive & (rng.random(n) < MITOTIC_SHARE)
    diameter = resting_diameter_um(plan, kind) * np.exp(
        cell.spread * np.clip(rng.standard_normal(n), -2, 2)
    )
    stretch = cell.elongation * np.exp(
        cell.elongation_spread * np.clip(rng.standard_normal(n), -2, 2)
    )
    radius = np.minimum(0.5 * diameter * growth, 0.5 * LARGEST_DIAMETER_UM)
    weak = rng.random(n) < WEAK_SHARE
    strong_dab = np.clip(0.85 * np.exp(0.35 * rng.standard_normal(n)), 0.32, 1.7)
    weak_dab = rng.uniform(0.13, 0.32, n)
    none_dab = np.abs(rng.standard_normal(n)) * 0.015
    deep = radius * np.exp(0.05 * rng.standard_normal(n))
    if kind == STROMA:
        deep = radius / np.sqrt(stretch)
    blank = np.zeros(n)
    return Volume(
        x_um=blank,
        y_um=blank,
        z_um=blank,
        long_um=radius * np.sqrt(stretch),
        short_um=radius / np.sqrt(stretch),
        deep_um=deep,
        angle=blank,
        kind=np.full(n, kind),
        positive=positive,
        growth=growth,
        mitotic=mitotic,
        dab=np.where(positive, np.where(weak, weak_dab, strong_dab), none_dab),
    )


def resting_diameter_um(plan: PhantomSlide, kind: int) -> float:
    """Mean diameter of a kind's resting nuclei on a slide."""
    own = {TUMOR: plan.tumor_diameter_um, PARENCHYMA: plan.parenchyma_diameter_um}
    return own.get(kind, KINDS[kind].diameter_um)


def _mean_swept_um3(plan: PhantomSlide, kind: int) -> float:
    """Mean over nuclei of (profile area x depth over which it is cut), um^3.

    Delesse's principle with a section of finite thickness t: a nucleus is seen at its full area
    over t and at its own cross-sections, its volume in all, beyond. Nuclei per um^3 times this is
    the share of the section's area that they cover.
    """
    rng = stream(plan.key, "volume", f"mean size/{kind}")
    level = {TUMOR: plan.tumor_labelling, BLAST: 0.85}
    shaped = _shaped(plan, kind, np.full(4000, level.get(kind, 0.0)), rng)
    full = np.pi * shaped.long_um * shaped.short_um
    return float(np.mean(full * (plan.thickness_um + 4 / 3 * shaped.deep_um)))


def _fibre_angle(tissue: TissueFields, x: FloatArray, y: FloatArray) -> FloatArray:
    """Direction of the collagen: along the level lines of the `across` coordinate."""
    across = tissue.fibre[0]
    gradient_y, gradient_x = (np.asarray(slope, np.float32) for slope in np.gradient(across))
    return np.arctan2(tissue.at(gradient_x, x, y), -tissue.at(gradient_y, x, y)).astype(np.float64)


def _gland_nuclei(plan: PhantomSlide, tissue: TissueFields, depth_um: float) -> Volume:
    """One row of upright nuclei around each lumen, a second, basal one where it proliferates."""
    rng = stream(plan.key, "volume", "gland nuclei")
    parts = []
    spacing_um = 1.02 * KINDS[EPITHELIUM].diameter_um
    for gland in tissue.glands:
        rows = 2 if gland.labelling > 0.1 else 1
        for row in range(rows):
            inset = 5.0 + 8.5 * row
            long, short = gland.long_um - inset, gland.short_um - inset
            around = np.pi * (long + short) / spacing_um
            n = rng.poisson(0.72 * around * depth_um / spacing_um)
            turn = rng.uniform(0, 2 * np.pi, n)
            u, v = long * np.cos(turn), short * np.sin(turn)
            normal = np.arctan2(v / short**2, u / long**2)
            c, s = np.cos(gland.angle), np.sin(gland.angle)
            chance = np.full(n, gland.labelling * (1.0 if row == 0 else 0.6))
            part = _shaped(plan, EPITHELIUM, chance, rng)
            part.x_um = gland.x_um + c * u - s * v + 0.5 * rng.standard_normal(n)
            part.y_um = gland.y_um + s * u + c * v + 0.5 * rng.standard_normal(n)
            part.z_um = rng.uniform(0, depth_um, n) - _Z_MARGIN_UM
            part.angle = normal + gland.angle + 0.12 * rng.standard_normal(n)
            parts.append(part)
    parts.append(_shaped(plan, EPITHELIUM, np.empty(0), rng))
    return _join(parts)


def _join(parts: list[Volume]) -> Volume:
    return Volume(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Volume)}
    )
