import math

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.imaging.pixel_ratios import otsu_count, recolor_count

BLUE, BROWN, GLASS = (95, 105, 165), (140, 95, 55), (242, 242, 240)


def halves(share_brown: float, rng) -> np.ndarray:
    """Stained squares on glass, a share of them brown."""
    rgb = np.full((200, 200, 3), GLASS, np.float64)
    for index, (row, column) in enumerate(np.ndindex(10, 10)):
        where = np.s_[20 * row + 3 : 20 * row + 15, 20 * column + 3 : 20 * column + 15]
        rgb[where] = BROWN if index < 100 * share_brown else BLUE
    return np.clip(rgb + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_pixels_are_counted_by_their_stain(rng, share) -> None:
    assert recolor_count(halves(share, rng)).ratio == pytest.approx(share, abs=0.02)


def test_otsu_splits_two_clear_stains(rng) -> None:
    assert otsu_count(halves(0.3, rng)).ratio == pytest.approx(0.3, abs=0.05)


def test_without_stain_there_is_no_ratio() -> None:
    blank = np.full((40, 40, 3), 244, np.uint8)
    assert math.isnan(recolor_count(blank).ratio)
    assert math.isnan(otsu_count(blank).ratio)


@pytest.mark.real
def test_near_black_pixels_ruin_otsus_ratio(real_data) -> None:
    """Where experts count 0.098: what the method per nucleus is measured against."""
    image = Image.open(real_data / "ki67_positivity/deepliif/ihc_x6/22_2.png").convert("RGB")
    assert otsu_count(np.asarray(image)[:, :512]).ratio == pytest.approx(0.958, abs=0.005)
