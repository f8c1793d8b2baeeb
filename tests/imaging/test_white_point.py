import numpy as np
import pytest
from PIL import Image

from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.stains import H_DAB, channel_density, recompose, separate
from tumor_ratio.imaging.white_point import against_white, has_glass, slide_overview, white_od


def stained(glass=(255, 255, 255)) -> np.ndarray:
    """DAB of density 0.5 on a fifth of the picture, seen through tinted glass."""
    amount = np.zeros((100, 100), np.float32)
    amount[:20] = 0.5
    light = recompose(amount, H_DAB.second) / 255 * np.array(glass)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("glass", [(255, 255, 255), (205, 205, 205), (215, 228, 210)])
def test_glass_of_any_tint_becomes_white_and_dab_keeps_its_density(glass):
    rgb = stained(glass)
    white = white_od(rgb)
    np.testing.assert_allclose(white, channel_density(np.array(glass, np.uint8)), atol=1e-6)
    corrected = against_white(rgb, white)
    assert corrected[50:].min() >= 254
    assert separate(corrected, H_DAB)[:20, :, 1].mean() == pytest.approx(0.5, abs=0.03)


def test_padding_is_no_glass():
    """Scanners fill with pure white what they did not scan."""
    rgb = stained((215, 215, 215))
    rgb[:, 90:] = 255
    np.testing.assert_allclose(white_od(rgb), channel_density(np.array([215] * 3, np.uint8)))
    clipped = stained()  # glass as bright as the scale ends
    clipped[40:45] = 235
    assert not white_od(clipped).any()


def test_what_is_too_dark_is_no_glass():
    brown = np.full((50, 50, 3), (150, 100, 60), np.uint8)
    assert not white_od(brown).any()
    assert not has_glass(brown)
    assert has_glass(stained())
    assert against_white(brown, white_od(brown)) is brown


def test_the_overview_is_bounded_and_never_finer_than_the_slide(tmp_path):
    for width, expected in ((400, (300, 400)), (3000, (103, 1024))):
        path = tmp_path / f"{width}.png"
        Image.fromarray(np.full((300, width, 3), 240, np.uint8)).save(path)
        overview = slide_overview(open_slide(path, slide_id="s", mpp=0.5))
        assert overview.shape[:2] == expected
