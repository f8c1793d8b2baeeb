"""Forests trained anew from labels find what was labelled, and do what ilastik did."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.ilastik.project_files import add_block, drawn_image, write_minimal, write_tile
from tumor_ratio.ilastik.errors import IlastikError
from tumor_ratio.ilastik.project_reading import read_project
from tumor_ratio.ilastik.project_writing import LabelledTile, write_project
from tumor_ratio.ilastik.retraining import retrained
from tumor_ratio.imaging.feature_selection import FeatureSelection
from tumor_ratio.imaging.pixel_features import pixel_features
from tumor_ratio.models.forest_growth import labelled_features

API = "ilastik_projects/api"


def test_a_planted_square_is_found(tmp_path: Path) -> None:
    write_tile(tmp_path / "tile.png")
    classifier = retrained(read_project(write_minimal(tmp_path / "p.ilp")), seed=1, n_trees=20)
    truth = np.zeros((24, 30), bool)
    truth[6:16, 8:20] = True
    found = classifier(drawn_image()).argmax(axis=-1) == 1
    assert (found == truth).mean() > 0.97


def test_only_labelled_places_are_computed_and_as_in_the_whole() -> None:
    image = np.random.default_rng(0).integers(0, 256, (330, 300, 2)).astype(np.uint8)
    labels = np.zeros((330, 300), np.uint8)
    labels[250:262, 250:260] = 1
    labels[329, 0] = 2
    selection = FeatureSelection.default()
    parts = list(labelled_features(image, labels, selection))
    whole = pixel_features(image, selection)
    assert sum(len(rows) for rows, _ in parts) == 121
    for label in (1, 2):
        found = {row.tobytes() for rows, values in parts for row in rows[values == label]}
        assert found == {row.tobytes() for row in whole[labels == label]}


def test_the_same_seed_gives_the_same_forest(tmp_path: Path) -> None:
    write_tile(tmp_path / "tile.png")
    project = read_project(write_minimal(tmp_path / "p.ilp"))
    first, second, other = (
        retrained(project, seed=seed, n_trees=10)(drawn_image()) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_a_project_of_ours_is_trained(tmp_path: Path) -> None:
    """From tiles and labels to a project, from the project to a classifier."""
    write_tile(tmp_path / "tile.png")
    labels = read_project(write_minimal(tmp_path / "p.ilp")).lanes[0].read_labels()
    names = read_project(tmp_path / "p.ilp").labels
    empty = LabelledTile("b", pixels=drawn_image())
    write_project(
        tmp_path / "q.ilp", [LabelledTile("a", labels, pixels=drawn_image()), empty], names
    )
    shares = retrained(read_project(tmp_path / "q.ilp"), seed=0, n_trees=20)(drawn_image())
    assert (shares.argmax(axis=-1) + 1 == labels)[labels > 0].all()


def test_one_label_is_not_enough(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        sets = file["PixelClassification/LabelSets/labels000"]
        add_block(sets, "block0000", np.ones((1, 1, 1), np.uint8), "[0:1,0:1,0:1]")

    write_tile(tmp_path / "tile.png")
    path = write_minimal(tmp_path / "p.ilp", blocks=False, change=change)
    with pytest.raises(IlastikError, match="only 'ground' is used; label at least two classes"):
        retrained(read_project(path), seed=0)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("PixelClass.ilp", "res-Data_1channel_pc1xyc.npy"),
        ("2464_PixelClassification_xy_input.ilp", "res-Data_1channel_pc1xy.npy"),
    ],
)
def test_retrained_forests_agree_with_ilastik_as_with_each_other(
    tmp_path: Path, real_data: Path, name: str, output: str
) -> None:
    image = np.array(Image.open(real_data / API / "Data_1channel.png"))
    path = real_data / API / name
    project = read_project(path)
    if project.lanes[0].nickname == "Data":  # its image has another name, and is the same
        Image.fromarray(image).save(tmp_path / "Data_1channel_xy.tif")
        (tmp_path / name).write_bytes(path.read_bytes())
        project = read_project(tmp_path / name)
    ours = [retrained(project, seed=seed)(image[..., None]).argmax(-1) for seed in (0, 1)]
    theirs = np.load(real_data / API / output).argmax(-1)
    agreement = [(each == theirs).mean() for each in ours]
    among_us = (ours[0] == ours[1]).mean()
    assert min(agreement) >= 0.985
    assert min(agreement) >= among_us - 0.01
