"""Projects of every layout: images found, axes put in order, labels laid where they belong."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from tests.ilastik.project_files import (
    add_block,
    axistags,
    drawn_image,
    write_minimal,
    write_tile,
)
from tumor_ratio.ilastik.errors import IlastikError
from tumor_ratio.ilastik.project import Label
from tumor_ratio.ilastik.project_reading import read_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_tile(tmp_path / "tile.png")
    return write_minimal(tmp_path / "p.ilp")


def expected_labels() -> np.ndarray:
    labels = np.zeros((24, 30), np.uint8)
    labels[1:3, 2:7] = 1
    labels[8:11, 10:12] = 2
    return labels


def test_a_project_is_read(project: Path) -> None:
    found = read_project(project)
    assert found.version == "1.4.0"
    assert found.labels == (Label("ground", (255, 225, 25)), Label("nucleus", (0, 130, 200)))
    assert found.chosen_features().pairs == [("GaussianSmoothing", 0.3), ("LaplacianOfGaussian", 1)]
    (lane,) = found.labelled_lanes()
    assert lane.nickname == "tile"
    np.testing.assert_array_equal(lane.read_image(), drawn_image())
    np.testing.assert_array_equal(lane.read_labels(), expected_labels())


@pytest.mark.parametrize(
    ("axes", "order"),
    [("yxc", (0, 1, 2)), ("cyx", (2, 0, 1)), ("xyc", (1, 0, 2)), ("xcy", (1, 2, 0))],
)
@pytest.mark.parametrize("kind", ["tif", "npy", "h5", "embedded"])
def test_axes_are_put_in_order(tmp_path: Path, axes: str, order, kind: str) -> None:
    stored = np.ascontiguousarray(drawn_image().transpose(order))
    name = {"h5": "tile.h5/volume/raw"}.get(kind, f"tile.{kind}")
    if kind == "tif":
        tifffile.imwrite(tmp_path / name, stored, photometric="minisblack")
    elif kind == "npy":
        np.save(tmp_path / name, stored)
    elif kind == "h5":
        with h5py.File(tmp_path / "tile.h5", "w") as file:
            file["volume/raw"] = stored

    def embed(file: h5py.File) -> None:
        if kind == "embedded":
            info = file["Input Data/infos/lane0000/Raw Data"]
            del info["location"]
            info["location"] = b"ProjectInternal"
            info["datasetId"] = b"some-id"
            file["Input Data/local_data/some-id"] = stored

    path = write_minimal(
        tmp_path / "p.ilp", shape=stored.shape, axes=axes, file_path=name, change=embed
    )
    (lane,) = read_project(path).lanes
    np.testing.assert_array_equal(lane.read_image(), drawn_image())
    np.testing.assert_array_equal(lane.read_labels(), expected_labels())


@pytest.mark.parametrize("axes", ["zyxc", "tzyxc", "tyxc"])
def test_single_planes_are_flat(tmp_path: Path, axes: str) -> None:
    write_tile(tmp_path / "tile.png")
    shape = (1,) * (len(axes) - 3) + (24, 30, 3)
    (lane,) = read_project(write_minimal(tmp_path / "p.ilp", shape=shape, axes=axes)).lanes
    assert lane.read_image().shape == (24, 30, 3)


@pytest.mark.parametrize(
    ("axes", "shape", "words"),
    [("zyxc", (4, 24, 30, 3), "4 planes in depth"), ("tyxc", (2, 24, 30, 3), "2 points in time")],
)
def test_volumes_and_films_are_refused(tmp_path: Path, axes, shape, words) -> None:
    path = write_minimal(tmp_path / "p.ilp", shape=shape, axes=axes)
    with pytest.raises(IlastikError, match=f"lane0000/Raw Data: {words}; only flat images"):
        read_project(path)


@pytest.mark.parametrize(
    ("version", "image_axes", "where", "shape"),
    [
        (b"1.2.2", "cyx", "[1:3,2:7,0:1]", (2, 5, 1)),
        (b"1.3.3post2", "cyx", "[0:1,1:3,2:7]", (1, 2, 5)),
        (b"1.3.3post2", "xyc", "[2:7,1:3,0:1]", (5, 2, 1)),
        (b"1.4.0b7", "xyc", "[2:7,1:3,0:1]", (5, 2, 1)),
        (b"1.3.2", "xyc", "[1:3,2:7,0:1]", (2, 5, 1)),
        (b"1.4.0b8", "xyc", "[1:3,2:7,0:1]", (2, 5, 1)),
        (b"1.2.0", "yxc", "[1:3,2:7,0:1]", (2, 5, 1)),
        (b"1.1.0", "yxc", "[0:1,2:7,1:3,0:1,0:1]", (1, 5, 2, 1, 1)),
        (b"1.3.0", "tzyxc", "[0:1,0:1,1:3,2:7,0:1]", (1, 1, 2, 5, 1)),
    ],
)
def test_blocks_without_axistags(tmp_path: Path, version, image_axes, where, shape) -> None:
    sides = {"y": 24, "x": 30, "c": 3, "z": 1, "t": 1}

    def change(file: h5py.File) -> None:
        sets = file["PixelClassification/LabelSets/labels000"]
        sets["block0000"] = np.ones(shape, np.uint8)
        sets["block0000"].attrs["blockSlice"] = where

    path = write_minimal(
        tmp_path / "p.ilp",
        version=version,
        axes=image_axes,
        shape=tuple(sides[key] for key in image_axes),
        blocks=False,
        change=change,
    )
    labels = read_project(path).lanes[0].read_labels()
    np.testing.assert_array_equal(labels, np.where(expected_labels() == 1, 1, 0))


def test_several_images_keep_their_labels(tmp_path: Path) -> None:
    write_tile(tmp_path / "tile.png")

    def change(file: h5py.File) -> None:
        for k in range(1, 12):
            lane = f"Input Data/infos/lane{k:04d}"
            file.copy("Input Data/infos/lane0000", lane)
            sets = file.create_group(f"PixelClassification/LabelSets/labels{k:03d}")
            add_block(sets, "block0000", np.full((1, 1, 1), 1, np.uint8), f"[{k}:{k + 1},0:1,0:1]")

    lanes = read_project(write_minimal(tmp_path / "p.ilp", change=change)).lanes
    assert len(lanes) == 12
    for k in range(1, 12):
        assert np.argwhere(lanes[k].read_labels()).tolist() == [[k, 0]]


@pytest.mark.parametrize(
    "stored",
    ["tile.png", "/Users/someone/study/tile.png", r"C:\study\tile.png", "sub/deep/tile.png"],
)
def test_moved_images_are_found_beside_the_project(tmp_path: Path, stored: str) -> None:
    write_tile(tmp_path / "tile.png")
    (lane,) = read_project(write_minimal(tmp_path / "p.ilp", file_path=stored)).lanes
    np.testing.assert_array_equal(lane.read_image(), drawn_image())


def test_longest_end_of_a_moved_path_wins(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write_tile(tmp_path / "tile.png", np.zeros((24, 30, 3), np.uint8))
    write_tile(tmp_path / "b" / "tile.png")
    (lane,) = read_project(write_minimal(tmp_path / "p.ilp", file_path="/a/b/tile.png")).lanes
    np.testing.assert_array_equal(lane.read_image(), drawn_image())


def test_labels_are_read_without_the_image(tmp_path: Path) -> None:
    lane = read_project(write_minimal(tmp_path / "p.ilp")).lanes[0]
    np.testing.assert_array_equal(lane.read_labels(), expected_labels())
    with pytest.raises(IlastikError, match=r"'tile\.png' is not there; put it beside the project"):
        lane.read_image()


def test_another_image_under_the_same_name_is_refused(tmp_path: Path) -> None:
    write_tile(tmp_path / "tile.png", drawn_image(25, 30))
    lane = read_project(write_minimal(tmp_path / "p.ilp")).lanes[0]
    with pytest.raises(IlastikError, match="25 x 30 x 3, where the project says 24 x 30 x 3"):
        lane.read_image()


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    write_tile(tmp_path / "tile.png", drawn_image()[..., 0])
    lane = read_project(write_minimal(tmp_path / "p.ilp", shape=(24, 30), axes="yx")).lanes[0]
    np.testing.assert_array_equal(lane.read_image(), drawn_image()[..., :1])


def test_old_projects_without_a_shape_go_by_the_image(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        info = file["Input Data/infos/lane0000/Raw Data"]
        del info["shape"], info["axistags"]
        info["axisorder"] = b"yxc"

    write_tile(tmp_path / "tile.png")
    lane = read_project(write_minimal(tmp_path / "p.ilp", change=change)).lanes[0]
    np.testing.assert_array_equal(lane.read_labels(), expected_labels())


def test_a_project_of_ilastik_0_5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "p.ilp", "w") as file:
        file["ilastikVersion"] = 0.5
        item = file.create_group("DataSets/dataItem00")
        item.attrs["Name"] = "tile.tif"
        item["data"] = drawn_image()[None, None]
        item["labels/data"] = expected_labels()[None, None, ..., None]
        item["labels"].attrs["name"] = np.array([b"ground", b"nucleus"])
        item["labels"].attrs["color"] = np.array([0xFF0000, 0x00FF80])
        chosen = np.zeros((4, 7), bool)
        chosen[3, 2] = True
        file["Project/FeatureSelection/UserSelection"] = chosen
    found = read_project(tmp_path / "p.ilp")
    assert found.version == "0.5"
    assert found.labels == (Label("ground", (255, 0, 0)), Label("nucleus", (0, 255, 128)))
    assert found.chosen_features().pairs == [
        ("StructureTensorEigenvalues", 1.0),
        ("HessianOfGaussianEigenvalues", 1.0),
    ]
    np.testing.assert_array_equal(found.lanes[0].read_image(), drawn_image())
    np.testing.assert_array_equal(found.lanes[0].read_labels(), expected_labels())


def _set(name: str, value: object):
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        if value is not None:
            file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("workflowName", b"Object Classification"), "a project of 'Object Classification'"),
        (_set("workflowName", b"Autocontext (2-stage)"), "only 'Pixel Classification' is read"),
        (_set("ilastikVersion", b"2.0.0"), "saved by ilastik '2.0.0'; projects of 0.5 to 1.4"),
        (_set("ilastikVersion", b"newest"), "saved by ilastik 'newest'"),
        (_set("ilastikVersion", None), "no version: not a project of ilastik"),
        (
            _set("FeatureSelections/FeatureIds", np.array([b"GaussianSmoothing", b"MyPlugin"])),
            "features that are not ilastik's own: MyPlugin",
        ),
        (_set("FeatureSelections/Scales", np.array([0.3, np.nan])), "a scale of nan px"),
        (_set("FeatureSelections/Scales", np.array([0.3, 1e9])), "a scale of 1000000000.0 px"),
        (_set("FeatureSelections/Scales", np.ones(3)), "features at 3 scales"),
        (_set("Input Data/infos/lane0000/Raw Data/axistags", b"{"), "axistags that are no"),
        (_set("Input Data/infos/lane0000/Raw Data/axistags", axistags("yyx")), "axis order 'yyx'"),
        (_set("Input Data/infos/lane0000/Raw Data/shape", np.array([24, 30])), "2 sides for the"),
        (_set("Input Data/infos/lane0000/Raw Data/shape", np.array([24, 0, 3])), "which is empty"),
        (_set("Input Data/infos/lane0000/Raw Data/subvolume_roi", np.zeros(2)), "a part of an"),
    ],
)
def test_other_projects_are_refused_with_the_reason(tmp_path: Path, change, words: str) -> None:
    path = write_minimal(tmp_path / "p.ilp", change=change)
    with pytest.raises(IlastikError) as caught:
        read_project(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_what_is_missing_is_told_when_it_is_needed(tmp_path: Path) -> None:
    def empty(file: h5py.File) -> None:
        del file["FeatureSelections/FeatureIds"], file["Input Data/infos"]
        del file["PixelClassification/LabelSets"]

    found = read_project(write_minimal(tmp_path / "p.ilp", change=empty))
    with pytest.raises(IlastikError, match="no features are chosen"):
        found.chosen_features()
    with pytest.raises(IlastikError, match="no images"):
        found.labelled_lanes()
    unlabelled = read_project(write_minimal(tmp_path / "q.ilp", blocks=False))
    with pytest.raises(IlastikError, match="nothing is labelled"):
        unlabelled.labelled_lanes()
