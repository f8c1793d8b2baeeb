from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging import tiff_reader as module
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.slide_checks import choose_reader
from tumor_ratio.imaging.tiff_checks import unreachable_bytes
from tumor_ratio.imaging.tiff_reader import TiffReader


@pytest.fixture
def rgb(smooth_rgb) -> np.ndarray:
    return smooth_rgb(300, 200)


def write_ome(path: Path, rgb: np.ndarray, unit: str = "µm", size: float = 0.25) -> None:
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(
            rgb,
            subifds=1,
            tile=(64, 64),
            photometric="rgb",
            metadata={
                "axes": "YXS",
                "PhysicalSizeX": size,
                "PhysicalSizeY": size,
                "PhysicalSizeXUnit": unit,
                "PhysicalSizeYUnit": unit,
            },
        )
        half = np.rint(rgb.reshape(100, 2, 150, 2, 3).mean((1, 3))).astype(np.uint8)
        tif.write(half, subfiletype=1, tile=(64, 64), photometric="rgb")


@pytest.mark.parametrize(("unit", "size"), [("µm", 0.25), ("mm", 0.00025), ("nm", 250.0)])
def test_ome_tiff_keeps_its_pyramid_and_pixel_size(tmp_path, rgb, unit, size) -> None:
    path = tmp_path / "a.ome.tif"
    write_ome(path, rgb, unit, size)
    slide = open_slide(path, slide_id="s1")
    assert slide.reader == "tifffile"
    assert slide.mpp == pytest.approx(0.25)
    assert [level[2] for level in slide.levels] == [1.0, 2.0]
    assert np.array_equal(slide.read(33, 70, (90, 80), slide.mpp), rgb[70:150, 33:123])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 7},
        {"rowsperstrip": 32, "compression": "lzw", "predictor": True},
        {"planarconfig": "separate", "tile": (64, 64)},
        {"planarconfig": "separate", "rowsperstrip": 16},
        {"tile": (64, 64), "compression": "deflate"},
        {"bigtiff": True, "byteorder": ">"},
    ],
)
def test_every_layout_gives_the_same_pixels(tmp_path, rgb, options) -> None:
    path = tmp_path / "a.tif"
    separate = options.get("planarconfig") == "separate"
    file_options = {key: options.pop(key) for key in ("bigtiff", "byteorder") if key in options}
    options = dict(options)
    with tifffile.TiffWriter(path, **file_options) as tif:
        tif.write(rgb.transpose(2, 0, 1) if separate else rgb, photometric="rgb", **options)
    reader = TiffReader(path)
    assert reader.levels == ((300, 200, 1.0),)
    assert np.array_equal(reader.read_level(0, 21, 53, 130, 77), rgb[53:130, 21:151])
    outside = reader.read_level(0, 290, 190, 20, 20)
    assert np.array_equal(outside[:10, :10], rgb[190:, 290:])
    assert (outside[10:] == 255).all()
    assert (outside[:, 10:] == 255).all()


def test_stripped_tiff_opens_as_a_slide(tmp_path, rgb) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", rowsperstrip=16)
    slide = open_slide(path, slide_id="s1", mpp=0.5)
    assert slide.reader == "tifffile"
    assert np.array_equal(slide.read(10, 20, 40, 0.5), rgb[20:60, 10:50])


def test_grey_becomes_rgb(tmp_path, rgb) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb[..., 0])
    read = TiffReader(path).read_level(0, 0, 0, 300, 200)
    assert all(np.array_equal(read[..., c], rgb[..., 0]) for c in range(3))


def test_three_planes_of_one_colour_each_are_rgb(tmp_path, rgb) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, rgb.transpose(2, 0, 1), photometric="minisblack", metadata={"axes": "CYX"}
    )
    assert np.array_equal(TiffReader(path).read_level(0, 0, 0, 300, 200), rgb)


def test_the_tags_give_the_pixel_size(tmp_path, rgb) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", resolution=(50800, 50800), resolutionunit="INCH")
    assert TiffReader(path).claimed_mpp == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    ("unit", "mpp"),
    [
        *(((name, 0.25)) for name in ("um", "micron", "microns", "\\u00B5m", '"um"')),
        ("mm", 250.0),
        ("inch", 6350.0),
        ("pixel", None),
    ],
)
@pytest.mark.parametrize("resolutionunit", ["NONE", "CENTIMETER"])
def test_imagejs_description_gives_the_unit_of_the_tags(
    tmp_path, rgb, unit, mpp, resolutionunit
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        rgb,
        imagej=True,
        resolution=(4, 4),
        resolutionunit=resolutionunit,
        metadata={"unit": unit},
    )
    if mpp is None and resolutionunit == "CENTIMETER":
        mpp = 2500.0  # of the tags' own unit
    claimed = TiffReader(path).claimed_mpp
    assert claimed == (None if mpp is None else pytest.approx((mpp, mpp)))


OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="{name}">
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="300" SizeY="200" SizeC="3"
SizeZ="1" SizeT="1" {size}><Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0"/>
</Pixels></Image></OME>"""


def sized(value: str, unit: str | None = None) -> str:
    return " ".join(
        f'PhysicalSize{axis}="{value}"' + (f' PhysicalSize{axis}Unit="{unit}"' if unit else "")
        for axis in "XY"
    )


@pytest.mark.parametrize(
    ("description", "mpp"),
    [
        (OME.format(name="a", size=sized("0.25")), 0.25),
        (OME.format(name="lung & liver", size=sized("0.25")), 0.25),
        (OME.format(name="lung &amp; liver", size=sized("0.25", "µm")), 0.25),
        (OME.format(name="a", size=sized("0.25", "Âµm")), 0.25),
        (OME.format(name="a", size=sized("0.25", "?m")), 0.25),
        (OME.format(name="a", size=sized("0.00001", "in")), 0.254),
        (OME.format(name="a", size=sized("2500", "Å")), 0.25),
        (OME.format(name="a", size=sized("1", "pixel")), 0.5),
        (OME.format(name="a", size=sized("1", "reference frame")), 0.5),
        (OME.format(name="a", size=sized("nan")), 0.5),
        (OME.format(name="a", size=sized("")), 0.5),
        (OME.format(name="a", size=sized("0", "mm")), 0.5),
        (OME.format(name="a", size=sized("0,25")), 0.5),
        (OME.format(name="a", size="")[:-20] + "</OME>", 0.5),  # no XML
    ],
)
def test_a_description_that_is_wrong_leaves_the_tags(tmp_path, rgb, description, mpp) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path,
        rgb,
        photometric="rgb",
        description=description.encode(),
        metadata=None,
        resolution=(20000, 20000),
        resolutionunit="CENTIMETER",
    )
    opened = open_slide(path, slide_id="s")
    assert opened.mpp == pytest.approx(mpp)
    assert open_slide(path, slide_id="s", mpp=0.3).mpp == 0.3
    assert np.array_equal(TiffReader(path).read_level(0, 0, 0, 300, 200), rgb)


def test_the_objective_suggests_the_pixel_size_that_is_missing(tmp_path, rgb) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(rgb).save(path, tiffinfo={270: "Aperio Image Library|AppMag = 20|Left = 1"})
    with pytest.raises(SlideError, match=r"no pixel size .* 20x usually gives 0.5 um/px"):
        open_slide(path, slide_id="s")


def test_imagejs_unit_without_a_resolution_is_no_pixel_size(tmp_path, rgb) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(rgb).save(path, tiffinfo={270: "ImageJ=1.54f\nunit=um\n"})
    assert TiffReader(path).claimed_mpp is None


def test_a_tiled_tiff_of_imagej_keeps_its_pixel_size(tmp_path, rgb) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        rgb,
        photometric="rgb",
        tile=(64, 64),
        resolution=(4, 4),
        resolutionunit="NONE",
        description="ImageJ=1.54f\nunit=um\n",
        metadata=None,
    )
    assert choose_reader(path).claimed_mpp == pytest.approx((0.25, 0.25))


def test_missing_bytes_are_counted(tmp_path, rgb) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(rgb, photometric="rgb")
        tif.write(rgb, photometric="rgb")
    assert unreachable_bytes(path) == 0
    data = path.read_bytes()
    path.write_bytes(data[:-1000])
    assert unreachable_bytes(path) == 1000


def test_threads_may_be_the_first_to_read(tmp_path, rgb, monkeypatch) -> None:
    """A page looks into the file when it is first decoded: no other thread may read meanwhile."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, tile=(64, 64), photometric="ycbcr", compression="jpeg")
    reader = TiffReader(path)
    seek = tifffile.FileHandle.seek

    def watched(self: tifffile.FileHandle, *args: int) -> int:
        assert reader._lock.locked()
        return seek(self, *args)

    monkeypatch.setattr(tifffile.FileHandle, "seek", watched)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda x: reader.read_level(0, 64 * x, 0, 64, 64), range(4)))


@pytest.mark.parametrize("options", [{"tile": (64, 64)}, {"rowsperstrip": 16}])
def test_the_blocks_of_a_slide_are_whole_tiles(tmp_path, rgb, options) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", **options)
    expected = (1024, 1024) if "tile" in options else (300, 1024)
    assert open_slide(path, slide_id="s1", mpp=0.5).block_px == expected


def test_tiles_of_small_levels_are_decoded_once_for_neighbours(tmp_path, rgb, monkeypatch) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for level, image in enumerate((rgb, rgb[::2, ::2])):
            tif.write(
                image,
                subfiletype=level,
                tile=(64, 64),
                photometric="rgb",
                compression="deflate",
                metadata=None,
            )
    monkeypatch.setattr(module, "KEPT_BYTES", 4 * 64 * 64 * 3)
    reader = TiffReader(path)
    decoded: list[int] = []
    read_bytes = reader._bytes
    monkeypatch.setattr(reader, "_bytes", lambda *where: decoded.append(1) or read_bytes(*where))
    for level, expected in ((1, 4), (1, 0), (0, 4), (0, 4)):
        decoded.clear()
        first = reader.read_level(level, 0, 0, 100, 80)
        assert len(decoded) == expected
        np.testing.assert_array_equal(first, (rgb[::2, ::2] if level else rgb)[:80, :100])
    assert len(reader._decoded) == 4
