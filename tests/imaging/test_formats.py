"""Every format and layout gives the pixels that were put in, upright and on white."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from tumor_ratio.imaging.slide import open_slide

TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.fixture
def rgb(smooth_rgb) -> np.ndarray:
    return smooth_rgb(300, 200)


@pytest.fixture
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(path: Path) -> np.ndarray:
    slide = open_slide(path, slide_id="s1", mpp=0.5)
    return slide.read(0, 0, (slide.width_px, slide.height_px), 0.5)


def with_alpha(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RGBA, and what it looks like on white."""
    alpha = np.tile(np.linspace(0, 255, rgb.shape[1]).astype(np.uint8), (rgb.shape[0], 1))
    share = alpha[..., None] / 255
    return np.dstack([rgb, alpha]), rgb * share + 255 * (1 - share)


@pytest.mark.parametrize("orientation", list(TURNS))
@pytest.mark.parametrize("layout", [{"tile": (64, 64)}, {"rowsperstrip": 16}])
def test_tiffs_are_turned_upright(tmp_path, rgb, orientation: int, layout) -> None:
    path = tmp_path / "a.tif"
    tag = (274, 3, 1, orientation, True)
    tifffile.imwrite(path, rgb, photometric="rgb", extratags=[tag], **layout)
    expected = TURNS[orientation](rgb)
    assert np.array_equal(pixels(path), expected)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), expected)
    slide = open_slide(path, slide_id="s1", mpp=0.5)
    assert (slide.height_px, slide.width_px) == expected.shape[:2]
    part = slide.read(-7, 31, (50, 40), 0.5)
    assert (part[:, :7] == 255).all()
    assert np.array_equal(part[:, 7:], expected[31:71, :43])


@pytest.mark.parametrize("orientation", list(TURNS))
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_exif_turns_small_images(tmp_path, rgb, orientation: int, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(rgb).save(path, exif=exif, **({"quality": 98} if ending == "jpg" else {}))
    expected = TURNS[orientation](rgb)
    read = pixels(path)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < (3 if ending == "jpg" else 1e-9)


@pytest.mark.parametrize("layout", [{"tile": (64, 64)}, {"rowsperstrip": 16}])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha_is_laid_on_white(tmp_path, rgb, layout, kind: str) -> None:
    rgba, expected = with_alpha(rgb)
    if kind == "assocalpha":
        rgba[..., :3] = np.rint(rgba[..., :3] * (rgba[..., 3:] / 255))
    if kind == "unspecified":
        expected = rgb
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=[kind], **layout)
    assert np.abs(pixels(path) - expected).max() <= 1


def test_alpha_of_a_png_is_laid_on_white(tmp_path, rgb) -> None:
    rgba, expected = with_alpha(rgb)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert np.abs(pixels(tmp_path / "a.png") - expected).max() <= 1


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("layout", [{"tile": (64, 64)}, {"rowsperstrip": 16}, {"bigtiff": True}])
def test_grey_tiffs_become_rgb(tmp_path, rgb, photometric: str, layout) -> None:
    grey = rgb[..., 0]
    stored = 255 - grey if photometric == "miniswhite" else grey
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, **layout)
    assert np.array_equal(pixels(tmp_path / "a.tif"), np.dstack([grey] * 3))


def test_grey_and_palette_pngs_become_rgb(tmp_path, rgb) -> None:
    Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(pixels(tmp_path / "grey.png"), np.dstack([rgb[..., 0]] * 3))
    palette = Image.fromarray(rgb).quantize(16)
    palette.save(tmp_path / "p.png")
    assert np.array_equal(pixels(tmp_path / "p.png"), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp", "lzw", "zstd", "packbits"])
def test_compressed_tiles(tmp_path, rgb, compression: str, bigtiff: bool) -> None:
    path = tmp_path / "a.tif"
    options = {
        "jpeg": {"subsampling": (2, 2), "compressionargs": {"level": 95}},
        "webp": {"compressionargs": {"level": 95}},
    }.get(compression, {})
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as tif:
        tif.write(rgb, tile=(64, 64), photometric="rgb", compression=compression, **options)
    difference = np.abs(pixels(path).astype(int) - rgb)
    assert difference.mean() < (4 if compression in {"jpeg", "webp"} else 1e-9)


@pytest.mark.parametrize("compression", ["lzw", "jpeg", None])
def test_separate_planes(tmp_path, rgb, compression) -> None:
    for layout in ({"tile": (64, 64)}, {"rowsperstrip": 16}):
        path = tmp_path / "a.tif"
        tifffile.imwrite(
            path, rgb.transpose(2, 0, 1), photometric="rgb", planarconfig="separate",
            compression=compression, **layout,
        )  # fmt: skip
        assert np.abs(pixels(path).astype(int) - rgb).mean() < (
            2 if compression == "jpeg" else 1e-9
        )


def test_the_largest_image_of_an_ome_tiff_is_the_slide(tmp_path, rgb) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for image, size in ((rgb[:64, :64], 8.0), (rgb, 0.25), (rgb[:100, :80], 4.0)):
            tif.write(
                image, tile=(64, 64), photometric="rgb",
                metadata={
                    "axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeXUnit": "µm",
                    "PhysicalSizeY": size, "PhysicalSizeYUnit": "µm",
                },
            )  # fmt: skip
    slide = open_slide(path, slide_id="s1")
    assert slide.mpp == pytest.approx(0.25)
    assert np.array_equal(pixels(path), rgb)


def test_a_plain_tiffs_sub_resolutions_are_levels(tmp_path, rgb) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        options = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
        tif.write(rgb, subifds=1, **options)
        tif.write(rgb[::2, ::2], subfiletype=1, **options)
    slide = open_slide(path, slide_id="s1", mpp=0.5)
    assert [level[2] for level in slide.levels] == [1.0, 2.0]
    assert np.array_equal(slide.read(0, 0, (150, 100), 1.0), rgb[::2, ::2])


def test_the_embedded_profile_is_named_and_not_applied(tmp_path, rgb, profile: bytes) -> None:
    tiled = {"photometric": "rgb", "iccprofile": profile, "tile": (64, 64)}
    tifffile.imwrite(tmp_path / "a.tif", rgb, **tiled)
    tifffile.imwrite(tmp_path / "a.ome.tif", rgb, **tiled)
    tifffile.imwrite(tmp_path / "strips.tif", rgb, photometric="rgb", iccprofile=profile)
    Image.fromarray(rgb).save(tmp_path / "a.png", icc_profile=profile)
    for name in ("a.tif", "a.ome.tif", "strips.tif", "a.png"):
        slide = open_slide(tmp_path / name, slide_id="s1", mpp=0.5)
        record = slide.to_record()
        assert (record["icc_profile"], record["icc_profile_applied"]) == ("sRGB built-in", False)
        assert np.array_equal(pixels(tmp_path / name), rgb)


def test_a_broken_profile_costs_nothing(tmp_path, rgb) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", rgb, tile=(64, 64), photometric="rgb", iccprofile=b"x" * 200
    )
    Image.fromarray(rgb).save(tmp_path / "a.png", icc_profile=b"x" * 200)
    for name in ("a.tif", "a.png"):
        slide = open_slide(tmp_path / name, slide_id="s1", mpp=0.5)
        assert slide.icc_profile == "unreadable profile"
        assert np.array_equal(pixels(tmp_path / name), rgb)


def test_no_profile_is_told_as_none(tmp_path, rgb) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    assert open_slide(tmp_path / "a.png", slide_id="s1", mpp=0.5).icc_profile is None


@pytest.mark.parametrize("name", ["a slide with spaces.tif", "mouse 🐭 Größe.tif", "名前.png"])
def test_any_file_name(tmp_path, rgb, name: str) -> None:
    path = tmp_path / "folder with 🧪" / name
    path.parent.mkdir()
    if name.endswith("png"):
        path.write_bytes(imagecodecs.png_encode(rgb))
    else:
        tifffile.imwrite(path, rgb, tile=(64, 64), photometric="rgb")
    assert np.array_equal(pixels(path), rgb)
