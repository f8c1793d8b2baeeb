"""Ranges that a phantom's factors are drawn from, per family.

Stress (necrosis, crush, over-staining, pigment, ...), one factor at a time, is `phantom.stress`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tumor_ratio.phantom.balance import FloatArray


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`; `power` over 1 crowds them towards `low`.

    `low2, high2`: a second interval, taken by the upper half of the quantiles (for ranges on both
    sides of the training range).
    """

    low: float
    high: float
    power: float = 1.0
    low2: float | None = None
    high2: float | None = None

    def at(self, quantile: FloatArray) -> FloatArray:
        """Values at the quantiles, elementwise."""
        if self.low2 is None or self.high2 is None:
            return self.low + (self.high - self.low) * quantile**self.power
        lower = self.low + (self.high - self.low) * np.minimum(2 * quantile, 1.0)
        upper = self.low2 + (self.high2 - self.low2) * np.clip(2 * quantile - 1, 0.0, 1.0)
        return np.where(quantile < 0.5, lower, upper)


BURDEN = Range(0.012, 0.48, power=2.5)
LABELLING = Range(0.28, 0.66)
GAPS_UM = (0.0, 4.0, 20.0)

TRAINING: dict[str, Range] = {
    "thickness_um": Range(3.0, 5.0),
    "rotation_deg": Range(-3.0, 3.0),
    "scale": Range(0.99, 1.01),
    "shift_x_um": Range(-20.0, 20.0),
    "shift_y_um": Range(-20.0, 20.0),
    "displacement_um": Range(4.0, 14.0),
    "labelling_spread": Range(0.35, 0.8),
    "background_labelling": Range(0.01, 0.035),
    "follicle_share": Range(0.0, 0.09),
    "gland_share": Range(0.02, 0.16),
    "lymphoid_share": Range(0.08, 0.26),
    "parenchyma_share": Range(0.35, 0.65),
    "tissue_share": Range(0.60, 0.75),
    "nest_um": Range(90.0, 190.0),
    "cellularity": Range(0.27, 0.35),
    "tumor_diameter_um": Range(9.9, 11.6),
    "parenchyma_diameter_um": Range(8.2, 9.6),
    "hyperchromasia": Range(0.85, 1.15),
    "he.hematoxylin": Range(0.50, 0.74),
    "he.second": Range(0.85, 1.2),
    "he.hue_first": Range(-0.05, 0.06),
    "he.hue_second": Range(-0.03, 0.06),
    "he.cytoplasm": Range(0.22, 0.34),
    "he.unevenness": Range(0.06, 0.12),
    "he.blur_um": Range(0.28, 0.5),
    "he.noise": Range(1.2, 3.0),
    "he.white": Range(236.0, 248.0),
    "he.warmth": Range(-3.0, 3.0),
    "ihc.hematoxylin": Range(0.48, 0.70),
    "ihc.second": Range(0.65, 0.95),
    "ihc.hue_first": Range(-0.04, 0.06),
    "ihc.hue_second": Range(-0.04, 0.05),
    "ihc.cytoplasm": Range(0.06, 0.12),
    "ihc.background_dab": Range(0.01, 0.05),
    "ihc.unevenness": Range(0.05, 0.1),
    "ihc.blur_um": Range(0.28, 0.5),
    "ihc.noise": Range(1.2, 3.0),
    "ihc.white": Range(236.0, 248.0),
    "ihc.warmth": Range(-3.0, 3.0),
}

SHIFTED: dict[str, Range] = {
    "thickness_um": Range(2.0, 2.8, low2=5.4, high2=7.0),
    "rotation_deg": Range(-7.0, -4.0, low2=4.0, high2=7.0),
    "displacement_um": Range(16.0, 24.0),
    "tumor_diameter_um": Range(8.8, 9.6, low2=11.9, high2=12.6),
    "hyperchromasia": Range(0.65, 0.8, low2=1.2, high2=1.35),
    "he.hematoxylin": Range(0.36, 0.46, low2=0.78, high2=0.92),
    "he.second": Range(0.6, 0.78, low2=1.28, high2=1.5),
    "he.hue_first": Range(-0.12, -0.07, low2=0.08, high2=0.13),
    "he.blur_um": Range(0.6, 0.9),
    "he.noise": Range(3.5, 6.0),
    "he.white": Range(222.0, 233.0),
    "ihc.hematoxylin": Range(0.34, 0.44, low2=0.74, high2=0.88),
    "ihc.second": Range(0.45, 0.60, low2=1.0, high2=1.25),
    "ihc.background_dab": Range(0.06, 0.1),
    "ihc.blur_um": Range(0.6, 0.9),
    "ihc.noise": Range(3.5, 6.0),
    "ihc.white": Range(222.0, 233.0),
}
"""Factors of the shifted family, outside `TRAINING`; those not named stay as they are there."""


def factor_ranges(family: str) -> dict[str, Range]:
    """Range of every nuisance factor in a family."""
    return TRAINING | SHIFTED if family == "shifted" else TRAINING


Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class SectionLook:
    """How one section was cut, stained and scanned.

    `first_od`, `second_od` are the stains' optical densities (log10) in R, G, B at unit amount:
    hematoxylin, then eosin (H&E) or DAB (IHC).
    """

    first_od: Rgb
    second_od: Rgb
    cytoplasm: float
    """Amount of the second stain (H&E), or of hematoxylin haze (IHC), in cytoplasm and fibres."""
    background_dab: float
    """Unspecific DAB amount in cytoplasm; 0 in H&E."""
    unevenness: float
    """Relative standard deviation of the stain over the section."""
    blur_um: float
    noise: float
    """Standard deviation of the sensor's noise, in grey levels."""
    white: Rgb
    jpeg_quality: int
