import math

import numpy as np
import pytest
import tifffile
from PIL import Image

from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.stain_kind import eosin_share, is_dark_field
from tumor_ratio.imaging.stains import H_DAB, H_E, recompose
from tumor_ratio.imaging.white_point import slide_overview


def patches_of(*vectors) -> np.ndarray:
    """Bands of pure stains of density 0.5, glass between."""
    amount = np.zeros((60, 80), np.float32)
    amount[::2] = 0.5
    return np.concatenate([recompose(amount, vector) for vector in vectors])


def test_eosin_is_told_from_hematoxylin_dab_and_both():
    assert eosin_share(patches_of(H_E.second)) == 1
    assert eosin_share(patches_of(H_DAB.first, H_DAB.second)) == 0
    both = tuple(np.add(H_DAB.first, H_DAB.second))
    assert eosin_share(patches_of(both)) == 0
    assert 0.3 < eosin_share(patches_of(H_DAB.first, H_E.second)) < 0.7


def test_glass_alone_tells_nothing():
    assert math.isnan(eosin_share(np.full((50, 50, 3), 244, np.uint8)))


def test_light_on_dark_ground_is_no_brightfield():
    field = np.zeros((100, 100, 3), np.uint8)
    field[40:60, 40:60, 2] = 200
    assert is_dark_field(field)
    assert not is_dark_field(np.full((50, 50, 3), (90, 60, 40), np.uint8))
    black_border = np.zeros((100, 100, 3), np.uint8)
    black_border[:20] = 240
    assert not is_dark_field(black_border)


@pytest.mark.real
def test_real_sections_are_told_apart(real_data):
    he = open_slide(real_data / "slides/openslide_cmu/cmu-1-small-region.svs", slide_id="he")
    assert eosin_share(slide_overview(he)) > 0.75
    for place in ("six_panel/Bladder1.png", "six_panel/Lung1.png", "ihc_x6/22_2.png"):
        with Image.open(real_data / "ki67_positivity/deepliif" / place) as image:
            assert eosin_share(np.asarray(image.convert("RGB"))[:, :512]) < 0.05
    samples = real_data / "nuclei_masks/stardist_samples"
    grey = tifffile.imread(next(samples.rglob("img2d.tif")))
    assert is_dark_field(np.stack([grey.astype(np.uint8)] * 3, axis=-1))
