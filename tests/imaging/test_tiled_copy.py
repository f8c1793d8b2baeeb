"""A large TIFF in strips is copied once into a tiled pyramid."""

import errno
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tumor_ratio.atomic import temporary_name
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging import tiled_copy as module
from tumor_ratio.imaging.slide import Slide, open_slide


@pytest.fixture(autouse=True)
def small_limits(monkeypatch) -> None:
    monkeypatch.setattr(module, "STRIPPED_LIMIT_PX", 100_000)
    monkeypatch.setattr(module, "SMALLEST_LEVEL_PX", 200)


@pytest.fixture
def rgb(smooth_rgb) -> np.ndarray:
    return smooth_rgb(1205, 703)


def write(path: Path, rgb: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(
        path,
        rgb,
        photometric="rgb",
        resolution=(20000, 20000),
        resolutionunit="CENTIMETER",
        **{"rowsperstrip": 32, **options},
    )
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 703},
        {"compression": "lzw", "predictor": True},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "deflate"},
    ],
)
def test_the_copy_has_the_pixels_and_a_pyramid(tmp_path, rgb, options) -> None:
    stored = rgb.transpose(2, 0, 1) if "planarconfig" in options else rgb
    path = write(tmp_path / "strips.tif", stored, **options)
    slide = open_slide(path, slide_id="s1", pyramids=tmp_path / "pyramids")
    assert slide.path.parent == tmp_path / "pyramids"
    assert slide.source_path == path
    assert slide.mpp == pytest.approx(0.5)
    assert slide.reader == "openslide"
    assert [level[:2] for level in slide.levels] == [
        (1205, 703),
        (602, 351),
        (301, 175),
        (150, 87),
    ]
    assert [level[2] for level in slide.levels] == [1, 2, 4, 8]
    assert np.array_equal(slide.read(0, 0, (1205, 703), slide.mpp), rgb)
    half = (rgb[:702, :1204].reshape(351, 2, 602, 2, 3).sum((1, 3)) + 2) // 4
    assert np.array_equal(slide.read(0, 0, (602, 351), 2 * slide.mpp), half)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pyramids", "strips.tif"]
    assert Slide.from_record(slide.to_record()) == slide


def test_the_copy_is_reused_until_the_source_changes(tmp_path, rgb) -> None:
    path = write(tmp_path / "a b 🐭.tif", rgb)
    first = open_slide(path, slide_id="s1", pyramids=tmp_path / "p")
    made = first.path.stat().st_mtime_ns
    again = open_slide(path, slide_id="s1", pyramids=tmp_path / "p")
    assert again.path == first.path
    assert again.path.stat().st_mtime_ns == made
    write(path, 255 - rgb)
    os.utime(path, ns=(1, 1))
    changed = open_slide(path, slide_id="s1", pyramids=tmp_path / "p")
    assert np.array_equal(changed.read(0, 0, 64, 0.5), 255 - rgb[:64, :64])
    assert [p.name for p in (tmp_path / "p").iterdir()] == [changed.path.name]


def test_small_and_tiled_slides_are_not_copied(tmp_path, rgb) -> None:
    small = write(tmp_path / "small.tif", rgb[:64, :64])
    tiled = write(tmp_path / "tiled.tif", rgb, rowsperstrip=None, tile=(64, 64))
    for path in (small, tiled):
        slide = open_slide(path, slide_id="s1", pyramids=tmp_path / "p")
        assert (slide.path, slide.source_path) == (path, None)
    assert not (tmp_path / "p").exists()


def test_without_a_folder_strips_are_read_as_they_are(tmp_path, rgb) -> None:
    slide = open_slide(write(tmp_path / "a.tif", rgb), slide_id="s1")
    assert slide.reader == "tifffile"
    assert np.array_equal(slide.read(1000, 600, 64, 0.5), rgb[600:664, 1000:1064])


def test_a_full_disk_leaves_nothing_behind(tmp_path, rgb, monkeypatch) -> None:
    path = write(tmp_path / "a.tif", rgb)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(SlideError, match=r"No space left on device.*make room there"):
        open_slide(path, slide_id="s1", pyramids=tmp_path / "p")
    assert list((tmp_path / "p").iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setattr(module, "STRIPPED_LIMIT_PX", 100_000)
    monkeypatch.setattr(module, "_write_level", full)
    with pytest.raises(SlideError, match="No space left on device"):
        open_slide(path, slide_id="s1", pyramids=tmp_path / "p")
    assert list((tmp_path / "p").iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path, rgb) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    own = temporary_name(folder / "a-0-0.tif").name
    (folder / own.replace(str(os.getpid()), "999999999", 1)).write_bytes(b"half")
    slide = open_slide(write(tmp_path / "a.tif", rgb), slide_id="s1", pyramids=folder)
    assert list(folder.iterdir()) == [slide.path]


def test_a_damaged_strip_is_told(tmp_path, rgb) -> None:
    path = write(tmp_path / "a.tif", rgb, compression="deflate")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[9]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(bytes(data))
    with pytest.raises(SlideError, match=r"a strip cannot be decoded.*export the file again"):
        open_slide(path, slide_id="s1", pyramids=tmp_path / "p")
    assert list((tmp_path / "p").iterdir()) == []


def test_memory_holds_a_band_and_not_the_slide(tmp_path) -> None:
    row = (np.arange(4096) % 251).astype(np.uint8)
    whole = np.broadcast_to(row[None, :, None], (12288, 4096, 3))
    path = write(tmp_path / "large.tif", whole, rowsperstrip=64, compression="lzw")
    tracemalloc.start()
    try:
        slide = open_slide(path, slide_id="s1", pyramids=tmp_path / "p")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < whole.size / 2
    assert np.array_equal(slide.read(0, 12200, (4096, 88), 0.5), whole[:88])


def test_orientation_and_colour_profile_come_along(tmp_path, rgb) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = write(tmp_path / "a.tif", rgb, extratags=[(274, 3, 1, 6, True)], iccprofile=profile)
    slide = open_slide(path, slide_id="s1", pyramids=tmp_path / "p")
    assert slide.path != path
    assert (slide.width_px, slide.height_px) == (703, 1205)
    assert slide.icc_profile == "sRGB built-in"
    assert np.array_equal(slide.read(0, 0, (703, 1205), 0.5), np.rot90(rgb, -1))
