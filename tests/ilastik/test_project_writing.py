"""Written projects: our reader gives back what went in, and their layout is ilastik's own."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from tests.ilastik.project_files import drawn_image, write_tile
from tumor_ratio.ilastik.errors import IlastikError
from tumor_ratio.ilastik.project import Label
from tumor_ratio.ilastik.project_reading import read_project
from tumor_ratio.ilastik.project_writing import LabelledTile, write_project
from tumor_ratio.imaging.feature_selection import FeatureSelection

LABELS = (Label("background", (255, 255, 25)), Label("Zellkern ü", (0, 130, 200)))
IMPLIED = {
    "PixelClassification/ClassifierFactory",
    "PixelClassification/Bookmarks",
    "PixelClassification/Bookmarks/0000",
}
"""Pickles, which ilastik does without."""


def drawn_labels() -> np.ndarray:
    labels = np.zeros((24, 30), np.uint8)
    labels[2:4, 3:20] = 1
    labels[9:12, 10:13] = 2
    return labels


@pytest.mark.parametrize("kind", ["png", "tif", "grey png", "grey tif", "planes tif", "embedded"])
def test_round_trip(tmp_path: Path, kind: str) -> None:
    image = drawn_image()[..., :1] if "grey" in kind else drawn_image()
    file = tmp_path / "tiles" / f"a.{kind.rpartition(' ')[2]}"
    file.parent.mkdir()
    if kind == "embedded":
        tile = LabelledTile("a", drawn_labels(), pixels=image)
    else:
        tile = LabelledTile("a", drawn_labels(), file=file)
    if kind == "planes tif":
        tifffile.imwrite(file, image.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"})
    elif "tif" in kind:
        tifffile.imwrite(file, np.squeeze(image))
    elif "png" in kind:
        write_tile(file, np.squeeze(image))
    empty = LabelledTile("b", pixels=image)
    write_project(tmp_path / "p.ilp", [tile, empty], LABELS)
    found = read_project(tmp_path / "p.ilp")
    assert found.version.startswith("1.4")
    assert found.labels == LABELS
    assert found.selection == FeatureSelection.default()
    first, second = found.lanes
    assert (first.nickname, second.nickname) == ("a", "b")
    np.testing.assert_array_equal(first.read_image(), image)
    np.testing.assert_array_equal(first.read_labels(), drawn_labels())
    np.testing.assert_array_equal(second.read_image(), image)
    assert not second.is_labelled
    assert found.labelled_lanes() == (first,)


def test_a_project_moves_with_its_tiles(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    write_tile(tmp_path / "here" / "a.png")
    tile = LabelledTile("a", file=tmp_path / "here" / "a.png")
    write_project(tmp_path / "here" / "p.ilp", [tile], LABELS)
    (tmp_path / "here").rename(tmp_path / "there")
    (lane,) = read_project(tmp_path / "there" / "p.ilp").lanes
    np.testing.assert_array_equal(lane.read_image(), drawn_image())


def test_chosen_features_are_written(tmp_path: Path) -> None:
    selection = FeatureSelection(("GaussianSmoothing",), (0.7, 2.5), ((False, True),))
    write_project(tmp_path / "p.ilp", [LabelledTile("a", pixels=drawn_image())], LABELS, selection)
    assert read_project(tmp_path / "p.ilp").selection == selection


def test_an_earlier_project_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "p.ilp"
    write_project(path, [LabelledTile("a", pixels=drawn_image())], LABELS)
    before = path.read_bytes()
    wrong = LabelledTile("b", np.full((24, 30), 3, np.uint8), pixels=drawn_image())
    with pytest.raises(IlastikError, match="tile b: a label of value 3, where 2 labels have names"):
        write_project(path, [LabelledTile("a", pixels=drawn_image()), wrong], LABELS)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["p.ilp"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "project" / "p.ilp"
    write_tile(tmp_path / "a.png")
    with pytest.raises(IlastikError, match=r"a\.png is not below the project's folder; write the"):
        write_project(path, [LabelledTile("a", file=tmp_path / "a.png")], LABELS)
    with pytest.raises(IlastikError, match="0 tiles and 2 labels make no project"):
        write_project(path, [], LABELS)
    grey = LabelledTile("b", pixels=drawn_image()[..., :1])
    with pytest.raises(IlastikError, match="tile b: 1 channels, where the first tile has 3"):
        write_project(path, [LabelledTile("a", pixels=drawn_image()), grey], LABELS)
    small = LabelledTile("a", np.zeros((3, 3), np.uint8), pixels=drawn_image())
    with pytest.raises(IlastikError, match=r"labels of shape \(3, 3\) uint8 for an image of"):
        write_project(path, [small], LABELS)
    write_tile(tmp_path / "a;b.png")
    with pytest.raises(IlastikError, match=r"ilastik takes 'a;b\.png' for several files"):
        write_project(tmp_path / "p.ilp", [LabelledTile("a", file=tmp_path / "a;b.png")], LABELS)
    with pytest.raises(ValueError, match="give either a file or pixels"):
        LabelledTile("a")
    with pytest.raises(ValueError, match=r"expected \(H, W, C\) uint8 pixels"):
        LabelledTile("a", pixels=np.zeros((3, 3)))


def kind_of(dataset: h5py.Dataset) -> str:
    """How ilastik tells values apart: text of any length and storage, numbers by type and axes."""
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return f"text {dataset.ndim}"
    return f"{dataset.dtype} {dataset.ndim}"


def layout(path: Path) -> dict[str, tuple]:
    """Every object of a project below its trained forest: kind and attributes."""
    found: dict[str, tuple] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if "ClassifierForests" in name:
            return
        name = "/".join("<id>" if len(part) == 36 else part for part in name.split("/"))
        attributes = tuple(
            (key, "text" if isinstance(value, str) else str(np.asarray(value).dtype))
            for key, value in sorted(item.attrs.items())
        )
        kind = kind_of(item) if isinstance(item, h5py.Dataset) else "group"
        found[name] = (kind, attributes)

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.real
@pytest.mark.parametrize(
    ("real", "embedded"), [("api/PixelClass.ilp", False), ("notebook_pc/pc.ilp", True)]
)
def test_the_layout_is_ilastik_s(tmp_path: Path, real_data: Path, real: str, embedded) -> None:
    theirs = layout(real_data / "ilastik_projects" / real)
    blocks = [name for name in theirs if "/block" in name and not name.endswith("block0000")]
    if embedded:
        tile = LabelledTile("a", drawn_labels(), pixels=drawn_image())
    else:
        write_tile(tmp_path / "a.png")
        tile = LabelledTile("a", drawn_labels(), file=tmp_path / "a.png")
    write_project(tmp_path / "p.ilp", [tile], LABELS)
    ours = layout(tmp_path / "p.ilp")
    later = {
        f"Input Data/infos/lane0000/Raw Data/{key}" for key in ("scale_locked", "working_scale")
    }
    assert set(theirs) - set(ours) - IMPLIED - set(blocks) == set()
    assert set(ours) - set(theirs) <= (later | {"currentApplet"} if embedded else set())
    for name in set(ours) & set(theirs):
        assert ours[name] == theirs[name], name
