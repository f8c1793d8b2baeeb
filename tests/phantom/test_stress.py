"""One factor at a time: the same slide, and what the factor was stated to change."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from tumor_ratio.phantom.cells import CELL_TYPES
from tumor_ratio.phantom.fields import TissueFields, tissue_fields
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import PhantomSlide, StressedSlide, plan_phantom, stressed
from tumor_ratio.phantom.render import section_painter
from tumor_ratio.phantom.sections import COLUMNS, Section, cut_section, section_transform
from tumor_ratio.phantom.stress import (
    BACKGROUND_DAB_OD,
    CRUSHED_SHARE,
    EDGE_DAB_OD,
    EDGE_UM,
    FAINT,
    HE_ONLY,
    IHC_ONLY,
    IN_TISSUE,
    NECROTIC_SHARE,
    PIGMENT_SHARE,
    RED_CELL_SHARE,
    STRESSES,
    STRONG,
    STRONG_DAB,
    TORN_SHARE,
    WEAK_DAB,
    Stress,
)
from tumor_ratio.phantom.stress_discs import PIGMENT_OD
from tumor_ratio.phantom.stress_fields import field_at, on_section
from tumor_ratio.phantom.stress_sections import crush_angle, stressed_section, tissue_field
from tumor_ratio.phantom.truth import truth_nuclei, truth_plan
from tumor_ratio.phantom.volume import tissue_volume

OPTICAL = [name for name in STRESSES if name not in IN_TISSUE]
SECTIONS = ("he", "ihc")


@cache
def plan_of(name: str = "none", strength: float = 1.0) -> PhantomSlide:
    params = PhantomParams(n_slides=6, width_um=440, height_um=440, seed=3)
    plan = max(plan_phantom(params), key=lambda each: each.burden)
    return plan if name == "none" else stressed(plan, Stress(name, strength))  # type: ignore[arg-type]


@cache
def tissue() -> TissueFields:
    return tissue_fields(plan_of())


@cache
def shown(name: str, section: str, strength: float = 1.0) -> tuple[np.ndarray, Section]:
    """Pixels and nuclei of a section."""
    plan = plan_of(name, strength)
    transform = section_transform(plan)
    cut = cut_section(plan, tissue(), tissue_volume(plan, tissue()), section, transform)
    section_shown = stressed_section(plan, tissue(), cut, transform)
    painter = section_painter(plan, tissue(), section_shown, transform)
    return painter.block(0, 0, plan.width_px, plan.height_px), section_shown


def density(name: str, section: str, strength: float = 1.0) -> np.ndarray:
    look = getattr(plan_of(name, strength), section)
    rgb = shown(name, section, strength)[0]
    return -np.log10(np.maximum(rgb, 1.0) / np.array(look.white))


def dab(name: str, strength: float = 1.0) -> np.ndarray:
    """DAB density of the IHC section's pixels, by the unstressed section's own vectors."""
    look = plan_of().ihc
    stains = np.array([look.first_od, look.second_od])
    amounts = density(name, "ihc", strength) @ np.linalg.pinv(stains)
    return amounts[..., 1] * np.linalg.norm(look.second_od)


def depth_um(section: str) -> np.ndarray:
    """Distance to the outline at every pixel."""
    plan = plan_of()
    edge = on_section(tissue().edge_um, tissue(), section, section_transform(plan))
    y, x = (np.mgrid[: plan.height_px, : plan.width_px] + 0.5) * plan.mpp
    return field_at(edge, x, y)


def at(values: np.ndarray, section: Section, rows: np.ndarray) -> np.ndarray:
    """Values at the centres of some nuclei, those on the slide alone."""
    table = section.table[rows]
    x, y = table["x_px"].to_numpy().astype(int), table["y_px"].to_numpy().astype(int)
    inside = (x >= 0) & (y >= 0) & (x < values.shape[1]) & (y < values.shape[0])
    return values[y[inside], x[inside]]


def whole(section: Section) -> np.ndarray:
    """Nuclei that the section shows well."""
    return ((section.table["chord_um"] > 2.5) & (section.table["area_um2"] > 20)).to_numpy()


def between(section_name: str) -> np.ndarray:
    """Tissue away from nuclei and from the outline."""
    profiles = shown("none", section_name)[1].profiles
    plan = plan_of()
    free = np.ones((plan.height_px, plan.width_px), bool)
    x, y = ((profiles[:, column] / plan.mpp).astype(int) for column in (0, 1))
    inside = (x >= 0) & (y >= 0) & (x < plan.width_px) & (y < plan.height_px)
    free[y[inside], x[inside]] = False
    away_um = ndimage.distance_transform_edt(free) * plan.mpp
    return (
        (away_um > 9)
        & (depth_um(section_name) > 10)
        & (density("none", section_name)[..., 1] > 0.04)
    )


# --- the same slide


def test_without_stress_a_slide_is_what_it_always_was() -> None:
    """Stress is a class of its own, so that records and results of other slides stay."""
    plan = plan_of()
    assert type(plan) is PhantomSlide
    assert plan.stress is None
    assert not [name for name in plan.to_record() if "stress" in name]
    cut = shown("none", "he")[1]
    assert stressed_section(plan, tissue(), cut, section_transform(plan)) is cut
    painter = section_painter(plan, tissue(), cut, section_transform(plan))
    assert painter.stress is None


@pytest.fixture(scope="module")
def plain_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return rendered("none", tmp_path_factory.mktemp("plain"))


def rendered(name: str, folder: Path) -> dict[str, bytes]:
    files = render_pair(plan_of(name), folder)
    paths = [files.he_path, files.ihc_path, *sorted(files.truth_dir.iterdir())]
    return {path.name.removeprefix("p01_").split("_", 1)[-1]: path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", STRESSES)
def test_a_factor_changes_what_it_concerns_and_nothing_else(
    name: str, plain_files: dict[str, bytes], tmp_path: Path
) -> None:
    files = rendered(name, tmp_path)
    equal = {key for key in files if files[key] == plain_files[key]}
    changed = set(files) - equal
    assert ("he.tif" in changed) == (name not in IHC_ONLY)
    assert ("ihc.tif" in changed) == (name not in HE_ONLY)
    truth = {"he.parquet", "ihc.parquet"}
    assert truth <= (changed if name in IN_TISSUE else equal)
    assert "lesions.json" in equal
    assert ("share.png" in changed) == (name == "necrosis")


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("name", STRESSES)
def test_stressed_pixels_do_not_depend_on_the_block(name: str, section: str) -> None:
    plan = plan_of(name)
    rgb, nuclei = shown(name, section)
    painter = section_painter(plan, tissue(), nuclei, section_transform(plan))
    for x0, y0, width, height in ((517, 301, 97, 113), (0, 64, 300, 31)):
        part = painter.block(x0, y0, width, height)
        assert np.array_equal(part, rgb[y0 : y0 + height, x0 : x0 + width])


@pytest.mark.parametrize("name", ["necrosis", "tears", "alveolar_lung"])
@pytest.mark.parametrize("section", SECTIONS)
def test_lost_nuclei_are_gone_from_truth_and_picture_and_the_others_stay(
    name: str, section: str
) -> None:
    before, after = (shown(each, section)[1] for each in ("none", name))
    gone = ~before.table["volume_id"].isin(after.table["volume_id"]).to_numpy()
    assert 0.02 < gone.mean() < 0.7
    kept = before.table[~gone].reset_index(drop=True)
    assert kept.equals(after.table)
    assert np.array_equal(before.profiles[~gone], after.profiles)
    old, new = density("none", section)[..., 0], density(name, section)[..., 0]
    lost = gone & whole(before)
    assert np.median(at(new, before, lost)) < 0.4 * np.median(at(old, before, lost))
    rest = ~gone & whole(before)
    assert np.median(at(new, before, rest)) == pytest.approx(
        np.median(at(old, before, rest)), rel=0.03
    )


def test_the_plan_of_a_stressed_slide_survives_json(tmp_path: Path) -> None:
    plan = plan_of("crush", 0.5)
    again = PhantomSlide.from_record(json.loads(json.dumps(plan.to_record())))
    assert again == plan
    assert isinstance(again, StressedSlide)
    files = render_pair(plan, tmp_path)
    assert truth_plan(files.truth_dir).stress == Stress("crush", 0.5)
    assert len(truth_nuclei(files.truth_dir, "he"))


def test_cohorts_under_stress_have_folders_of_their_own() -> None:
    names = {plan_of(name).cohort_name for name in ("none", *STRESSES)}
    names |= {plan_of("crush", 0.5).cohort_name}
    assert len(names) == len(STRESSES) + 2
    assert plan_of().cohort_name == "development_seed3"


def test_parameters_stress_every_slide_of_a_cohort() -> None:
    sizes = {"n_slides": 3, "width_um": 300, "height_um": 300}
    plain = plan_phantom(PhantomParams(**sizes))
    under = plan_phantom(PhantomParams(**sizes, stress="strong_dab", stress_strength=0.5))
    assert under == tuple(stressed(plan, Stress("strong_dab", 0.5)) for plan in plain)
    assert [plan.key for plan in plain] == [plan.key for plan in under]


def test_wrong_stress_is_refused() -> None:
    with pytest.raises(ValidationError, match="'necrosis', 'crush'"):
        PhantomParams(stress="fog")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="stress_strength"):
        PhantomParams(stress_strength=0)
    with pytest.raises(ValueError, match="under crush already"):
        stressed(plan_of("crush"), Stress("tears"))


# --- stains


@pytest.mark.parametrize(("name", "factor"), [("strong_dab", STRONG_DAB), ("weak_dab", WEAK_DAB)])
def test_dab_is_stronger_or_weaker_by_its_factor(name: str, factor: float) -> None:
    nuclei = shown("none", "ihc")[1]
    weak = whole(nuclei) & nuclei.table["dab"].between(0.13, 0.6).to_numpy()
    ratio = np.median(at(dab(name), nuclei, weak)) / np.median(at(dab("none"), nuclei, weak))
    assert ratio == pytest.approx(factor, rel=0.08)


@pytest.mark.parametrize(
    ("name", "section", "factor"),
    [
        ("faint_hematoxylin", "he", FAINT),
        ("strong_hematoxylin", "he", STRONG),
        ("faint_counterstain", "ihc", FAINT),
        ("strong_counterstain", "ihc", STRONG),
    ],
)
def test_hematoxylin_is_stronger_or_fainter_by_its_factor(
    name: str, section: str, factor: float
) -> None:
    """Of pale nuclei: dark ones reach the end of the camera's range."""
    nuclei = shown("none", section)[1]
    pale = (nuclei.table["chord_um"].between(0.4, 1.5) & ~nuclei.table["positive"]).to_numpy()
    look = getattr(plan_of(), section)
    unmix = np.linalg.pinv(np.array([look.first_od, look.second_od]))
    old, new = (
        np.median(at(density(each, section) @ unmix, nuclei, pale)[:, 0]) for each in ("none", name)
    )
    assert new / old == pytest.approx(factor, rel=0.08)


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_background_dab_adds_the_stated_density_between_nuclei(strength: float) -> None:
    added = dab("background_dab", strength) - dab("none")
    assert np.median(added[between("ihc")]) == pytest.approx(BACKGROUND_DAB_OD * strength, rel=0.12)


def test_edge_dab_fades_from_the_outline_inwards() -> None:
    added = dab("edge_dab") - dab("none")
    depth = depth_um("ihc")
    for inside in (15.0, 40.0, 80.0):
        ring = np.abs(depth - inside) < 3
        expected = EDGE_DAB_OD * np.exp(-inside / EDGE_UM)
        assert np.median(added[ring]) == pytest.approx(expected, rel=0.15, abs=0.01)


def test_cytoplasmic_dab_spares_nuclei_and_half_of_the_cells() -> None:
    added = dab("cytoplasmic_dab") - dab("none")
    nuclei = shown("none", "ihc")[1]
    assert abs(np.median(at(added, nuclei, whole(nuclei)))) < 0.04
    table, profiles = nuclei.table, nuclei.profiles
    large = whole(nuclei) & (table["cell_type"] == CELL_TYPES[2]).to_numpy()
    x, y = table["x_px"].to_numpy(), table["y_px"].to_numpy()
    body = profiles[:, COLUMNS.index("body_um")]
    rim = 0.5 * (body + np.maximum(profiles[:, 4], profiles[:, 5])) / plan_of().mpp
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    stained = []
    for row in np.flatnonzero(large):
        columns = (x[row] + rim[row] * np.cos(turns)).astype(int)
        rows = (y[row] + rim[row] * np.sin(turns)).astype(int)
        ok = (rows >= 0) & (columns >= 0) & (rows < added.shape[0]) & (columns < added.shape[1])
        if ok.all():
            stained.append(np.median(added[rows, columns]) > 0.12)
    assert len(stained) > 20
    assert 0.3 < np.mean(stained) < 0.75


def angle_deg(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    cosine = (one @ two) / (np.linalg.norm(one, axis=-1) * np.linalg.norm(two))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("section", SECTIONS)
def test_pigment_is_brown_but_not_along_dab(section: str) -> None:
    added = density("pigment", section) - density("none", section)
    strong = added[..., 2] > 0.2
    share = strong[depth_um(section) > 0].mean()
    assert share == pytest.approx(PIGMENT_SHARE, rel=0.35)
    colour = np.median(added[strong], axis=0)
    assert angle_deg(colour, np.array(PIGMENT_OD)) < 4
    assert angle_deg(colour, np.array(plan_of().ihc.second_od)) > 6
    red, green, blue = np.median(shown("pigment", section)[0][strong & between(section)], axis=0)
    assert red > green > blue
    assert red - blue > 60


def test_red_cells_cover_their_share_of_the_h_and_e_tissue_with_red() -> None:
    inside = depth_um("he") > 0
    share = {}
    for name in ("none", "red_cells"):
        red, green, _ = np.moveaxis(shown(name, "he")[0].astype(int), 2, 0)
        share[name] = ((red > 170) & (red - green > 105))[inside].mean()
    assert share["red_cells"] - share["none"] == pytest.approx(RED_CELL_SHARE, rel=0.2)
    nuclei = shown("none", "he")[1]
    changed = np.abs(density("red_cells", "he") - density("none", "he")).max(axis=2)
    assert (at(changed, nuclei, whole(nuclei)) > 0.1).mean() < 0.03


@pytest.mark.parametrize("section", SECTIONS)
def test_defocus_takes_gradient_energy(section: str) -> None:
    energy = {}
    for name in ("none", "defocus"):
        grey = shown(name, section)[0].mean(axis=2)
        energy[name] = sum(np.square(slope).mean() for slope in np.gradient(grey))
    assert energy["defocus"] < 0.4 * energy["none"]


# --- tissue


@pytest.mark.parametrize(
    ("name", "stated"), [("necrosis", NECROTIC_SHARE), ("crush", CRUSHED_SHARE)]
)
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_patches_cover_their_share_of_the_tissue(name: str, stated: float, strength: float) -> None:
    field = stress_field(name, "he", strength)
    share = (field > 0.5)[tissue().edge_um > 0].mean()
    assert share == pytest.approx(stated * strength, rel=0.1)


def stress_field(name: str, section: str, strength: float = 1.0) -> np.ndarray:
    """Where the section is stressed, on its coarse grid."""
    plan = plan_of(name, strength)
    assert plan.stress is not None
    return tissue_field(plan, tissue(), section, section_transform(plan), plan.stress)


def white_share(name: str, section: str) -> float:
    return float((density(name, section).max(axis=2) < 0.04)[depth_um(section) > 3].mean())


@pytest.mark.parametrize("section", SECTIONS)
def test_tears_open_their_share_of_the_tissue(section: str) -> None:
    opened = white_share("tears", section) - white_share("none", section)
    assert opened == pytest.approx(TORN_SHARE, abs=0.03)


def test_sections_tear_at_places_of_their_own() -> None:
    he, ihc = (stress_field("tears", section) > 0 for section in SECTIONS)
    assert (he & ihc).sum() < 0.25 * min(he.sum(), ihc.sum())


@pytest.mark.parametrize("section", SECTIONS)
def test_alveoli_are_white_inside_the_outline(section: str) -> None:
    assert white_share("alveolar_lung", section) > white_share("none", section) + 0.1
    field = stress_field("alveolar_lung", "he")
    assert tissue().tumor[field > 2].max(initial=0) < 0.5  # nests are solid


def test_crushed_nuclei_keep_state_and_are_drawn_out_in_one_direction() -> None:
    before, after = (shown(name, "he")[1] for name in ("none", "crush"))
    same = [name for name in before.table if name != "area_um2"]
    assert before.table[same].equals(after.table[same])
    crushed = (before.table["area_um2"] != after.table["area_um2"]).to_numpy()
    assert crushed.mean() == pytest.approx(CRUSHED_SHARE, abs=0.12)
    long, short = (after.profiles[:, COLUMNS.index(name)] for name in ("long", "short"))
    assert np.median(long[crushed] / short[crushed]) > 2.5
    old = before.profiles[:, COLUMNS.index("long")] * before.profiles[:, COLUMNS.index("short")]
    shrunk = after.table["area_um2"] / before.table["area_um2"]
    assert np.allclose(shrunk[crushed], (long * short / old)[crushed], rtol=1e-4)
    # The picture, too: its structure tensor's direction where the tissue is crushed.
    plan = plan_of("crush")
    field = stress_field("crush", "he")
    y, x = (np.mgrid[: plan.height_px, : plan.width_px] + 0.5) * plan.mpp
    inside = field_at(field, x, y) > 0.9
    dy, dx = np.gradient(shown("crush", "he")[0].mean(axis=2))
    double = np.arctan2((2 * dx * dy)[inside].sum(), (dx**2 - dy**2)[inside].sum())
    along = double / 2 + np.pi / 2  # gradients point across the streaks
    off = (along - crush_angle(plan, "he") + np.pi / 2) % np.pi - np.pi / 2
    assert abs(np.degrees(off)) < 8
