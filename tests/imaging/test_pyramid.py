"""What a written pyramid says about itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from tumor_ratio.imaging.pyramid import write_pyramid
from tumor_ratio.imaging.slide import open_slide

TEXT = "SYNTHETIC - not a stain. Made of nothing."
DESCRIPTION = "ImageDescription"


def write(path: Path, rgb: np.ndarray, **options: object) -> Path:
    write_pyramid(
        path,
        lambda x, y, width, height: rgb[y : y + height, x : x + width],
        width_px=rgb.shape[1],
        height_px=rgb.shape[0],
        mpp=0.5,
        tile_px=256,
        jpeg_quality=90,
        **options,
    )
    return path


def tags(path: Path) -> list[set[str]]:
    with tifffile.TiffFile(path) as tif:
        return [{tag.name for tag in page.tags} for page in tif.pages]


@pytest.fixture
def rgb(smooth_rgb) -> np.ndarray:
    return smooth_rgb(1300, 700)


def test_the_description_is_a_tag_of_level_0_alone(tmp_path, rgb):
    plain, told = write(tmp_path / "a.tif", rgb), write(tmp_path / "b.tif", rgb, description=TEXT)
    assert len(tags(told)) == 3
    with tifffile.TiffFile(told) as tif:
        assert tif.pages[0].tags[DESCRIPTION].value == TEXT
    assert not any(DESCRIPTION in names for names in tags(plain))
    assert tags(told) == [tags(plain)[0] | {DESCRIPTION}, *tags(plain)[1:]]


def test_an_empty_description_is_none(tmp_path, rgb):
    plain, empty = write(tmp_path / "a.tif", rgb), write(tmp_path / "b.tif", rgb, description="")
    assert plain.read_bytes() == empty.read_bytes()


def test_the_description_changes_no_pixel_and_openslide_reads_both(tmp_path, rgb):
    plain, told = write(tmp_path / "a.tif", rgb), write(tmp_path / "b.tif", rgb, description=TEXT)
    slides = [open_slide(path, slide_id="s1") for path in (plain, told)]
    assert [slide.reader for slide in slides] == ["openslide", "openslide"]
    assert slides[0].levels == slides[1].levels
    assert slides[1].mpp == pytest.approx(0.5)
    pixels = [slide.read(0, 0, (1300, 700), 0.5) for slide in slides]
    assert np.array_equal(*pixels)
    assert np.abs(pixels[0].astype(int) - rgb).mean() < 3
    with openslide.OpenSlide(told) as slide:
        assert slide.properties["tiff.ImageDescription"] == TEXT


def test_a_description_that_the_tag_cannot_hold_leaves_no_file(tmp_path, rgb):
    with pytest.raises(ValueError, match="ASCII"):
        write(tmp_path / "a.tif", rgb, description="Färbung")
    assert list(tmp_path.iterdir()) == []
