from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from tumor_ratio.imaging.appearance import FEATURES, Appearance, slide_appearance
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.stains import H_DAB, H_E
from tumor_ratio.inference.domain import judge_stain

RADIUS_UM, EVERY_UM = 3.5, 16
EOSIN_OD, NUCLEUS_OD = 0.4, 0.9


def section(mpp: float, *, second=H_E.second, white: float = 0.0) -> np.ndarray:
    """A 300 um square of a second stain with round nuclei, on glass of a given density."""
    side = round(400 / mpp)
    y, x = (np.mgrid[:side, :side] + 0.5) * mpp
    tissue = (np.abs(x - 200) < 150) & (np.abs(y - 200) < 150)
    near = [(each % EVERY_UM) - EVERY_UM / 2 for each in (x, y)]
    nuclei = tissue & (np.hypot(*near) < RADIUS_UM)
    unit = [np.array(vector) / np.linalg.norm(vector) for vector in (second, H_E.first)]
    density = EOSIN_OD * tissue[..., None] * unit[0] + NUCLEUS_OD * nuclei[..., None] * unit[1]
    return np.clip(np.rint(256 * 10.0 ** -(density + white) - 1), 0, 255).astype(np.uint8)


def look(tmp_path, rgb: np.ndarray, mpp: float) -> Appearance:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
    Image.fromarray(rgb).save(path)
    return slide_appearance(open_slide(path, slide_id="s", mpp=mpp))


def test_the_planted_stains_and_nuclei_are_recovered(tmp_path):
    found = look(tmp_path, section(0.5), 0.5)
    assert (found.mpp, found.glass, found.dark_field) == (0.5, True, False)
    assert found.tissue_share == pytest.approx((300 / 400) ** 2, rel=0.06)
    assert found.nuclei_per_mm2 == pytest.approx(1e6 / EVERY_UM**2, rel=0.25)
    assert found.nucleus_um == pytest.approx(2 * RADIUS_UM, rel=0.15)
    share = math.pi * RADIUS_UM**2 / EVERY_UM**2
    assert found.nuclear_share == pytest.approx(share, rel=0.25)
    hematoxylin, eosin = (
        np.array(vector) / np.linalg.norm(vector) for vector in (H_E.first, H_E.second)
    )
    expected = EOSIN_OD * eosin + NUCLEUS_OD * share * hematoxylin
    assert (found.red_od, found.green_od, found.blue_od) == pytest.approx(expected, abs=0.04)
    assert found.rest_red_over_green == pytest.approx(eosin[0] / eosin[1], abs=0.05)
    nuclei = EOSIN_OD * eosin + NUCLEUS_OD * hematoxylin
    assert found.nuclei_green_over_red == pytest.approx(nuclei[1] / nuclei[0], rel=0.1)
    assert judge_stain(found) == []


def test_neither_the_lamp_nor_a_finer_scan_changes_the_look(tmp_path):
    plain = look(tmp_path, section(0.5), 0.5).features()
    floors = np.array(list(FEATURES.values()))
    for other in (
        look(tmp_path, section(0.5, white=0.08), 0.5),
        look(tmp_path, section(0.25), 0.25),
    ):
        assert (np.abs(other.features() - plain) < floors).all()
    declared_twice_as_coarse = look(tmp_path, section(0.5), 1.0)
    assert declared_twice_as_coarse.nucleus_um > 1.6 * 2 * RADIUS_UM


def test_a_slide_out_of_focus_is_less_sharp_and_a_finer_scan_is_not(tmp_path):
    sharp = look(tmp_path, section(0.5), 0.5).sharpness
    assert look(tmp_path, section(0.25), 0.25).sharpness == pytest.approx(sharp, rel=0.1)
    blurred = ndimage.gaussian_filter(section(0.5).astype(float), (2, 2, 0)).astype(np.uint8)
    assert look(tmp_path, blurred, 0.5).sharpness < 0.8 * sharp
    coarse = look(tmp_path, section(2.0), 2.0)
    assert math.isnan(coarse.sharpness)
    before = {name: each for name, each in coarse.to_record().items() if name != "sharpness"}
    assert Appearance.from_record(before).to_record() == coarse.to_record()


def test_dab_and_glass_are_told_from_h_and_e_and_written_without_nan(tmp_path):
    (warning,) = judge_stain(look(tmp_path, section(0.5, second=H_DAB.second), 0.5))
    assert warning.about == "stain"
    blank = look(tmp_path, np.full((300, 300, 3), 244, np.uint8), 0.5)
    assert [each.about for each in judge_stain(blank)] == ["not_a_slide"]
    record = json.loads(json.dumps(blank.to_record(), allow_nan=False))
    assert Appearance.from_record(record).to_record() == blank.to_record()
    assert math.isnan(Appearance.from_record(record).nucleus_um)


@pytest.mark.real
def test_real_sections_of_other_kinds_are_told_from_h_and_e(real_data, tmp_path):
    he = real_data / "slides" / "openslide_cmu" / "cmu-1-small-region.svs"
    assert judge_stain(slide_appearance(open_slide(he, slide_id="he"))) == []
    for image in sorted((real_data / "nuclei_masks" / "dsb2018_colour" / "images").glob("*"))[:3]:
        found = slide_appearance(open_slide(image, slide_id="he", mpp=0.5))
        assert "stain" not in {each.about for each in judge_stain(found)}
    others = [*(real_data / "ki67_positivity" / "deepliif").glob("*/*.png")]
    assert len(others) >= 5
    for image in others:
        found = slide_appearance(open_slide(image, slide_id="ihc", mpp=0.25))
        assert judge_stain(found)
    grey = tifffile.imread(real_data / "nuclei_masks" / "stardist_samples" / "img2d.tif")
    bright = (grey / max(1, grey.max()) * 255).astype(np.uint8)
    assert judge_stain(look(tmp_path, np.stack([bright] * 3, axis=-1), 0.5))
