"""Phantoms know where their tissue, pen and folds lie; real slides know what must not be found."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.tissue import tissue_mask
from tumor_ratio.imaging.tissue_classes import OVERVIEW_MPP, organ_outline, tissue_classes
from tumor_ratio.phantom.artefacts import lumen_discs, pen_ink
from tumor_ratio.phantom.fields import FIELD_UM, tissue_fields
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom
from tumor_ratio.phantom.render import section_painter
from tumor_ratio.phantom.sections import cut_section, section_transform
from tumor_ratio.phantom.stress_sections import stressed_section, tissue_field
from tumor_ratio.phantom.volume import tissue_volume

RENDERED_MPP = 1.0
HOLE_UM2 = 400.0


class Overview(NamedTuple):
    rgb: np.ndarray
    organ: np.ndarray
    tissue: np.ndarray
    """Without air and without lumens of 400 um2 and more."""
    pen: np.ndarray


@cache
def phantom(index: int, family: str = "development", stress: str = "none") -> Overview:
    """An H&E section's overview, with masks drawn from the phantom's own fields."""
    plan = plan_phantom(
        PhantomParams(n_slides=4, seed=3, mpp=RENDERED_MPP, family=family, stress=stress)
    )[index]
    fields, transform = tissue_fields(plan), section_transform(plan)
    section = cut_section(plan, fields, tissue_volume(plan, fields), "he", transform)
    section = stressed_section(plan, fields, section, transform)
    painter = section_painter(plan, fields, section, transform)
    rgb = painter.block(0, 0, plan.width_px, plan.height_px)
    y, x = np.mgrid[: plan.height_px, : plan.width_px].astype(np.float32) + 0.5
    rows, columns = np.mgrid[: fields.shape[0], : fields.shape[1]] * np.float32(FIELD_UM)
    organ = at(fields.edge_um, x, y) > 0
    tissue = organ.copy()
    if stress == "alveolar_lung":
        tissue &= at(tissue_field(plan, fields, "he", transform, plan.stress), x, y) <= 0
    for cx, cy, cos, sin, long, short, _, _ in lumen_discs(plan, fields, "he", transform):
        if np.pi * long * short >= HOLE_UM2:
            along, across = cos * (x - cx) + sin * (y - cy), cos * (y - cy) - sin * (x - cx)
            tissue &= (along / long) ** 2 + (across / short) ** 2 > 1
    ink = at(pen_ink(plan, "he", columns, rows, fields.edge_um), x, y)
    step = round(OVERVIEW_MPP / RENDERED_MPP)
    small = np.asarray(Image.fromarray(rgb).reduce(step))
    return Overview(small, organ, tissue, ink[::step, ::step])


def at(field: np.ndarray, x_um: np.ndarray, y_um: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(field, [y_um / FIELD_UM, x_um / FIELD_UM], order=1)


SLIDES = [
    *((index, "development", "none") for index in range(4)),
    (1, "shifted", "none"),
    (3, "shifted", "none"),
    (1, "development", "strong_hematoxylin"),
    (0, "development", "alveolar_lung"),
    (1, "development", "alveolar_lung"),
]


@pytest.mark.parametrize("slide", SLIDES)
def test_areas_are_those_of_the_phantom(slide) -> None:
    overview = phantom(*slide)
    classes = tissue_classes(overview.rgb, OVERVIEW_MPP)
    allowed = 0.04 if slide[2] == "alveolar_lung" else 0.03
    assert classes.area_um2(classes.stained) == pytest.approx(overview.tissue.sum(), rel=allowed)
    assert classes.area_um2(classes.organ) == pytest.approx(overview.organ.sum(), rel=0.05)
    assert not (classes.stained & ~classes.organ).any()
    assert not (classes.stained & classes.pen).any()
    assert not (classes.fold & ~classes.stained).any()
    assert (classes.fold & classes.usable).sum() == 0
    assert (classes.fold | classes.usable == classes.stained).all()


def test_air_spaces_belong_to_the_organ_and_not_to_the_tissue() -> None:
    classes = tissue_classes(phantom(1, stress="alveolar_lung").rgb, OVERVIEW_MPP)
    plain = tissue_classes(phantom(1).rgb, OVERVIEW_MPP)
    assert classes.stained.sum() < 0.78 * plain.stained.sum()
    assert classes.organ.sum() == pytest.approx(plain.organ.sum(), rel=0.02)


def test_pen_is_found_whatever_its_colour() -> None:
    seen = 0
    for slide in SLIDES[:6]:
        overview = phantom(*slide)
        pen = tissue_classes(overview.rgb, OVERVIEW_MPP).pen
        assert pen[overview.pen < 0.01].mean() < 0.005
        if (overview.pen > 0.5).any():
            seen += 1
            assert pen[overview.pen > 0.5].mean() > 0.95
    assert seen >= 2


def folded(rgb: np.ndarray, mpp: float, width_um: float) -> tuple[np.ndarray, np.ndarray]:
    """Double the tissue along a band across the middle."""
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] * mpp
    along = (x - x.mean()) * np.cos(0.7) + (y - y.mean()) * np.sin(0.7)
    across = (y - y.mean()) * np.cos(0.7) - (x - x.mean()) * np.sin(0.7)
    band = (np.abs(across + 20 * np.sin(along / 150)) < width_um / 2) & (np.abs(along) < 350)
    light = rgb / 255.0
    light[band] = light[band] ** 2
    return np.rint(255 * light).astype(np.uint8), band


@pytest.mark.parametrize("index", range(4))
def test_folds_are_found_and_dense_tissue_is_none(index: int) -> None:
    rgb = phantom(index).rgb
    unfolded = tissue_classes(rgb, OVERVIEW_MPP)
    with_fold, band = folded(rgb, OVERVIEW_MPP, 60)
    classes = tissue_classes(with_fold, OVERVIEW_MPP)
    band &= classes.stained
    assert classes.fold[band].mean() > 0.5
    apart = classes.fold & ~ndimage.binary_dilation(band, iterations=10)
    assert apart.sum() < 0.006 * classes.stained.sum()
    assert unfolded.fold.sum() < 0.01 * unfolded.stained.sum()  # the phantom's own fold
    # Twice the stain everywhere is a thick section, not a fold.
    darker = (255 * (rgb / 255.0) ** 1.5).astype(np.uint8)
    assert tissue_classes(darker, OVERVIEW_MPP).fold.sum() < 0.01 * unfolded.stained.sum()


def test_the_outline_closes_gaps_up_to_twice_its_radius_and_fills_holes() -> None:
    def squares(gap_um: int) -> np.ndarray:
        mask = np.zeros((150, 200), bool)
        mask[40:110, 10:60] = True
        mask[40:110, 60 + gap_um // 10 : 130 + gap_um // 10] = True
        return mask

    near, far = organ_outline(squares(150), 10.0), organ_outline(squares(260), 10.0)
    assert near[75, 60:75].all()
    assert not far[75, 68:78].any()
    assert not near[:38].any()  # the outline does not grow
    ring = np.zeros((200, 200), bool)
    ring[20:180, 20:180] = True
    ring[40:160, 40:160] = False
    assert organ_outline(ring, 10.0).sum() == 160**2
    edge = np.zeros((100, 100), bool)
    edge[:, :5] = True  # tissue cut by the overview's border: no glass is added along it
    assert organ_outline(edge, 10.0).sum() == pytest.approx(edge.sum(), abs=10)
    assert organ_outline(np.ones((35, 47), bool), 3.0).all()
    assert not organ_outline(np.zeros((35, 47), bool), 3.0).any()


def test_glass_is_nothing() -> None:
    glass = np.random.default_rng(0).normal(244, 2, (120, 90, 3)).clip(0, 255).astype(np.uint8)
    classes = tissue_classes(glass, 4.0)
    assert not any(m.any() for m in (classes.stained, classes.organ, classes.pen, classes.fold))
    with pytest.raises(ValueError, match="uint8 with at least one pixel"):
        tissue_classes(np.zeros((5, 5)), 4.0)


@pytest.mark.real
def test_real_lung_stays_in_the_organ(real_data: Path) -> None:
    """Mouse lung at about 3.5 um/px: septa are thinner than two pixels."""
    path = real_data / "serial_sections/birl/lesions/Izd2-29-041-w35_HE.jpg"
    rgb = np.asarray(Image.open(path).convert("RGB"))
    classes = tissue_classes(rgb, 3.5)
    assert classes.organ.mean() > 0.96  # the picture lies inside the lung
    assert 0.5 < classes.stained.mean() < tissue_mask(rgb, 3.5).mean()
    assert classes.fold.sum() < 0.005 * classes.stained.sum()
    assert not classes.pen.any()


@pytest.mark.real
def test_real_slides_show_few_folds_and_no_pen(real_data: Path) -> None:
    slide = open_slide(real_data / "slides/openslide_cmu/cmu-1-small-region.svs", slide_id="cmu")
    classes = tissue_classes(*slide.read_overview(OVERVIEW_MPP))
    assert classes.fold.sum() < 0.03 * classes.stained.sum()  # dark cornified layers
    assert not classes.pen.any()
    path = real_data / "serial_sections/birl/rat-kidney/Rat-Kidney_HE.jpg"
    kidney = tissue_classes(np.asarray(Image.open(path).convert("RGB")), 4.5)
    assert kidney.fold.sum() < 0.005 * kidney.stained.sum()
    assert not kidney.pen.any()
