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
    first, second = read_annotated_tiles(listing(folder, *rows))
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
        "row 2: ", "no readable image", "row 3: mpp 1000 is no pixel size",
        "row 4: ", "name a square by", "row 5: the square reaches beyond",
        "row 6: counts are at least 0", "row 7: a tile has 64 px", "row 8: n_positive is no number",
        "row 9: x_px, y_px, size_px are whole numbers, all of them or none",
        "row 10: x_px, y_px, size_px are whole", "row 11: tile_id and path must not be empty",
        "tile_id t7 appears twice",
    ):  # fmt: skip
        assert part in said


def test_a_tile_stays_in_its_folder_whatever_its_name(folder):
    (tile,) = read_annotated_tiles(listing(folder, "../a/b,a.png,0.25,0,0,100,3,20,0.2"))
    assert cut_tile(tile, folder / "cut").parent == folder / "cut"


def test_a_listing_that_is_none_says_what_it_should_be(folder):
    with pytest.raises(ConfigurationError, match=r"cannot be read.*give a CSV with tile_id, path"):
        read_annotated_tiles(folder / "none.csv")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match="lacks tile_id, path, mpp"):
        read_annotated_tiles(folder / "other.csv")
    (folder / "empty.csv").write_text(HEADER)
    with pytest.raises(ConfigurationError, match="has no row"):
        read_annotated_tiles(folder / "empty.csv")
