"""Files whose headers declare what no slide has: refused before room is made for their pixels."""

import os
import resource
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.slide import open_slide

MILLION = 10**6
GREY = {258: 8, 259: 1, 262: 1, 277: 1}


def refusal(path: Path) -> str:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SlideError, match="slide s1: ") as caught:
        open_slide(path, slide_id="s1", mpp=0.5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 500_000
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def write_header(path: Path, width: int, height: int, tags: dict[int, int]) -> Path:
    """A TIFF of one directory, each tag one 32-bit number, with 100 bytes behind it."""
    entries = {256: width, 257: height, **GREY, **tags}
    directory = b"".join(
        struct.pack("<HHII", code, 4, 1, value) for code, value in sorted(entries.items())
    )
    count = struct.pack("<H", len(entries))
    path.write_bytes(b"II*\0\x08\0\0\0" + count + directory + bytes(4) + bytes(100))
    return path


STRIPS = {273: 8, 279: 10}
TILES = {322: 256, 323: 256, 324: 8, 325: 10}


@pytest.mark.parametrize("size", [(100, 0), (0, 100)])
@pytest.mark.parametrize("layout", [{**STRIPS, 278: 1}, TILES])
def test_tiffs_without_height_or_width(tmp_path, size: tuple[int, int], layout) -> None:
    message = refusal(write_header(tmp_path / "a.tif", *size, layout))
    assert f"declares an image of {size[0]} x {size[1]} px, which is empty; copy" in message


@pytest.mark.parametrize("layout", [{**STRIPS, 278: MILLION}, {**STRIPS, 278: 16}, TILES])
def test_tiffs_larger_than_any_slide(tmp_path, layout) -> None:
    message = refusal(write_header(tmp_path / "a.tif", MILLION, MILLION, layout))
    assert "declares an image of 1000000 x 1000000 px, larger than any slide" in message


@pytest.mark.parametrize("layout", [{**STRIPS, 278: 300_000}, {**STRIPS, 278: 16}, TILES])
def test_tiffs_with_fewer_pixels_than_declared(tmp_path, layout) -> None:
    assert "truncated" in refusal(write_header(tmp_path / "a.tif", 300_000, 300_000, layout))


def test_tiles_too_large_to_be_decoded(tmp_path) -> None:
    tiles = {322: 60_000, 323: 60_000, 324: 8, 325: 10}
    message = refusal(write_header(tmp_path / "a.tif", 60_000, 60_000, tiles))
    assert "tiles of 60000 x 60000 px, too large to be decoded; convert to a tiled" in message


def test_a_compressed_strip_too_large_to_be_decoded(tmp_path) -> None:
    path = write_header(tmp_path / "a.tif", 60_000, 60_000, {**STRIPS, 278: 60_000, 259: 8})
    assert "in pieces of 60000 x 60000; convert to a tiled pyramid" in refusal(path)


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side", [MILLION, 20_000, 12_000])
def test_png_bombs(tmp_path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png(side, side))
    assert "over 100 million pixels" in refusal(tmp_path / "a.png")


def test_a_png_without_height(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(png(100, 0))
    assert "not an image" in refusal(tmp_path / "a.png")


def test_a_jpeg_bomb(tmp_path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (64, 64)).save(path)
    data = bytearray(path.read_bytes())
    start_of_frame = data.index(b"\xff\xc0")
    data[start_of_frame + 5 : start_of_frame + 9] = struct.pack(">HH", 65_000, 65_000)
    path.write_bytes(data)
    assert "over 100 million pixels" in refusal(path)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
@pytest.mark.parametrize("layout", [{"tile": (64, 64)}, {"rowsperstrip": 64}])
def test_a_jpeg_bomb_inside_a_tiff(tmp_path, rng, name: str, layout) -> None:
    path = tmp_path / name
    rgb = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    tifffile.imwrite(path, rgb, photometric="rgb", compression="jpeg", **layout)
    data = bytearray(path.read_bytes())
    start_of_frame = data.index(b"\xff\xc0")
    data[start_of_frame + 5 : start_of_frame + 9] = struct.pack(">HH", 65_000, 65_000)
    path.write_bytes(data)
    assert "a piece declares far more pixels" in refusal(path)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32", "int8", "bool"])
@pytest.mark.parametrize("layout", [{"tile": (32, 32)}, {"rowsperstrip": 16}])
def test_tiffs_of_other_than_8_bits(tmp_path, dtype: str, layout) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), dtype), **layout)
    assert f"pixels of type {dtype}, not 8-bit; convert it to 8-bit RGB" in refusal(
        tmp_path / "a.tif"
    )


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_16_bit_rgb_in_tiles_is_not_cut_to_8(tmp_path, rng, name: str) -> None:
    deep = rng.integers(0, 65536, (64, 64, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / name, deep, photometric="rgb", tile=(32, 32))
    assert "pixels of type uint16, not 8-bit" in refusal(tmp_path / name)


def test_16_bit_rgb_in_a_png_is_not_cut_to_8(tmp_path, rng) -> None:
    deep = rng.integers(0, 65536, (64, 64, 3), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    assert "pixels of kind 16 bit" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("TZCYX", (2, 3, 2, 64, 64)),
        ("ZYXS", (3, 64, 64, 3)),
        ("TYXS", (2, 64, 64, 3)),
        ("CYX", (5, 64, 64)),
        ("CYX", (2, 64, 64)),
    ],
)
@pytest.mark.parametrize("layout", [{"tile": (32, 32)}, {}])
def test_ome_stacks(tmp_path, axes: str, shape: tuple[int, ...], layout) -> None:
    photometric = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        np.zeros(shape, np.uint8),
        photometric=photometric,
        metadata={"axes": axes},
        **layout,
    )
    message = refusal(tmp_path / "a.ome.tif")
    assert f"with the axes {axes}, not one RGB image; export one 8-bit RGB plane" in message


def test_a_plain_stack_in_tiles_is_not_its_first_plane(tmp_path) -> None:
    stack = np.zeros((4, 64, 64, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb", tile=(32, 32))
    assert "4 planes" in refusal(tmp_path / "a.tif")


def test_printers_inks(tmp_path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((64, 64, 4), np.uint8), photometric="separated", tile=(32, 32)
    )
    assert "not RGB or grey" in refusal(tmp_path / "a.tif")
    Image.new("CMYK", (64, 64)).save(tmp_path / "a.jpg")
    assert "pixels of kind CMYK, not 8-bit RGB or grey" in refusal(tmp_path / "a.jpg")


@pytest.mark.parametrize("layout", [{"tile": (64, 64)}, {"rowsperstrip": 16}])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.svs"])
@pytest.mark.parametrize("compression", [None, "deflate", "jpeg"])
def test_cut_in_the_last_piece(tmp_path, smooth_rgb, layout, name: str, compression) -> None:
    path = tmp_path / name
    tifffile.imwrite(
        path, smooth_rgb(300, 200), photometric="rgb", compression=compression, **layout
    )
    with tifffile.TiffFile(path) as tif:
        last = tif.pages[0].dataoffsets[-1] + tif.pages[0].databytecounts[-1] // 2
    os.truncate(path, last)
    assert "truncated" in refusal(path)


def test_a_pipe_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "a.svs")
    assert "a device or pipe, not a file; correct the path" in refusal(tmp_path / "a.svs")
