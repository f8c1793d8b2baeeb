"""Every real slide opens with OpenSlide's or Pillow's size and pixels, or is refused in a line."""

import os
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.slide import open_slide

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / os.environ.get("TUMOR_RATIO_REAL_DATA", "../shared/real") / "slides"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())
NO_IMAGES = ("LICENSE", "COPYING", "README")

pytestmark = pytest.mark.real


def is_to_be_refused(name: str) -> bool:
    return name.startswith("malformed/") or Path(name).name.startswith(NO_IMAGES)


def corners(width: int, height: int, side: int = 300) -> list[tuple[int, int, int, int]]:
    """Both ends, the middle, and a region that begins on no tile's edge."""
    w, h = min(side, width), min(side, height)
    starts = {(0, 0), (width - w, height - h), ((width - w) // 2, (height - h) // 2)}
    return [(x, y, w, h) for x, y in sorted(starts)]


def by_openslide(path: Path, level: int, box: tuple[int, int, int, int]) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        x, y, w, h = box
        downsample = slide.level_downsamples[level]
        rgba = slide.read_region((round(x * downsample), round(y * downsample)), level, (w, h))
        white = Image.new("RGBA", rgba.size, "white")
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


def is_on_whole_pixels(path: Path, level: int) -> bool:
    """Whether OpenSlide gives a level's pixels as they are stored, wherever it is asked to begin.

    Where the level's size was rounded, it shifts them by a part of a pixel.
    """
    if not openslide.OpenSlide.detect_format(path):
        return True
    with openslide.OpenSlide(path) as slide:
        return float(slide.level_downsamples[level]).is_integer()


def by_pillow(path: Path, level: int, box: tuple[int, int, int, int]) -> np.ndarray:
    x, y, w, h = box
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))[y : y + h, x : x + w]


@pytest.mark.parametrize("name", FILES or ["no slides"])
def test_size_and_pixels_are_right_or_the_file_is_refused(real_data: Path, name: str) -> None:
    path = real_data / "slides" / name
    if is_to_be_refused(name):
        with pytest.raises(SlideError, match="slide s1: ") as caught:
            open_slide(path, slide_id="s1", mpp=0.5)
        assert "\n" not in str(caught.value)
        assert caught.value.remedy
        return
    slide = open_slide(path, slide_id="s1", mpp=0.5)
    if openslide.OpenSlide.detect_format(path):
        with openslide.OpenSlide(path) as other:
            sizes, read = other.level_dimensions, by_openslide
    else:
        with Image.open(path) as image:
            sizes, read = (image.size,), by_pillow
    assert tuple(level[:2] for level in slide.levels) == tuple(sizes)
    assert (slide.width_px, slide.height_px) == sizes[0]
    for index, (width, height, downsample) in enumerate(slide.levels):
        for box in corners(width, height):
            x, y, w, h = box
            ours = slide.read(x * downsample, y * downsample, (w, h), 0.5 * downsample)
            theirs = read(path, index, box)
            if (x, y) == (0, 0) or is_on_whole_pixels(path, index):
                assert np.array_equal(ours, theirs)
            else:  # as stored, which OpenSlide shifts a little
                stored = tifffile.imread(path, series=0, level=index)
                assert np.array_equal(ours, stored[y : y + h, x : x + w])
                assert np.abs(ours.astype(int) - theirs).mean() < 1


@pytest.mark.parametrize("name", [n for n in FILES if not is_to_be_refused(n)] or ["no slides"])
def test_pixel_size_is_the_files_or_asked_for(real_data: Path, name: str) -> None:
    path = real_data / "slides" / name
    claimed = None
    if openslide.OpenSlide.detect_format(path):
        with openslide.OpenSlide(path) as other:
            claimed = other.properties.get(openslide.PROPERTY_NAME_MPP_X)
    if claimed is not None and float(claimed) < 20:
        assert open_slide(path, slide_id="s1").mpp == pytest.approx(float(claimed), rel=0.02)
        return
    reason = "is not believable" if claimed is not None else "no pixel size in the file"
    with pytest.raises(SlideError, match=rf"{reason}.*; set he_mpp or ihc_mpp"):
        open_slide(path, slide_id="s1")
