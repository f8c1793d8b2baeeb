"""What must not change a measured ratio, on a Ki-67 phantom of about 700 nuclei."""

from dataclasses import replace

import numpy as np
import pytest

from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.metrics.ratios import region_ratios, slide_ratio
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom
from tumor_ratio.phantom.truth import truth_nuclei

from .ihc_images import ihc_pair, nuclei_of, ratio_of

FINE_MPP, MPP, SIDE_UM = 0.25, 0.5, 360


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """A slide at 0.25 um/px, about a third of it positive."""
    options = PhantomParams(n_slides=1, width_um=SIDE_UM, height_um=SIDE_UM, mpp=FINE_MPP, seed=41)
    plan = replace(plan_phantom(options)[0], burden=0.6, tumor_labelling=0.5)
    return render_pair(plan, tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def fine(phantom):
    slide = open_slide(phantom.ihc_path, slide_id="p", mpp=FINE_MPP)
    return slide.read(0, 0, (slide.width_px, slide.height_px), FINE_MPP)


@pytest.fixture(scope="module")
def coarse(fine):
    height, width = (side // 2 for side in fine.shape[:2])
    cells = fine[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    return np.rint(cells.mean(axis=(1, 3))).astype(np.uint8)


@pytest.fixture(scope="module")
def nuclei(coarse, tmp_path_factory):
    return nuclei_of(ihc_pair(tmp_path_factory.mktemp("whole"), "whole", coarse, MPP))


@pytest.fixture(scope="module")
def ratio(nuclei):
    return slide_ratio(nuclei)


def test_the_ratio_is_the_true_one(phantom, nuclei, ratio):
    truth = truth_nuclei(phantom.truth_dir, "ihc")
    assert len(truth) > 500
    assert 0.2 < slide_ratio(truth) < 0.7
    assert ratio == pytest.approx(slide_ratio(truth), abs=0.03)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turning_changes_nothing(coarse, ratio, tmp_path, turns):
    turned = np.ascontiguousarray(np.rot90(coarse, turns))
    assert ratio_of(tmp_path, "turned", turned, MPP) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("axis", [0, 1])
def test_mirroring_changes_nothing(coarse, ratio, tmp_path, axis):
    mirrored = np.ascontiguousarray(np.flip(coarse, axis))
    assert ratio_of(tmp_path, "mirrored", mirrored, MPP) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_brightness_changes_little(coarse, ratio, tmp_path, factor):
    lit = np.clip(np.rint(coarse * factor), 0, 255).astype(np.uint8)
    assert ratio_of(tmp_path, "lit", lit, MPP) == pytest.approx(ratio, abs=0.02)


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_stain_strength_changes_little(coarse, ratio, tmp_path, factor):
    stained = 256 * np.power((coarse + 1.0) / 256, factor) - 1
    stained = np.clip(np.rint(stained), 0, 255).astype(np.uint8)
    assert ratio_of(tmp_path, "stained", stained, MPP) == pytest.approx(ratio, abs=0.02)


def test_both_resolutions_agree(fine, ratio, tmp_path):
    assert ratio_of(tmp_path, "fine", fine, FINE_MPP) == pytest.approx(ratio, abs=0.02)


def test_a_tile_cut_out_and_in_its_place_agree(coarse, nuclei, tmp_path):
    side, margin = 384, 48
    left, top = 200, 180
    cut = coarse[top - margin : top + side + margin, left - margin : left + side + margin]
    pair = ihc_pair(tmp_path, "cut", np.ascontiguousarray(cut), MPP)
    tile = regions_table([Region("cut", "", "tile", margin, margin, side, MPP)])
    alone = region_ratios(tile, nuclei_of(pair, tile), MPP)
    place = regions_table([Region("whole", "", "tile", left, top, side, MPP)])
    inside = region_ratios(place, nuclei, MPP)
    assert alone["n_nuclei"][0] == pytest.approx(inside["n_nuclei"][0], rel=0.02)
    assert alone["tumor_ratio"][0] == pytest.approx(inside["tumor_ratio"][0], abs=0.02)


def test_a_grid_sums_to_the_slide(nuclei):
    side = 120
    grid = regions_table(
        Region("whole", "", "tile", x, y, side, MPP)
        for y in range(0, 720, side)
        for x in range(0, 720, side)
    )
    sums = region_ratios(grid, nuclei, MPP, min_nuclei=1)
    assert sums["n_nuclei"].sum() == len(nuclei)
    assert sums["nuclei_um2"].sum() == pytest.approx(nuclei["area_um2"].sum())
    assert sums["positive_um2"].sum() / sums["nuclei_um2"].sum() == pytest.approx(
        slide_ratio(nuclei)
    )
