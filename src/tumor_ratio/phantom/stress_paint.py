"""Paints stress into a block: dyes that should not be there, gaps, pigment and red cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tumor_ratio.imaging.transform import Transform
from tumor_ratio.phantom.block_rows import Table, near, rows_near
from tumor_ratio.phantom.fields import Field, TissueFields
from tumor_ratio.phantom.painters import GRAIN, Plane, paint_bodies, paint_discs
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.sections import COLUMNS, Section
from tumor_ratio.phantom.streams import stream
from tumor_ratio.phantom.stress import (
    CYTOPLASMIC_DAB_OD,
    CYTOPLASMIC_SHARE,
    EDGE_DAB_OD,
    EDGE_UM,
    Stress,
    dab_amount,
)
from tumor_ratio.phantom.stress_discs import (
    PIGMENT_OD,
    RED_CELL_OD,
    crush_smears,
    necrotic_debris,
    pigment_granules,
    red_cells,
)
from tumor_ratio.phantom.stress_fields import field_at, on_section
from tumor_ratio.phantom.stress_sections import tissue_field

_BODY = COLUMNS.index("body_um")


@dataclass(frozen=True)
class StressPaint:
    """What a section's blocks need to show a factor; empty where the factor has no such part."""

    stress: Stress
    mpp: float
    dab: float
    """Added amount of DAB at full effect."""
    field: Field
    """Coarse plane of the section, of the factor's own meaning; (1, 1) where it has none."""
    discs: Table
    colour: tuple[float, float, float]
    """Optical density of the discs at value 1."""
    bodies: Table
    """Profiles of the cells whose cytoplasm is stained."""
    grain: Plane

    def add_dyes(
        self, left: int, top: int, first: Plane, dab: Plane, cover: Plane, hole: Plane
    ) -> None:
        """Add to hematoxylin, DAB and gaps of a block, in place, before it is developed.

        Parameters
        ----------
        left, top : the block's corner, pixels of the slide.
        first, dab : amounts of the dyes of nuclei.
        cover : how much of a pixel nuclei fill.
        hole : share of the pixel without tissue.
        """
        name, shape = self.stress.name, first.shape
        if name == "edge_dab":
            depth = np.maximum(self._field(left, top, shape), 0.0)
            dab += self.dab * np.exp(-depth / EDGE_UM) * self._texture(left, top, shape)
        elif name == "cytoplasmic_dab":
            body = self._cytoplasm(left, top, shape)
            dab += self.dab * body * (1 - np.minimum(cover, 1)) * self._texture(left, top, shape)
        elif name in ("necrosis", "crush"):
            first += self._painted(left, top, shape)
        elif name == "tears":
            gap = np.clip(self._field(left, top, shape) / 2 + 0.5, 0, 1)
            np.maximum(hole, gap, out=hole)
        elif name == "alveolar_lung":
            gap = np.clip(self._field(left, top, shape) / 2 + 0.5, 0, 1)
            gap *= 1 - np.clip(3 * cover, 0, 1)  # nuclei of the septum bulge into the air
            np.maximum(hole, gap, out=hole)
        elif name == "red_cells":
            cells = self._painted(left, top, shape)
            np.maximum(hole, 0.85 * np.minimum(1.3 * cells, 1) * (1 - cover.clip(0, 1)), out=hole)

    def absorb(self, left: int, top: int, light: npt.NDArray[np.float32]) -> None:
        """Take the light of a developed block that pigment or red cells absorb, in place.

        Parameters
        ----------
        left, top : the block's corner, pixels of the slide.
        light : (rows, columns, 3) transmittance.
        """
        if self.stress.name in ("pigment", "red_cells"):
            amount = self._painted(left, top, light.shape[:2])
            light *= np.power(10.0, -amount[..., None] * np.array(self.colour, np.float32))

    def _field(self, left: int, top: int, shape: tuple[int, int]) -> Plane:
        y = (np.arange(top, top + shape[0]) + 0.5) * self.mpp
        x = (np.arange(left, left + shape[1]) + 0.5) * self.mpp
        return field_at(self.field, *np.meshgrid(x, y))

    def _painted(self, left: int, top: int, shape: tuple[int, int]) -> Plane:
        plane = np.zeros(shape, np.float32)
        paint_discs(near(self.discs, left, top, shape, self.mpp), left, top, self.mpp, plane)
        return plane

    def _cytoplasm(self, left: int, top: int, shape: tuple[int, int]) -> Plane:
        """1 inside the stained cells, 0 outside."""
        nearest, second = (np.full(shape, 9.0, np.float32) for _ in range(2))
        rows = rows_near(self.bodies, left, top, shape, self.mpp)
        paint_bodies(self.bodies[rows], left, top, self.mpp, nearest, second)
        return np.clip((1.15 - np.sqrt(nearest)) * 2.2, 0, 1)

    def _texture(self, left: int, top: int, shape: tuple[int, int]) -> Plane:
        """Mean 1; a function of the pixel's place on the slide."""
        texture = np.ones(shape, np.float32)
        for coarser, gain in ((1, 0.16), (5, 0.22)):
            rows = np.arange(top, top + shape[0]) // coarser % GRAIN
            columns = np.arange(left, left + shape[1]) // coarser % GRAIN
            texture += gain * np.clip(self.grain[np.ix_(rows, columns)], -2, 2)
        return texture


def stress_paint(
    plan: PhantomSlide, tissue: TissueFields, section: Section, transform: Transform, grain: Plane
) -> StressPaint | None:
    """Prepare what a section's blocks show of the slide's stress; None where that is nothing.

    Parameters
    ----------
    plan, transform : the slide's.
    tissue : the slide's own, before `stress_sections.stressed_tissue`.
    section : as it is shown.
    grain : the section's periodic noise, mean 0, standard deviation 1.
    """
    stress = plan.stress
    if stress is None or not stress.concerns(section.name):
        return None
    look = plan.he if section.name == "he" else plan.ihc
    added = {"edge_dab": EDGE_DAB_OD, "cytoplasmic_dab": CYTOPLASMIC_DAB_OD}
    amount = dab_amount(look, stress.strength * added.get(stress.name, 0.0))
    nothing: Table = np.empty((0, 8), np.float32)
    field, discs, bodies = np.zeros((1, 1), np.float32), nothing, section.profiles[:0]
    colour = RED_CELL_OD[section.name] if stress.name == "red_cells" else PIGMENT_OD
    if stress.name in ("tears", "alveolar_lung"):
        field = tissue_field(plan, tissue, section.name, transform, stress)
    elif stress.name == "edge_dab":
        field = on_section(tissue.edge_um, tissue, section.name, transform)
    elif stress.name == "cytoplasmic_dab":
        rng = stream(plan.key, section.name, "stress/cytoplasmic_dab")
        chosen = rng.random(len(section.profiles)) < CYTOPLASMIC_SHARE
        bodies = section.profiles[chosen & (section.profiles[:, _BODY] > 0)]
    elif stress.name == "necrosis":
        discs = necrotic_debris(plan, tissue, section.name, transform, stress)
    elif stress.name == "crush":
        discs = crush_smears(plan, tissue, section.name, transform, stress)
    elif stress.name == "pigment":
        discs = pigment_granules(plan, tissue, section.name, transform, stress)
    elif stress.name == "red_cells":
        discs = red_cells(plan, tissue, section, transform, stress)
    return StressPaint(stress, plan.mpp, amount, field, discs, colour, bodies, grain)
