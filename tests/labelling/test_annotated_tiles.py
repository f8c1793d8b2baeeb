import math

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.labelling.annotated_tiles import cut_tile, read_annotated_tiles

HEADER = "tile_id,path,mpp,x_px,y_px,size_px,n_positive,n_negative,tumor_ratio\n"


@pytest.fixture
def folder(tmp_path):
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[:, 200:] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:100, :100]).save(tmp_path / "square.png")
    return tmp_path


def listing(folder, *rows):
    path = folder / "tiles.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


def test_tiles_are_read_with_what_is_known_of_them(folder):
    rows = ["t1,a.png,0.25,200,0,100,3,20,0.2", "007,square.png,0.5,,,,,,"]
    (first, second), failures = read_annotated_tiles(listing(folder, *rows))
    assert not failures
    assert (first.x_px, first.size_px, first.n_negative, first.tumor_ratio) == (200, 100, 20, 0.2)
    assert (second.tile_id, second.size_px) == ("007", 100)
    assert math.isnan(second.tumor_ratio)
    with Image.open(cut_tile(first, folder / "cut")) as image:
        assert image.size == (100, 100)
        assert np.asarray(image).min() == 200


def test_all_bad_rows_are_named_at_once(folder):
    rows = [
        "t1,none.png,0.25,0,0,100,3,20,0.2",
        "t2,a.png,1000,0,0,100,3,20,0.2",
        "t3,a.png,0.25,,,,3,20,0.2",
        "t4,a.png,0.25,250,0,100,3,20,0.2",
        "t5,a.png,0.25,0,0,100,3,20,1.2",
        "t6,a.png,0.25,0,0,20,3,20,0.2",
        "t7,a.png,0.25,0,0,100,three,20,0.2",
        "t8,a.png,0.25,0,,100,3,20,0.2",
        "t9,a.png,0.25,0,0,100.5,3,20,0.2",
        ",a.png,0.25,0,0,100,3,20,0.2",
        "t7,a.png,0.25,0,0,100,3,20,0.2",
    ]
    with pytest.raises(ConfigurationError) as caught:
        read_annotated_tiles(listing(folder, *rows))
    said = str(caught.value)
    for part in (
        "line 2: ", "none.png is no file", "line 3: mpp 1000 is no pixel size",
        "line 4: ", "name a square by", "line 5: the square reaches beyond",
        "line 6: counts are at least 0", "line 7: a tile has 64 px",
        "line 8: n_positive is no number",
        "line 9: x_px, y_px, size_px are whole numbers, all of them or none",
        "line 10: x_px, y_px, size_px are whole", "line 11: tile_id and path must not be empty",
        "tile_id t7 appears twice",
    ):  # fmt: skip
        assert part in said


def test_spreadsheets_separators_and_unknown_numbers(folder):
    path = folder / "tiles.csv"
    path.write_text("tile_id;path;mpp;n_positive;tumor_ratio\nt1;square.png;0.25;NA;\n")
    (tile,), _ = read_annotated_tiles(path)
    assert (tile.mpp, tile.size_px) == (0.25, 100)
    assert math.isnan(tile.n_positive)
    assert math.isnan(tile.tumor_ratio)


def test_images_that_cannot_be_used_cost_their_own_tiles(folder):
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:9000])
    Image.fromarray(np.full((100, 100), 40_000, np.uint16)).save(folder / "deep.png")
    Image.fromarray(noise).convert("CMYK").save(folder / "inks.jpg")
    names = ("cut.png", "deep.png", "inks.jpg", "square.png")
    rows = [f"{name},{name},0.25,,,,,," for name in names]
    (tile,), failures = read_annotated_tiles(listing(folder, *rows))
    assert tile.tile_id == "square.png"
    said = [str(failure) for failure in failures]
    assert [failure.slide_id for failure in failures] == list(names[:3])
    for text, part in zip(said, ("truncated", "16 bit", "CMYK"), strict=True):
        assert part in text
    assert said[1].endswith("; convert it to 8-bit RGB")


def test_a_tiles_pixels_are_those_of_a_slide(folder):
    """Transparent pixels are white, whatever colour they hide; EXIF turns the image."""
    clear = np.zeros((100, 100, 4), np.uint8)
    clear[:, :50, 3] = 255
    Image.fromarray(clear).save(folder / "clear.png")
    exif = Image.Exif()
    exif[274] = 6  # turned clockwise to be upright
    wide = np.zeros((100, 200, 3), np.uint8)
    wide[:, :100] = 255
    Image.fromarray(wide).save(folder / "turned.png", exif=exif)
    rows = ["a,clear.png,0.25,,,,,,", "b,turned.png,0.25,0,100,100,,,"]
    tiles, _ = read_annotated_tiles(listing(folder, *rows))
    pixels = [np.asarray(Image.open(cut_tile(tile, folder / "cut"))) for tile in tiles]
    assert pixels[0][:, :50].max() == 0
    assert pixels[0][:, 50:].min() == 255
    assert pixels[1].max() == 0


def test_a_tile_stays_in_its_folder_whatever_its_name(folder):
    (tile,), _ = read_annotated_tiles(listing(folder, "../a/b,a.png,0.25,0,0,100,3,20,0.2"))
    assert cut_tile(tile, folder / "cut").parent == folder / "cut"


def test_a_listing_that_is_none_says_what_it_should_be(folder):
    with pytest.raises(
        ConfigurationError, match=r"no such file; .*label_validation\.tiles .*tile_id, path"
    ):
        read_annotated_tiles(folder / "none.csv")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match="lacks tile_id, path, mpp"):
        read_annotated_tiles(folder / "other.csv")
    (folder / "empty.csv").write_text(HEADER)
    with pytest.raises(ConfigurationError, match="has no row"):
        read_annotated_tiles(folder / "empty.csv")
