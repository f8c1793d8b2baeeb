"""Where a factor of stress lies: coarse fields over a section, from random streams of their own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from tumor_ratio.imaging.transform import Transform
from tumor_ratio.phantom.fields import FIELD_UM, Field, TissueFields, smooth_field
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.streams import stream
from tumor_ratio.phantom.stress import CRUSHED_SHARE, NECROTIC_SHARE, TORN_SHARE, Stress

ALVEOLUS_UM = 85.0
"""Distance between the centres of neighbouring alveoli."""
SEPTUM_UM = 13.0
TEAR_UM = (4.0, 13.0)
"""Half-widths of tears."""
_MOST_TEARS = 200


def tissue_stress(plan: PhantomSlide, tissue: TissueFields, stress: Stress) -> Field:
    """Where the volume is necrotic or crushed, in [0, 1], or air (um inside it), on the H&E grid.

    Parameters
    ----------
    plan, tissue : the slide's own.
    stress : `necrosis`, `crush` or `alveolar_lung`.

    Raises
    ------
    ValueError
        For any other factor: it has no place in the volume.
    """
    if stress.name == "necrosis":
        return _patches(plan, tissue, "necrosis", stress.share(NECROTIC_SHARE))
    if stress.name == "crush":
        return _patches(plan, tissue, "crush", stress.share(CRUSHED_SHARE))
    if stress.name == "alveolar_lung":
        return _air_um(plan, tissue, stress)
    raise ValueError(f"{stress.name} has no place in the tissue volume")


def tears_um(plan: PhantomSlide, section: str, edge_um: Field, stress: Stress) -> Field:
    """Distance inside the section's tears, um (negative outside), on the section's grid.

    Tears are made until they cover their share of the tissue: wavy gaps with tapered ends.

    Parameters
    ----------
    plan : the slide.
    section : each section tears by itself.
    edge_um : distance to the tissue's outline, on the section's grid.
    stress : with the strength.
    """
    rng = stream(plan.key, section, "stress/tears")
    y, x = np.mgrid[: edge_um.shape[0], : edge_um.shape[1]] * FIELD_UM
    tissue = edge_um > 0
    ragged = 3.0 * smooth_field(rng, (edge_um.shape[0], edge_um.shape[1]), 14.0)
    inside = np.full(edge_um.shape, -1e3)
    for _ in range(_MOST_TEARS):
        if (inside[tissue] > 0).mean() >= stress.share(TORN_SHARE):
            break
        row, column = divmod(int(rng.choice(np.flatnonzero(tissue))), edge_um.shape[1])
        turn, phase = rng.uniform(0, 2 * np.pi, 2)
        length = rng.uniform(80.0, 260.0)
        dx, dy = x - column * FIELD_UM, y - row * FIELD_UM
        along = dx * np.cos(turn) + dy * np.sin(turn)
        across = -dx * np.sin(turn) + dy * np.cos(turn) + 12.0 * np.sin(along / 45.0 + phase)
        half_width = rng.uniform(*TEAR_UM) * np.sqrt(np.clip(1 - (2 * along / length) ** 2, 0, 1))
        gap = np.where(half_width > 0, half_width + ragged - np.abs(across), -1e3)
        inside = np.maximum(inside, gap)
    return np.clip(inside, -50.0, 50.0).astype(np.float32)


def on_section(
    field: Field, tissue: TissueFields, section: str, transform: Transform
) -> npt.NDArray[np.float32]:
    """A field of the H&E grid on the section's own grid."""
    if section == "he":
        return field
    rows, columns = tissue.shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32) * np.float32(FIELD_UM)
    origin = transform.inverse(np.stack([x.ravel(), y.ravel()], axis=1))
    return tissue.at(field, origin[:, 0], origin[:, 1]).reshape(rows, columns)


def field_at(field: Field, x_um: npt.NDArray, y_um: npt.NDArray) -> npt.NDArray[np.float32]:
    """Bilinear value at points of the field's own section; beyond the grid its border holds."""
    coordinates = [np.asarray(y_um) / FIELD_UM, np.asarray(x_um) / FIELD_UM]
    return ndimage.map_coordinates(field, coordinates, order=1, mode="nearest")


def _patches(plan: PhantomSlide, tissue: TissueFields, name: str, share: float) -> Field:
    """A few patches that cover a share of the tissue, with soft borders."""
    rng = stream(plan.key, "volume", f"stress/{name}")
    score = smooth_field(rng, tissue.shape, 220.0) + 0.25 * smooth_field(rng, tissue.shape, 60.0)
    inside = tissue.edge_um > 0
    patches = inside & (score >= np.quantile(score[inside], 1.0 - share))
    return ndimage.gaussian_filter(patches.astype(np.float32), 1.0)


def _air_um(plan: PhantomSlide, tissue: TissueFields, stress: Stress) -> Field:
    """Air between thin septa wherever the tissue is neither tumor, lymphoid nor gland.

    Alveoli are the cells nearest to jittered points; a share of them (all at strength 1) is open.
    """
    rng = stream(plan.key, "volume", "stress/alveoli")
    rows, columns = tissue.shape
    centres = np.stack(
        np.meshgrid(
            np.arange(-1, columns * FIELD_UM / ALVEOLUS_UM + 2),
            np.arange(-1, rows * FIELD_UM / ALVEOLUS_UM + 2),
        ),
        axis=2,
    ).reshape(-1, 2)
    centres = (centres + rng.uniform(-0.38, 0.38, centres.shape)) * ALVEOLUS_UM
    bent = 2.5 * smooth_field(rng, tissue.shape, 30.0)
    is_open = rng.random(len(centres)) < stress.strength
    y, x = np.mgrid[:rows, :columns] * FIELD_UM
    distance, nearest = cKDTree(centres).query(np.stack([x.ravel(), y.ravel()], axis=1), k=2)
    first, second = (centres[nearest[:, index]] for index in (0, 1))
    apart = np.maximum(np.hypot(*(second - first).T), 1.0)
    # Distance to the plane halfway between the two nearest centres.
    to_border = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * apart)
    air = np.where(is_open[nearest[:, 0]], to_border - SEPTUM_UM / 2, -50.0)
    air = air.reshape(rows, columns) + bent
    loose = (tissue.parenchyma + tissue.stroma > 0.5) & (tissue.edge_um > 12.0)
    depth = ndimage.distance_transform_edt(loose) - ndimage.distance_transform_edt(~loose)
    air = np.minimum(air, FIELD_UM * depth - 6.0)
    return np.clip(ndimage.gaussian_filter(air, 0.7), -50.0, 50.0).astype(np.float32)
