"""The plan of a phantom cohort: every factor of every slide, drawn before anything is rendered."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from tumor_ratio.phantom.balance import FloatArray, balanced_order, stratified
from tumor_ratio.phantom.factors import (
    BURDEN,
    GAPS_UM,
    LABELLING,
    Rgb,
    SectionLook,
    factor_ranges,
)
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.streams import StreamKey, stream, stream_key
from tumor_ratio.phantom.stress import Stress, StressName, stressed_look


@dataclass(frozen=True)
class PhantomSlide:
    """Every factor of one slide pair. Picklable and JSON-able; carries no pixels."""

    family: str
    seed: int
    index: int
    slide_id: str
    case_id: str
    width_px: int
    height_px: int
    mpp: float
    tile_px: int
    thickness_um: float
    gap_um: float
    """Tissue lost between the two sections."""
    rotation_deg: float
    scale: float
    shift_x_um: float
    shift_y_um: float
    displacement_um: float
    """Largest smooth displacement between the sections."""
    burden: float
    """Share of the tissue (lumens out) that is tumor nest."""
    tumor_labelling: float
    """Share of tumor nuclei that are Ki-67 positive, on the slide's average."""
    labelling_spread: float
    background_labelling: float
    expected_ratio: float
    follicle_share: float
    gland_share: float
    lymphoid_share: float
    parenchyma_share: float
    tissue_share: float
    nest_um: float
    cellularity: float
    """Mean share of the section's area that nuclei cover."""
    tumor_diameter_um: float
    parenchyma_diameter_um: float
    hyperchromasia: float
    he: SectionLook
    ihc: SectionLook

    @property
    def width_um(self) -> float:
        """Width of either section's slide."""
        return self.width_px * self.mpp

    @property
    def height_um(self) -> float:
        """Height of either section's slide."""
        return self.height_px * self.mpp

    @property
    def key(self) -> StreamKey:
        """Key of the slide's random streams."""
        return stream_key(self.family, self.seed, self.slide_id)

    @property
    def stress(self) -> Stress | None:
        """The factor that is moved out of the training ranges; None on a slide without one."""
        return None

    @property
    def cohort_name(self) -> str:
        """Name of the cohort's folder: no other family, seed or stress has it."""
        return f"{self.family}_seed{self.seed}"

    def to_record(self) -> dict[str, Any]:
        """Every factor, as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> PhantomSlide:
        """Rebuild what `to_record` described, a `StressedSlide` where there is stress."""
        kind = StressedSlide if "stress_name" in record else cls
        values = {name.name: record[name.name] for name in fields(kind)}
        for section in ("he", "ihc"):
            look: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values[section].items()
            }
            values[section] = SectionLook(**look)
        return kind(**values)


@dataclass(frozen=True)
class StressedSlide(PhantomSlide):
    """A slide pair with one factor moved out of the training ranges, all else as it was.

    A class of its own, so that slides without stress keep their records and their results.
    """

    stress_name: StressName
    stress_strength: float

    @property
    def stress(self) -> Stress:
        """The factor and how far it is moved."""
        return Stress(self.stress_name, self.stress_strength)

    @property
    def cohort_name(self) -> str:
        """Name of the cohort's folder."""
        return f"{super().cohort_name}_{self.stress_name}_{self.stress_strength:g}"


def stressed(plan: PhantomSlide, stress: Stress) -> StressedSlide:
    """The same slide under stress: same tissue, nuclei and streams.

    Parameters
    ----------
    plan : a slide without stress.
    stress : the factor.

    Raises
    ------
    ValueError
        If the slide is stressed already: one factor is moved at a time.
    """
    if plan.stress is not None:
        raise ValueError(f"slide {plan.slide_id} is under {plan.stress.name} already")
    values = {each.name: getattr(plan, each.name) for each in fields(plan)}
    for section in ("he", "ihc"):
        values[section] = stressed_look(values[section], section, stress)
    return StressedSlide(**values, stress_name=stress.name, stress_strength=stress.strength)


def plan_phantom(params: PhantomParams) -> tuple[PhantomSlide, ...]:
    """Draw a cohort.

    Burden is skewed towards little tumor; tumor labelling is independent of it; every other factor
    is stratified over its range and ordered so that it correlates neither with burden nor with the
    slide's expected ratio (|r| under 0.1 from about eight slides on; the best order found below).

    Returns
    -------
    tuple of PhantomSlide
        In the order of their neutral ids `p01`, `p02`, ...
    """
    cohort = stream_key(params.family, params.seed, "cohort")
    n = params.n_slides

    def rng(factor: str) -> np.random.Generator:
        return stream(cohort, "cohort", factor)

    burden = BURDEN.at(stratified(rng("burden"), n))
    burden = burden[rng("order").permutation(n)]
    ranges = factor_ranges(params.family)
    targets = burden[None]
    table: dict[str, FloatArray] = {}

    def draw(name: str, levels: FloatArray) -> FloatArray:
        return levels[balanced_order(levels, targets, rng(f"{name}/order"))]

    labelling = draw("tumor_labelling", LABELLING.at(stratified(rng("tumor_labelling"), n)))
    for name in ("follicle_share", "gland_share", "background_labelling"):
        table[name] = draw(name, ranges[name].at(stratified(rng(name), n)))
    expected = _expected_ratio(burden, labelling, table)
    targets = np.stack([burden, expected])
    for name, span in ranges.items():
        if name not in table:
            table[name] = draw(name, span.at(stratified(rng(name), n)))
    gap = draw("gap_um", np.resize(np.asarray(GAPS_UM), n))
    low, high = params.jpeg_quality
    quality = {
        section: draw(f"{section}.jpeg", np.rint(np.linspace(low, high, n)))
        for section in ("he", "ihc")
    }
    slides = tuple(
        _slide(
            params,
            index,
            {name: float(values[index]) for name, values in table.items()},
            burden=float(burden[index]),
            tumor_labelling=float(labelling[index]),
            expected_ratio=float(expected[index]),
            gap_um=float(gap[index]),
            quality={section: int(values[index]) for section, values in quality.items()},
        )
        for index in range(n)
    )
    if params.stress == "none":
        return slides
    stress = Stress(params.stress, params.stress_strength)
    return tuple(stressed(slide, stress) for slide in slides)


def _expected_ratio(
    burden: FloatArray, labelling: FloatArray, table: dict[str, FloatArray]
) -> FloatArray:
    """Ratio to expect of a slide: ratio = f l + (1 - f) b, with 0.75 of a nest's area tumor."""
    tumor = 0.75 * burden
    # Positive nuclei are larger, by about a third in area: the labelling by area is higher.
    labelling = 1.33 * labelling / (1 + 0.33 * labelling)
    other = (
        0.80 * table["follicle_share"]
        + 0.30 * table["gland_share"]
        + table["background_labelling"] * (1 - table["follicle_share"])
    )
    return tumor * labelling + (1 - burden) * other


def _slide(
    params: PhantomParams,
    index: int,
    factors: dict[str, float],
    *,
    quality: dict[str, int],
    **drawn: float,
) -> PhantomSlide:
    shared: dict[str, Any] = {**drawn, **of_section("", factors)}
    return PhantomSlide(
        family=params.family,
        seed=params.seed,
        index=index,
        slide_id=f"p{index + 1:02d}",
        case_id=f"c{index + 1:02d}",
        width_px=round(params.width_um / params.mpp),
        height_px=round(params.height_um / params.mpp),
        mpp=params.mpp,
        tile_px=params.tile_px,
        he=section_look("he", of_section("he", factors), quality["he"]),
        ihc=section_look("ihc", of_section("ihc", factors), quality["ihc"]),
        **shared,
    )


def of_section(section: str, factors: dict[str, float]) -> dict[str, float]:
    """Factors of one section, their prefix removed; those of both sections for ``""``."""
    split = {name: name.rpartition(".") for name in factors}
    return {split[name][2]: value for name, value in factors.items() if split[name][0] == section}


# Ruifrok and Johnston (2001) give hematoxylin (0.65, 0.70, 0.29), DAB (0.27, 0.57, 0.78) and eosin
# (0.07, 0.99, 0.11) as unit vectors; eosin here is the paler pink that slide scanners record.
_HEMATOXYLIN_OD = (0.62, 0.70, 0.34)
_EOSIN_OD = (0.12, 0.80, 0.40)
_DAB_OD = (0.30, 0.58, 0.76)
_HUE_STRENGTH = 0.65


def section_look(section: str, own: dict[str, float], jpeg_quality: int) -> SectionLook:
    """Look of a section from its factors; hues turn the stains' vectors in R against B."""
    first = _tinted(_HEMATOXYLIN_OD, own["hue_first"], own["hematoxylin"])
    base = _EOSIN_OD if section == "he" else _DAB_OD
    second = _tinted(base, own["hue_second"], own["second"])
    white = tuple(own["white"] + shift for shift in (own["warmth"], 0.0, -own["warmth"]))
    return SectionLook(
        first_od=first,
        second_od=second,
        cytoplasm=own["cytoplasm"],
        background_dab=own.get("background_dab", 0.0),
        unevenness=own["unevenness"],
        blur_um=own["blur_um"],
        noise=own["noise"],
        white=(white[0], white[1], white[2]),
        jpeg_quality=jpeg_quality,
    )


def _tinted(vector: Rgb, hue: float, strength: float) -> Rgb:
    """The vector at a strength, its hue turned by a fixed amount.

    Hue is added, not multiplied: a sum of balanced factors is balanced, their product is not.
    """
    red, green, blue = vector
    shift = _HUE_STRENGTH * hue
    return (strength * red + shift, strength * green, strength * blue - shift)
