"""Stress: what can be wrong with a slide, one factor at a time.

A stressed slide is the slide of the same plan, its tissue, nuclei and random streams unchanged,
with one factor moved out of the training ranges. So a slide and its stressed twin are a pair, and
what differs between their results is due to the factor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np

from tumor_ratio.phantom.factors import Rgb, SectionLook

StressName = Literal[
    "necrosis",
    "crush",
    "tears",
    "alveolar_lung",
    "strong_dab",
    "weak_dab",
    "background_dab",
    "edge_dab",
    "cytoplasmic_dab",
    "faint_counterstain",
    "strong_counterstain",
    "faint_hematoxylin",
    "strong_hematoxylin",
    "pigment",
    "red_cells",
    "defocus",
]
"""A factor; what it does at strength 1 is below. Counterstain: the IHC section's hematoxylin."""

STRESSES: Final[tuple[StressName, ...]] = get_args(StressName)

IN_TISSUE: Final = ("necrosis", "crush", "tears", "alveolar_lung")
"""Factors that change the tissue, and with it the truth."""
IHC_ONLY: Final = (
    "strong_dab",
    "weak_dab",
    "background_dab",
    "edge_dab",
    "cytoplasmic_dab",
    "faint_counterstain",
    "strong_counterstain",
)
HE_ONLY: Final = ("faint_hematoxylin", "strong_hematoxylin")

# At strength 1. Shares and added amounts are multiplied by the strength; for the factors of a stain
# the strength is an exponent.
NECROTIC_SHARE: Final = 0.25
"""Of the tissue."""
CRUSHED_SHARE: Final = 0.25
TORN_SHARE: Final = 0.06
PIGMENT_SHARE: Final = 0.015
RED_CELL_SHARE: Final = 0.08
STRONG_DAB: Final = 1.8
WEAK_DAB: Final = 0.45
FAINT: Final = 0.5
STRONG: Final = 1.7
"""Factors of the stain's optical density."""
BACKGROUND_DAB_OD: Final = 0.15
"""Added DAB density (decadic) of the tissue between nuclei."""
EDGE_DAB_OD: Final = 0.45
"""Added at the tissue's outline; 1/e of it `EDGE_UM` inside."""
EDGE_UM: Final = 40.0
CYTOPLASMIC_DAB_OD: Final = 0.4
"""Added in the cytoplasm of `CYTOPLASMIC_SHARE` of the cells that have one."""
CYTOPLASMIC_SHARE: Final = 0.5
DEFOCUS_UM: Final = 1.2
"""Added to the standard deviation of the blur, in quadrature."""

_GROUND_DYE: Final = 0.95
"""What texture and cytoplasm of the tissue between nuclei make of an amount, median of slides."""


@dataclass(frozen=True)
class Stress:
    """One factor and how far it is moved.

    Parameters
    ----------
    name : the factor.
    strength : 1 for the amounts stated in this module.
    """

    name: StressName
    strength: float = 1.0

    def concerns(self, section: str) -> bool:
        """Whether the factor changes a section (`he`, `ihc`) at all."""
        return self.name not in (IHC_ONLY if section == "he" else HE_ONLY)

    def share(self, at_strength_1: float) -> float:
        """A share of the tissue at this strength, at most 0.9."""
        return min(at_strength_1 * self.strength, 0.9)


def stressed_look(look: SectionLook, section: str, stress: Stress) -> SectionLook:
    """The look of a section under a factor of stain or focus; unchanged under any other.

    Parameters
    ----------
    look : the section's own.
    section : `he` or `ihc`.
    stress : the factor.
    """
    if not stress.concerns(section):
        return look
    name, strength = stress.name, stress.strength
    if name in ("strong_dab", "weak_dab"):
        factor = (STRONG_DAB if name == "strong_dab" else WEAK_DAB) ** strength
        return replace(look, second_od=_scaled(look.second_od, factor))
    if name in ("faint_counterstain", "faint_hematoxylin"):
        return replace(look, first_od=_scaled(look.first_od, FAINT**strength))
    if name in ("strong_counterstain", "strong_hematoxylin"):
        return replace(look, first_od=_scaled(look.first_od, STRONG**strength))
    if name == "background_dab":
        added = dab_amount(look, BACKGROUND_DAB_OD * strength) / _GROUND_DYE
        return replace(look, background_dab=look.background_dab + added)
    if name == "defocus":
        return replace(look, blur_um=float(np.hypot(look.blur_um, DEFOCUS_UM * strength)))
    return look


def dab_amount(look: SectionLook, od: float) -> float:
    """The amount of a section's DAB that has a density of `od` along its vector."""
    return od / float(np.linalg.norm(look.second_od))


def _scaled(od: Rgb, factor: float) -> Rgb:
    red, green, blue = od
    return (factor * red, factor * green, factor * blue)
