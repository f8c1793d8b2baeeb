from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.imaging.context import WiderView, with_context
from tumor_ratio.imaging.patches import PatchReader
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide, open_slide

SIDE = 32


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    """Black, but for a red square of one region and a green one right of it."""
    rgb = np.zeros((5 * SIDE, 5 * SIDE, 3), dtype=np.uint8)
    rgb[2 * SIDE : 3 * SIDE, 2 * SIDE : 3 * SIDE, 0] = 255
    rgb[2 * SIDE : 3 * SIDE, 3 * SIDE : 4 * SIDE, 1] = 255
    Image.fromarray(rgb).save(tmp_path / "s.png")
    return open_slide(tmp_path / "s.png", slide_id="s", mpp=0.5)


def test_the_region_lies_in_the_middle_and_its_surroundings_around_it(slide):
    seen = with_context(slide, 2.0).read(2 * SIDE, 2 * SIDE, SIDE, 0.5)
    assert seen.shape == (SIDE, SIDE, 3)
    quarter = SIDE // 4
    middle = seen[quarter:-quarter, quarter:-quarter]
    assert middle[1:-1, 1:-1, 0].min() > 250
    assert seen[:, : quarter - 1, :].max() < 5  # black to the left
    assert seen[quarter + 1 : -quarter - 1, -quarter + 1 :, 1].min() > 250  # green to the right


def test_without_context_it_is_the_slide_itself(slide):
    assert with_context(slide, 1) is slide
    same = WiderView(slide, 1.0).read(7, 9, SIDE, 0.5)
    np.testing.assert_array_equal(same, slide.read(7, 9, SIDE, 0.5))


@pytest.mark.parametrize("factor", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("mpp", [0.5, 1.0])
def test_it_is_the_wider_square_at_the_coarser_pixel_size(slide, factor, mpp):
    x_px, y_px, side = 70, 60, 24
    wide = side * mpp * factor / 0.5
    left = x_px - (wide - side * mpp / 0.5) / 2
    top = y_px - (wide - side * mpp / 0.5) / 2
    expected = slide.read(left, top, side, mpp * factor)
    np.testing.assert_array_equal(WiderView(slide, factor).read(x_px, y_px, side, mpp), expected)


def test_outside_the_slide_it_is_white(slide):
    seen = WiderView(slide, 3.0).read(0, 0, SIDE, 0.5)
    assert (seen[: SIDE // 4, : SIDE // 4] == 255).all()


def test_it_serves_a_patch_reader_and_another_process(slide):
    view = pickle.loads(pickle.dumps(with_context(slide, 2.0)))
    region = Region("s", "t", "patch", 2 * SIDE, 2 * SIDE, SIDE, 0.5)
    (patch,) = PatchReader({"s": view}, [region], cache_mb=1).read([0])
    np.testing.assert_array_equal(patch, view.read(2 * SIDE, 2 * SIDE, SIDE, 0.5))
