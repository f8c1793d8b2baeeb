from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.imaging.gaussian import gaussian_blur
from tumor_ratio.imaging.sharpness import blurred, sharpness
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.phantom.fields import tissue_fields
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom
from tumor_ratio.phantom.render import section_painter
from tumor_ratio.phantom.sections import cut_section, section_transform
from tumor_ratio.phantom.volume import tissue_volume

SIDE_PX = 160


@cache
def regions(family: str = "development", stress: str = "none") -> tuple[np.ndarray, ...]:
    """Sixteen regions of 80 um with tissue."""
    params = PhantomParams(
        n_slides=3, seed=3, width_um=700, height_um=700, family=family, stress=stress
    )
    plan = plan_phantom(params)[1]
    fields, transform = tissue_fields(plan), section_transform(plan)
    section = cut_section(plan, fields, tissue_volume(plan, fields), "he", transform)
    painter = section_painter(plan, fields, section, transform)
    corners = [380 + SIDE_PX * n for n in range(4)]
    return tuple(painter.block(x, y, SIDE_PX, SIDE_PX) for y in corners for x in corners)


def values(pictures, mpp: float = 0.5) -> np.ndarray:
    return np.array([sharpness(picture, mpp) for picture in pictures])


@pytest.mark.parametrize("family", ["development", "shifted"])
def test_sharp_regions_are_not_blurred(family: str) -> None:
    assert not blurred(values(regions(family))).any()


def test_regions_out_of_focus_are_told_from_the_slides_own() -> None:
    mixed = np.concatenate([values(regions(stress="defocus")[:4]), values(regions()[4:])])
    np.testing.assert_array_equal(blurred(mixed), np.arange(16) < 4)


def test_half_a_blurred_slide_is_found() -> None:
    noise = np.random.default_rng(0)
    soft = [
        np.clip(gaussian_blur(p, 3.2) + noise.normal(0, 2, p.shape), 0, 255).astype(np.uint8)
        for p in regions()[:8]
    ]
    mixed = np.concatenate([values(soft), values(regions()[8:])])
    np.testing.assert_array_equal(blurred(mixed), np.arange(16) < 8)


def test_paler_stain_is_not_less_sharp() -> None:
    pale = [np.rint(255 * (picture / 255.0) ** 0.5).astype(np.uint8) for picture in regions()]
    np.testing.assert_allclose(values(pale), values(regions()), rtol=0.12)


def test_finer_pixels_are_averaged_and_coarse_ones_not_judged() -> None:
    picture = regions()[5]
    fine = picture.repeat(2, axis=0).repeat(2, axis=1)
    assert sharpness(fine, 0.25) == sharpness(picture, 0.5)
    coarse = np.asarray(Image.fromarray(picture).reduce(2))
    assert sharpness(coarse, 1.0) == pytest.approx(sharpness(picture, 0.5), rel=0.1)
    assert math.isnan(sharpness(picture, 2.0))
    assert math.isnan(sharpness(np.full((50, 50, 3), 244, np.uint8), 0.5))


def test_few_regions_are_judged_by_the_fixed_limit_alone() -> None:
    assert blurred([0.5, 0.5, 0.31]).tolist() == [False, False, False]
    assert blurred([0.5, math.nan, 0.29]).tolist() == [False, False, True]
    assert blurred([0.6] * 7 + [0.4]).tolist() == [False] * 7 + [True]
    assert blurred([]).tolist() == []


@pytest.mark.real
def test_a_real_slide_is_sharp_until_it_is_blurred(real_data: Path) -> None:
    slide = open_slide(real_data / "slides/openslide_cmu/cmu-1-small-region.svs", slide_id="cmu")
    corners = [(x, y) for x in (680, 840) for y in range(1460, 2500, 160)]
    sharp = [slide.read(x, y, SIDE_PX, slide.mpp) for x, y in corners]
    assert not blurred(values(sharp, slide.mpp)).any()
    soft = [
        np.rint(gaussian_blur(picture, 1.5 / slide.mpp)).astype(np.uint8) for picture in sharp[:7]
    ]
    mixed = np.concatenate([values(soft, slide.mpp), values(sharp[7:], slide.mpp)])
    assert blurred(mixed)[:7].all()
    assert not blurred(mixed)[7:].any()
