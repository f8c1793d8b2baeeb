from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.imaging.tissue import tissue_fraction, tissue_mask, white_fraction

HEMATOXYLIN, EOSIN, DAB = (90, 70, 150), (230, 150, 190), (120, 70, 40)
GREEN_PEN, BLUE_PEN, BLACK = (40, 170, 120), (40, 90, 220), (15, 15, 15)


def glass(rng, height: int = 200, width: int = 200) -> np.ndarray:
    return np.clip(rng.normal(244, 2, (height, width, 3)), 0, 255).astype(np.uint8)


def test_white_needs_all_three_channels() -> None:
    rgb = np.full((10, 10, 3), 230, np.uint8)
    rgb[:4, :, 2] = 180
    assert white_fraction(rgb, white_level=210) == pytest.approx(0.6)
    assert white_fraction(rgb, white_level=230) == pytest.approx(0.6)
    assert white_fraction(rgb, white_level=231) == 0.0


def test_what_is_no_rgb_image_is_refused() -> None:
    for wrong in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ValueError, match="uint8 with at least one pixel"):
            white_fraction(wrong, white_level=210)
        with pytest.raises(ValueError, match="uint8 with at least one pixel"):
            tissue_mask(wrong, 2.0)


@pytest.mark.parametrize("colour", [HEMATOXYLIN, EOSIN, DAB, (205, 200, 215)])
@pytest.mark.parametrize("mpp", [1.0, 4.0, 4])
def test_a_stained_square_is_found(rng, colour, mpp) -> None:
    rgb = glass(rng)
    rgb[50:150, 40:160] = colour
    truth = np.zeros((200, 200), bool)
    truth[50:150, 40:160] = True
    found = tissue_mask(rgb, mpp)
    assert (found & truth).sum() / (found | truth).sum() > 0.82  # the rim is blurred
    assert tissue_fraction(rgb, mpp) == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("colour", [GREEN_PEN, BLUE_PEN, BLACK])
def test_marks_are_no_tissue(rng, colour) -> None:
    rgb = glass(rng)
    rgb[80:120, :] = colour
    assert tissue_fraction(rgb, 2.0) < 0.01
    rgb[:60] = EOSIN
    assert tissue_fraction(rgb, 2.0) == pytest.approx(0.3, abs=0.05)


def test_dark_nuclei_are_no_black_mark(rng) -> None:
    rgb = np.full((200, 200, 3), EOSIN, np.uint8)
    for y, x in rng.integers(5, 190, (150, 2)):
        rgb[y : y + 8, x : x + 8] = (40, 30, 50)
    assert tissue_fraction(rgb, 1.0) > 0.99


def test_glass_gaps_and_specks(rng) -> None:
    assert tissue_fraction(glass(rng), 2.0) == 0.0
    rgb = glass(rng)
    rgb[100:103, 100:103] = HEMATOXYLIN  # a speck of 36 um2
    assert tissue_fraction(rgb, 2.0) == 0.0
    assert tissue_fraction(np.full((50, 50, 3), 255, np.uint8), 2.0) == 0.0


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("almost-white-1", 0.0, 0.01),
        ("almost-white-2", 0.005, 0.05),
        ("no-tissue", 0.0, 0.01),
        ("no-tissue-green-pen", 0.0, 0.01),
        ("no-tissue-line", 0.0, 0.08),  # the cover glass' thin black edge is not wide enough
        ("high-nuclei-score-level2", 0.1, 0.3),
        ("low-nuclei-score-level1", 0.3, 0.7),
        ("medium-nuclei-score-level1", 0.5, 0.9),
    ],
)
@pytest.mark.parametrize("mpp", [0.5, 2.0])
def test_real_tiles(real_data: Path, name, low, high, mpp) -> None:
    image = Image.open(real_data / "slides/tiles_white_cleaning" / f"{name}.png").convert("RGB")
    small = image.resize((round(512 * 0.5 / mpp),) * 2, Image.Resampling.HAMMING)
    assert low <= tissue_fraction(np.asarray(small), mpp) <= high


@pytest.mark.real
def test_white_cleaning_tells_real_tiles_apart(real_data: Path) -> None:
    def white(name: str) -> float:
        image = Image.open(real_data / "slides/tiles_white_cleaning" / f"{name}.png")
        return white_fraction(np.asarray(image.convert("RGB")), white_level=210)

    assert white("no-tissue") > 0.99
    assert white("almost-white-1") > 0.99
    assert white("medium-nuclei-score-level1") < 0.4  # the study's limit for H&E
