from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.errors import TumorRatioError
from tumor_ratio.imaging.unpaired_folders import (
    ABOUT,
    FOLDERS,
    export_unpaired,
    open_unpaired,
    read_image,
)


def tile(value: int, side: int = 6) -> np.ndarray:
    return np.full((side, side, 3), value, dtype=np.uint8)


def test_an_export_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    tiles = [
        (domain, split, f"s01_{i}", rng.integers(0, 255, (9, 7, 3), dtype=np.uint8))
        for domain in "AB"
        for split in ("train", "test")
        for i in range(3 if domain == "A" else 2)
    ]
    counts = export_unpaired(iter(tiles), tmp_path / "tiles")
    assert counts == {"trainA": 3, "trainB": 2, "testA": 3, "testB": 2}
    assert sorted(p.name for p in (tmp_path / "tiles").iterdir()) == sorted([*FOLDERS, ABOUT])
    a, b = open_unpaired(tmp_path / "tiles", "train")
    assert (len(a), len(b)) == (3, 2)
    assert [path.name for path in a.paths] == ["s01_0.png", "s01_1.png", "s01_2.png"]
    expected = np.stack(
        [rgb for domain, split, _, rgb in tiles if (domain, split) == ("A", "train")]
    )
    assert np.array_equal(a.read([0, 1, 2]), expected)
    assert np.array_equal(a.read([2]), expected[2:])


def test_stamps_stand_in_every_file_and_change_no_pixel(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    folder = tmp_path / "tiles"
    export_unpaired([("A", "train", "t", rgb)], folder, ["For research.", "SYNTHETIC"])
    with Image.open(folder / "trainA" / "t.png") as image:
        assert image.text == {"Description": "For research. SYNTHETIC"}
        assert np.array_equal(image, rgb)
    about = json.loads((folder / ABOUT).read_text())
    assert about == {
        "stamps": ["For research.", "SYNTHETIC"],
        "tiles": {"trainA": 1, "trainB": 0, "testA": 0, "testB": 0},
    }
    export_unpaired([("A", "train", "t", rgb)], folder)
    with Image.open(folder / "trainA" / "t.png") as image:
        assert image.text == {}


def test_an_export_that_fails_leaves_the_earlier_one(tmp_path):
    export_unpaired([("A", "train", "old", tile(1))], tmp_path / "tiles")

    def failing():
        yield "A", "train", "new", tile(2)
        raise RuntimeError("the slide cannot be read")

    with pytest.raises(RuntimeError, match="cannot be read"):
        export_unpaired(failing(), tmp_path / "tiles")
    assert [p.name for p in tmp_path.rglob("*.png")] == ["old.png"]
    export_unpaired([("B", "test", "newest", tile(3))], tmp_path / "tiles")
    assert [p.name for p in tmp_path.rglob("*.png")] == ["newest.png"]


def test_a_folder_of_other_things_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TumorRatioError, match="holds more than an export"):
        export_unpaired([("A", "train", "t", tile(1))], tmp_path)
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        ([("A", "train", "t", tile(1)), ("A", "train", "t", tile(2))], "two tiles of trainA"),
        ([("A", "train", "../t", tile(1))], "no plain file name"),
        ([("A", "train", "", tile(1))], "no plain file name"),
        ([("C", "train", "t", tile(1))], "there is no folder trainC"),
        ([("A", "val", "t", tile(1))], "there is no folder valA"),
        ([("A", "train", "t", tile(1)[..., 0])], r"not \(H, W, 3\) uint8"),
        ([("A", "train", "t", tile(1) / 255)], r"not \(H, W, 3\) uint8"),
    ],
)
def test_tiles_that_cannot_be_exported_are_refused_and_leave_nothing(tmp_path, tiles, message):
    with pytest.raises(ValueError, match=message):
        export_unpaired(tiles, tmp_path / "tiles")
    assert not list(tmp_path.iterdir())


def test_an_empty_or_missing_domain_is_named(tmp_path):
    export_unpaired([("A", "train", "t", tile(1))], tmp_path / "tiles")
    with pytest.raises(TumorRatioError, match=r"trainB holds no image: .* both domains; put"):
        open_unpaired(tmp_path / "tiles", "train")
    with pytest.raises(TumorRatioError, match="testA does not exist"):
        open_unpaired(tmp_path / "nowhere", "test")


def test_gray_palette_and_transparent_files_become_rgb(tmp_path):
    Image.fromarray(tile(7)[..., 0]).save(tmp_path / "gray.png")
    rgba = np.dstack([tile(7), np.zeros((6, 6), dtype=np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    Image.fromarray(tile(7)).quantize(4).save(tmp_path / "palette.png")
    assert np.array_equal(read_image(tmp_path / "gray.png"), tile(7))
    assert np.array_equal(read_image(tmp_path / "clear.png"), tile(255))
    assert np.array_equal(read_image(tmp_path / "palette.png"), tile(7))


def test_files_that_are_no_8_bit_images_are_named(tmp_path):
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        tmp_path / "whole.png"
    )
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    with pytest.raises(TumorRatioError, match=r"deep\.png is not an 8-bit image"):
        read_image(tmp_path / "deep.png")
    for name in ("text", "cut"):
        with pytest.raises(TumorRatioError, match=rf"{name}\.png cannot be read as an image"):
            read_image(tmp_path / f"{name}.png")


def test_images_of_differing_sizes_are_read_one_by_one(tmp_path):
    tiles = [("A", "train", "a", tile(1, 6)), ("A", "train", "b", tile(2, 8))]
    export_unpaired([*tiles, ("B", "train", "c", tile(3))], tmp_path / "tiles")
    a, _ = open_unpaired(tmp_path / "tiles", "train")
    assert [a.read([i]).shape for i in range(2)] == [(1, 6, 6, 3), (1, 8, 8, 3)]
    with pytest.raises(TumorRatioError, match="differ in size"):
        a.read([0, 1])
