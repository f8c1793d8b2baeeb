"""What a section shows of the tissue volume: the profiles of the nuclei it cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tumor_ratio.imaging.transform import Displacement, Transform
from tumor_ratio.phantom.cells import (
    BLAST,
    CELL_TYPES,
    EPITHELIUM,
    KINDS,
    LYMPHOCYTE,
    PARENCHYMA,
    STROMA,
    TUMOR,
)
from tumor_ratio.phantom.fields import TissueFields
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.streams import stream
from tumor_ratio.phantom.volume import Volume, section_floor_um

FloatArray = npt.NDArray[np.float64]
ProfileTable = npt.NDArray[np.float32]
"""(N, len(COLUMNS)) float32, sorted by y: what the compiled painters read."""

COLUMNS = (
    "x", "y", "cos", "sin", "long", "short", "deep", "depth",
    "first", "second", "grain_um", "grain_gain", "grain_u", "grain_v",
    "lobe2c", "lobe2s", "lobe3c", "lobe3s",
    "spot_u", "spot_v", "spot_um", "spot_gain", "spot2_u", "spot2_v",
    "rim", "body_um", "reach",
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """The profiles of one section, in drawing order.

    `table` holds one row a cut nucleus (truth), `profiles` the same rows for the painters.
    """

    name: str
    table: pd.DataFrame
    profiles: ProfileTable


def section_transform(plan: PhantomSlide) -> Transform:
    """H&E to IHC micrometres: a turn and scale about the centre, a shift, a displacement."""
    turn = np.deg2rad(plan.rotation_deg)
    linear = plan.scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.array([plan.width_um, plan.height_um]) / 2
    offset = centre - linear @ centre + (plan.shift_x_um, plan.shift_y_um)
    affine = tuple(
        (float(row[0]), float(row[1]), float(o)) for row, o in zip(linear, offset, strict=True)
    )
    spacing_um = max(200.0, max(plan.width_um, plan.height_um) / 16)
    shape = [int(np.ceil(side / spacing_um)) + 1 for side in (plan.height_um, plan.width_um)]
    rng = stream(plan.key, "volume", "displacement")
    shifts = rng.standard_normal((*shape, 2))
    shifts *= plan.displacement_um / max(float(np.hypot(*np.moveaxis(shifts, 2, 0)).max()), 1e-9)
    return Transform(affine, Displacement.from_array(shifts, spacing_um))


def cut_section(
    plan: PhantomSlide,
    tissue: TissueFields,
    volume: Volume,
    section: str,
    transform: Transform,
) -> Section:
    """Cut the volume at the section's depth and give each profile its look.

    A profile is the largest cross-section inside the section: the nucleus's own ellipse where its
    centre lies in the section, a smaller cap otherwise (paler too: less of it absorbs).
    """
    middle = section_floor_um(plan, section) + plan.thickness_um / 2
    depth = volume.z_um - middle
    hit = np.flatnonzero(np.abs(depth) < volume.deep_um + plan.thickness_um / 2)
    he_xy = np.stack([volume.x_um[hit], volume.y_um[hit]], axis=1)
    xy = he_xy if section == "he" else transform.forward(he_xy)
    order = np.lexsort((hit, xy[:, 1]))
    hit, he_xy, xy = hit[order], he_xy[order], xy[order]
    seen, depth = volume.take(hit), depth[hit]

    beyond = np.maximum(np.abs(depth) - plan.thickness_um / 2, 0.0) / seen.deep_um
    shrink2 = 1.0 - beyond**2  # area of the cap's cross-section over that through the centre
    plate = np.where(seen.mitotic, 0.45, 1.0)  # a mitosis shows its chromosomes only
    chord_um = np.minimum(depth + seen.deep_um, plan.thickness_um / 2) - np.maximum(
        depth - seen.deep_um, -plan.thickness_um / 2
    )
    table = pd.DataFrame(
        {
            "volume_id": hit,
            "x_px": xy[:, 0] / plan.mpp,
            "y_px": xy[:, 1] / plan.mpp,
            "x_he_px": he_xy[:, 0] / plan.mpp,
            "y_he_px": he_xy[:, 1] / plan.mpp,
            "area_um2": np.pi * seen.long_um * seen.short_um * shrink2 * plate,
            "positive": seen.positive,
            "cell_type": np.asarray(CELL_TYPES, dtype=object)[seen.kind],
            "diameter_um": 2 * np.cbrt(seen.long_um * seen.short_um * seen.deep_um),
            "dab": seen.dab,
            "mitotic": seen.mitotic,
            "chord_um": chord_um,
        }
    )
    turn = 0.0 if section == "he" else np.deg2rad(plan.rotation_deg)
    profiles = _profiles(plan, tissue, seen, section, xy, he_xy, depth, turn)
    return Section(section, table, profiles)


def _profiles(
    plan: PhantomSlide,
    tissue: TissueFields,
    seen: Volume,
    section: str,
    xy: FloatArray,
    he_xy: FloatArray,
    depth: FloatArray,
    turn: float,
) -> ProfileTable:
    rng = stream(plan.key, section, "profiles")
    n = len(seen)
    kinds = seen.kind
    angle = seen.angle + turn
    out = {name: np.zeros(n) for name in COLUMNS}
    long, short = seen.long_um.copy(), seen.short_um.copy()
    mitotic = seen.mitotic
    long[mitotic], short[mitotic] = long[mitotic] * 0.95, short[mitotic] * (0.45 / 0.95)
    out |= {"x": xy[:, 0], "y": xy[:, 1], "cos": np.cos(angle), "sin": np.sin(angle)}
    out |= {"long": long, "short": short, "deep": seen.deep_um, "depth": depth}

    amount = np.array([kind.hematoxylin for kind in KINDS])[kinds]
    amount *= tissue.at(tissue.tone, he_xy[:, 0], he_xy[:, 1])
    amount *= np.exp(0.10 * rng.standard_normal(n))
    amount = np.where((kinds == TUMOR) | (kinds == BLAST), amount * plan.hyperchromasia, amount)
    out |= _chromatin(seen, rng)
    if section == "he":
        out["first"] = np.where(mitotic, 1.75 * amount, amount)
    else:
        out["first"] = amount * np.where(seen.positive, 0.45, 0.8)
        out["second"] = seen.dab * np.exp(0.08 * rng.standard_normal(n))
        out["grain_gain"] *= 0.6
    lobing = np.array([kind.lobing for kind in KINDS])[kinds]
    lobing = np.where(mitotic, 0.10, lobing)
    for name in ("lobe2c", "lobe2s", "lobe3c", "lobe3s"):
        out[name] = lobing * rng.standard_normal(n).clip(-2, 2)
    body = np.array([kind.body for kind in KINDS])[kinds]
    out["body_um"] = body * np.sqrt(seen.long_um * seen.short_um) * rng.uniform(0.9, 1.1, n)
    out["reach"] = np.maximum(long, short) * (1.05 + 2.5 * lobing)
    return np.ascontiguousarray(np.stack([out[name] for name in COLUMNS], axis=1), np.float32)


def _chromatin(seen: Volume, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Chromatin texture: fine in resting nuclei, coarse with nucleoli in cycling ones.

    The contrast is alike, so that the histogram of a nucleus tells its state far less than the
    arrangement of its pixels does.
    """
    n, kinds = len(seen), seen.kind
    cycling = seen.positive
    scale = np.array([0.48, 0.45, 0.42, 0.48, 0.45, 0.48])[kinds]
    gain = np.array([0.40, 0.36, 0.33, 0.35, 0.34, 0.35])[kinds]
    scale = np.where(cycling, 1.1, scale) * np.exp(0.20 * rng.standard_normal(n))
    gain = np.where(cycling, 0.68, gain)
    mean_radius = np.sqrt(seen.long_um * seen.short_um)
    spot_um = np.where(cycling, 0.20, 0.11) * mean_radius * rng.uniform(0.8, 1.2, n)
    has_spot = np.array([0.0, 0.0, 0.8, 0.7, 0.3, 0.9])
    spotted = cycling & (kinds != LYMPHOCYTE) | (rng.random(n) < has_spot[kinds])
    spot_gain = np.where(spotted, np.where(cycling, 0.82, 0.35), 0.0)
    away = np.where(kinds == BLAST, 0.6, 0.35)
    result = {
        "grain_um": scale,
        "grain_gain": np.where(seen.mitotic, 0.1, gain),
        "grain_u": rng.uniform(0, 500, n),
        "grain_v": rng.uniform(0, 500, n),
        "spot_um": spot_um,
        "spot_gain": np.where(seen.mitotic, 0.0, spot_gain),
        "rim": np.array([0.05, 0.05, 0.20, 0.16, 0.10, 0.22])[kinds],
    }
    for name in ("spot", "spot2"):
        turn, far = rng.uniform(0, 2 * np.pi, n), away * np.sqrt(rng.random(n))
        result[f"{name}_u"] = far * seen.long_um * np.cos(turn)
        result[f"{name}_v"] = far * seen.short_um * np.sin(turn)
    second_spot = (rng.random(n) < 0.5) & np.isin(kinds, (TUMOR, BLAST, EPITHELIUM, PARENCHYMA))
    for name in ("u", "v"):
        spot2 = result[f"spot2_{name}"]
        result[f"spot2_{name}"] = np.where(second_spot & (kinds != STROMA), spot2, 1e3)
    return result
