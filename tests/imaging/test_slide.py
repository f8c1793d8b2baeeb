import pickle
from pathlib import Path

import numpy as np
import pytest

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging import slide as slide_module
from tumor_ratio.imaging.slide import Slide, open_slide


@pytest.fixture
def smooth_slide(smooth_rgb, write_pyramid) -> tuple[np.ndarray, Slide]:
    rgb = smooth_rgb(400, 300)
    return rgb, open_slide(write_pyramid(rgb), slide_id="s1")


def test_size_and_levels_are_the_files(smooth_slide) -> None:
    _, slide = smooth_slide
    assert (slide.width_px, slide.height_px, slide.mpp) == (400, 300, pytest.approx(0.5))
    assert slide.levels == ((400, 300, 1.0), (200, 150, 2.0), (100, 75, 4.0))
    assert slide.reader == "openslide"
    assert (slide.width_um, slide.height_um) == (pytest.approx(200), pytest.approx(150))


def test_reading_at_a_levels_mpp_gives_its_own_pixels(smooth_slide) -> None:
    rgb, slide = smooth_slide
    assert np.array_equal(slide.read(37, 21, (120, 60), slide.mpp), rgb[21:81, 37:157])
    half = np.rint(rgb.reshape(150, 2, 200, 2, 3).mean((1, 3)))
    assert np.array_equal(slide.read(20, 40, 50, 2 * slide.mpp), half[20:70, 10:60])


@pytest.mark.parametrize("mpp", [0.3, 0.7, 1.3, 2.9])
def test_resampling_keeps_positions(smooth_slide, mpp: float) -> None:
    rgb, slide = smooth_slide
    size = int(100 / mpp)
    read = slide.read(60, 30, size, mpp).astype(float)
    x, y = 60 + (np.arange(size) + 0.5) * mpp / 0.5, 30 + (np.arange(size) + 0.5) * mpp / 0.5
    expected = rgb[np.ix_(y.astype(int), x.astype(int))].astype(float)
    inner = slice(2, -2)
    assert np.abs(read - expected)[inner, inner].mean() < 4.5  # half a pixel's shift would give 6


def test_neighbouring_regions_agree_at_their_seam(smooth_slide) -> None:
    _, slide = smooth_slide
    whole = slide.read(16, 16, (100, 40), 0.8)
    right = slide.read(16 + 50 * 1.6, 16, (50, 40), 0.8)
    assert np.abs(whole[:, 50:].astype(int) - right).max() <= 1


def test_large_reads_in_blocks_equal_one_read(smooth_slide, monkeypatch) -> None:
    _, slide = smooth_slide
    whole = slide.read(-5, 3, (90, 70), 1.7)
    monkeypatch.setattr(slide_module, "BLOCK_PX", 2000)
    assert np.abs(whole.astype(int) - slide.read(-5, 3, (90, 70), 1.7)).max() <= 1


def test_outside_the_slide_is_white(smooth_slide) -> None:
    rgb, slide = smooth_slide
    read = slide.read(-10, -20, 50, slide.mpp)
    assert (read[:20] == 255).all()
    assert (read[:, :10] == 255).all()
    assert np.array_equal(read[20:, 10:], rgb[:30, :40])
    assert (slide.read(5000, 5000, 30, 1.3) == 255).all()


def test_overview_covers_the_slide_and_tells_its_mpp(smooth_slide, monkeypatch) -> None:
    _, slide = smooth_slide
    rgb, mpp = slide.read_overview(3.0)
    assert (rgb.shape, mpp) == ((50, 67, 3), 3.0)
    monkeypatch.setattr(slide_module, "OVERVIEW_PX", 400)
    rgb, mpp = slide.read_overview(3.0)
    assert rgb.shape[0] * rgb.shape[1] < 450
    assert mpp == pytest.approx(slide.width_um / rgb.shape[1], rel=0.1)


def test_slide_survives_pickle_and_json_records(smooth_slide) -> None:
    rgb, slide = smooth_slide
    slide.read(0, 0, 16, 0.5)
    for copy in (pickle.loads(pickle.dumps(slide)), Slide.from_record(slide.to_record())):
        assert copy == slide
        assert np.array_equal(copy.read(0, 0, 16, slide.mpp), rgb[:16, :16])


def test_a_changed_file_is_opened_anew(smooth_rgb, write_pyramid) -> None:
    slide = open_slide(write_pyramid(smooth_rgb(128, 128)), slide_id="s1")
    slide.read(0, 0, 16, 0.5)
    write_pyramid(np.full((128, 128, 3), 9, np.uint8))
    assert (slide.read(0, 0, 16, slide.mpp) == 9).all()


def test_given_mpp_wins_over_the_files(smooth_rgb, write_pyramid) -> None:
    path = write_pyramid(smooth_rgb(64, 64), mpp=0.5)
    slide = open_slide(path, slide_id="s1", mpp=0.25)
    assert slide.mpp == 0.25
    assert slide.read(0, 0, 32, 0.5).shape == (32, 32, 3)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, -1)])
def test_empty_regions_are_refused(smooth_slide, width: int, height: int) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        smooth_slide[1].read(0, 0, (width, height), 0.5)


def test_a_file_that_goes_away_is_a_slide_error(smooth_slide) -> None:
    _, slide = smooth_slide
    slide.path.unlink()
    with pytest.raises(SlideError, match=r"slide s1: .* no longer there; bring the file back"):
        slide.read(0, 0, 16, 0.5)


def test_transparent_png_is_laid_on_white(tmp_path: Path) -> None:
    from PIL import Image

    rgba = np.zeros((40, 50, 4), np.uint8)
    rgba[:, 25:] = (200, 10, 10, 255)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    slide = open_slide(tmp_path / "a.png", slide_id="s1", mpp=0.5)
    assert slide.reader == "pillow"
    read = slide.read(0, 0, (50, 40), 0.5)
    assert (read[:, :25] == 255).all()
    assert (read[:, 25:] == (200, 10, 10)).all()
