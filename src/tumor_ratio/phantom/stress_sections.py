"""What stress leaves of the tissue: nuclei gone, nuclei crushed, necrotic ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tumor_ratio.imaging.transform import Transform
from tumor_ratio.phantom.fields import Field, TissueFields
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.sections import COLUMNS, Section
from tumor_ratio.phantom.streams import stream
from tumor_ratio.phantom.stress import Stress
from tumor_ratio.phantom.stress_fields import field_at, on_section, tears_um, tissue_stress

CRUSHED_LONG, CRUSHED_SHORT = 1.9, 0.55
"""Factors on a crushed nucleus' axes."""
_LONGEST_UM = 20.0
_NECROTIC_EOSIN = 0.45


def stressed_tissue(plan: PhantomSlide, tissue: TissueFields) -> TissueFields:
    """The tissue as its ground is painted and its truth is written; nuclei are placed before.

    Necrosis turns tumor and collagen into pink debris. Any other factor leaves these fields alone:
    air never lies in a nest.
    """
    if plan.stress is None or plan.stress.name != "necrosis":
        return tissue
    necrotic = tissue_stress(plan, tissue, plan.stress)
    return replace(
        tissue,
        tumor=tissue.tumor * (1 - necrotic),
        stroma=tissue.stroma * (1 - necrotic),
        eosin=tissue.eosin * (1 + _NECROTIC_EOSIN * necrotic),
    )


def stressed_section(
    plan: PhantomSlide, tissue: TissueFields, section: Section, transform: Transform
) -> Section:
    """The section without the nuclei that are necrotic, torn or in air, or with crushed ones.

    Parameters
    ----------
    plan : with the stress; without one the section is returned as it is.
    tissue : the slide's own, before `stressed_tissue`.
    section : as it was cut.
    transform : H&E to IHC micrometres.

    Returns
    -------
    Section
        Table and profiles keep their order; areas are those that are shown.
    """
    stress = plan.stress
    if stress is None or stress.name not in ("necrosis", "crush", "tears", "alveolar_lung"):
        return section
    x_um, y_um = (section.profiles[:, index] for index in (0, 1))
    amount = field_at(tissue_field(plan, tissue, section.name, transform, stress), x_um, y_um)
    if stress.name == "crush":
        return _crushed(plan, section, amount > 0.5)
    gone = amount > (0.5 if stress.name == "necrosis" else 0.0)
    return Section(
        section.name, section.table[~gone].reset_index(drop=True), section.profiles[~gone]
    )


def tissue_field(
    plan: PhantomSlide, tissue: TissueFields, section: str, transform: Transform, stress: Stress
) -> Field:
    """Where the tissue is stressed, on the section's own grid.

    Necrosis and crush in [0, 1]; tears and air as um inside them, negative outside.
    """
    if stress.name == "tears":
        edge_um = on_section(tissue.edge_um, tissue, section, transform)
        return tears_um(plan, section, edge_um, stress)
    return on_section(tissue_stress(plan, tissue, stress), tissue, section, transform)


def crush_angle(plan: PhantomSlide, section: str) -> float:
    """Direction in which a section's crushed nuclei are drawn out, radians."""
    turn = 0.0 if section == "he" else np.deg2rad(plan.rotation_deg)
    return float(stream(plan.key, "volume", "stress/crush/angle").uniform(0, np.pi) + turn)


def _crushed(plan: PhantomSlide, section: Section, crushed: npt.NDArray[np.bool_]) -> Section:
    """Nuclei drawn out in one direction, dark and without chromatin; their Ki-67 state stays."""
    rng = stream(plan.key, section.name, "stress/crush/nuclei")
    profiles, table = section.profiles.copy(), section.table.copy()
    n = len(profiles)
    angle = crush_angle(plan, section.name) + 0.18 * rng.standard_normal(n)
    longer = CRUSHED_LONG * np.exp(0.2 * rng.standard_normal(n))
    column = {name: COLUMNS.index(name) for name in COLUMNS}
    # A nucleus keeps its area but for what the two factors take; its own elongation is lost.
    radius = np.sqrt(profiles[:, column["long"]] * profiles[:, column["short"]])
    long_um = np.minimum(radius * longer, _LONGEST_UM)
    new = {
        "cos": np.cos(angle),
        "sin": np.sin(angle),
        "long": long_um,
        "short": radius * CRUSHED_SHORT,
        "first": profiles[:, column["first"]] * 1.3,
        "grain_gain": profiles[:, column["grain_gain"]] * 0.15,
        "spot_gain": np.zeros(n),
        "rim": np.zeros(n),
        "reach": long_um * 1.3,
    }
    for name, values in new.items():
        profiles[crushed, column[name]] = values[crushed]
    shrunk = long_um * CRUSHED_SHORT / radius
    table.loc[crushed, "area_um2"] *= shrunk[crushed]
    return Section(section.name, table, np.ascontiguousarray(profiles))
