"""Every way in which a file can fail to be a slide costs one line that says what to do."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging import readers
from tumor_ratio.imaging.slide import open_slide


def refusal(path: Path, mpp: float | None = 0.5) -> str:
    with pytest.raises(SlideError, match="slide s1: ") as caught:
        open_slide(path, slide_id="s1", mpp=mpp)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.slide_id == "s1"
    assert caught.value.remedy
    return message


def test_no_such_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.svs").endswith("no such file; correct the path")


def test_a_folder(tmp_path: Path) -> None:
    assert "a folder, not a file" in refusal(tmp_path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.svs").touch()
    assert "the file is empty" in refusal(tmp_path / "a.svs")


@pytest.mark.parametrize("call", ["stat", "open"])
def test_a_file_that_may_not_be_read(
    smooth_rgb, write_pyramid, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = write_pyramid(smooth_rgb(64, 64))

    def denied(*_: object, **__: object) -> None:  # root may read every file
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, call, denied)
    assert "no permission to read the file; give your account the right" in refusal(path)


def test_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_text("patient list, 2021")
    assert "not an image" in refusal(tmp_path / "a.svs")


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_truncated_tiff(smooth_rgb, write_pyramid, share: float) -> None:
    path = write_pyramid(smooth_rgb(512, 512), levels=1)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "truncated" in refusal(path)


def test_truncated_png(tmp_path: Path, rng) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(rng.integers(0, 256, (100, 100, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-9000])
    assert "truncated" in refusal(path)


def test_no_pixel_size(smooth_rgb, write_pyramid) -> None:
    path = write_pyramid(smooth_rgb(64, 64), mpp=None)
    message = refusal(path, None)
    assert "no pixel size in the file; set he_mpp or ihc_mpp" in message
    assert "prediction.mpp" in message  # there is no manifest where a slide or folder is given


def test_unbelievable_pixel_size(smooth_rgb, write_pyramid) -> None:
    path = write_pyramid(smooth_rgb(64, 64), mpp=1000.0)
    message = refusal(path, None)
    assert "claims 1000 x 1000 um/px" in message
    assert "he_mpp" in message


def test_unbelievable_given_pixel_size(smooth_rgb, write_pyramid) -> None:
    path = write_pyramid(smooth_rgb(64, 64))
    assert "a pixel size of 40 um is not believable" in refusal(path, 40.0)


def test_pixels_that_are_not_square(smooth_rgb, write_pyramid) -> None:
    path = write_pyramid(
        smooth_rgb(64, 64), mpp=None, resolution=(20000, 10000), resolutionunit="CENTIMETER"
    )
    assert "not square" in refusal(path, None)


@pytest.mark.parametrize("size", [(1, 1), (15, 400)])
def test_too_small(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert "too small to be a slide; leave it out or" in refusal(tmp_path / "a.png")


def test_a_large_png_asks_for_a_pyramid(tmp_path: Path, monkeypatch) -> None:
    Image.new("RGB", (300, 300)).save(tmp_path / "a.png")
    monkeypatch.setattr(readers, "PILLOW_LIMIT_PX", 50_000)
    assert "convert to a tiled pyramid" in refusal(tmp_path / "a.png")


def test_sixteen_bit_images(tmp_path: Path, rng) -> None:
    deep = rng.integers(0, 65536, (64, 64), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert "convert it to 8-bit RGB" in refusal(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", deep)
    assert "convert it to 8-bit RGB" in refusal(tmp_path / "a.tif")


def test_a_fluorescence_stack(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.zeros((5, 64, 64), np.uint8), metadata={"axes": "CYX"}
    )
    assert "not one RGB image" in refusal(tmp_path / "a.ome.tif")


def test_unknown_compression(smooth_rgb, write_pyramid) -> None:
    path = write_pyramid(smooth_rgb(64, 64), levels=1)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["Compression"].overwrite(52479)
    assert "52479 is not a known COMPRESSION" in refusal(path)


def test_a_damaged_tile_inside_costs_the_read_only_and_not_the_next(
    smooth_rgb, write_pyramid
) -> None:
    path = write_pyramid(smooth_rgb(512, 512), levels=1, compression="jpeg")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[27]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(bytes(data))
    slide = open_slide(path, slide_id="s1", mpp=0.5)
    with pytest.raises(SlideError, match=r"cannot be read at level 0.*export it again"):
        slide.read(0, 0, 512, 0.5)
    assert slide.read(0, 0, 64, 0.5).shape == (64, 64, 3)  # the failed handle was dropped


@pytest.mark.real
def test_real_malformed_slides_are_refused(real_data: Path) -> None:
    folder = real_data / "slides/malformed"
    assert "not an image" in refusal(folder / "broken.svs")
    assert "COMPRESSION" in refusal(folder / "unopenable.tiff")
    assert "cannot be decoded" in refusal(folder / "unreadable.svs")


@pytest.mark.real
def test_real_generic_tiffs_claim_a_millimetre_a_pixel(real_data: Path) -> None:
    for path in sorted((real_data / "slides/marzahl_4scanner").glob("*_1.*")):
        assert "claims 1000 x 1000 um/px" in refusal(path, None)
