"""Forests that ilastik stored are walked as they are; none that lies is followed."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.ilastik.project_files import LEAF, add_forest, drawn_image, write_minimal
from tumor_ratio.ilastik.errors import IlastikError, Where
from tumor_ratio.ilastik.project_reading import read_project
from tumor_ratio.ilastik.stored_forest import PLACE, read_stored_forest
from tumor_ratio.ilastik.vigra_trees import read_tree

TREE = f"{PLACE}/Forest0000/Tree_0"


def stored(path: Path):
    return read_stored_forest(read_project(path))


def test_a_stored_forest_is_applied(tmp_path: Path) -> None:
    classifier = stored(write_minimal(tmp_path / "p.ilp"))
    shares = classifier(drawn_image())
    assert classifier.class_names == ("ground", "nucleus")
    assert classifier.n_channels == 3
    assert shares.shape == (24, 30, 2)
    assert shares.dtype == np.float32
    np.testing.assert_array_equal(shares[10, 12], [0, 1])
    np.testing.assert_array_equal(shares[1, 1], [1, 0])


def test_an_image_of_other_channels_is_refused(tmp_path: Path) -> None:
    classifier = stored(write_minimal(tmp_path / "p.ilp"))
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) as in training"):
        classifier(drawn_image(channels=1))


def test_pixels_whose_feature_is_the_threshold_go_right(tmp_path: Path) -> None:
    """vigra sends left what lies below, scikit-learn what is not above."""
    forest = stored(write_minimal(tmp_path / "p.ilp")).forest
    features = np.full((3, 6), 100, np.float32)
    features[1], features[2] = np.nextafter(np.float32(100), np.float32(0)), 101
    shares = forest.predict_proba(features)
    np.testing.assert_array_equal(shares, [[0, 1], [1, 0], [0, 1]])


def test_values_at_the_threshold_go_right() -> None:
    topology = np.array([1, 2, 0, 0, 9, 7, 0, LEAF, 2, LEAF, 5], np.int32)
    parameters = np.array([1.0, 100.0, 9.0, 0.0, 1.0, 9.0, 1.0, 0.0])
    tree = read_tree(topology, parameters, 1, 2, Where(Path("p")))
    assert tree.thresholds[0] == 100
    np.testing.assert_array_equal(tree.distributions[tree.lefts[0]], [1, 0])
    np.testing.assert_array_equal(tree.distributions[tree.rights[0]], [0, 1])


def test_trees_of_all_forests_count_alike(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        add_forest(file.create_group(f"{PLACE}/Forest0001"))
        del file[f"{PLACE}/Forest0001/Tree_1"]
        file[f"{PLACE}/Forest0001/Tree_0/parameters"][...] = [1, 0, 9, 0, 1, 9, 1, 0]

    shares = stored(write_minimal(tmp_path / "p.ilp", change=change))(drawn_image())
    np.testing.assert_allclose(shares[1, 1], [2 / 3, 1 / 3], atol=1e-6)


def test_labels_that_a_forest_never_saw_are_improbable(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        main = file["PixelClassification"]
        del main["LabelNames"]
        main["LabelNames"] = np.array([b"ground", b"unused", b"nucleus"])
        file[f"{PLACE}/Forest0000/_ext_param/labels"][...] = [1, 3]

    shares = stored(write_minimal(tmp_path / "p.ilp", change=change))(drawn_image())
    np.testing.assert_array_equal(shares[10, 12], [0, 0, 1])


def test_a_single_forest_is_read_too(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file.move(f"{PLACE}/Forest0000", f"{PLACE}/forest")

    assert stored(write_minimal(tmp_path / "p.ilp", change=change)).forest.n_trees == 2


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A pickle that would write a file if anything loaded it."""
    trap = tmp_path / "executed"
    code = f"cos\nsystem\n(S'touch {trap}'\ntR.".encode()

    def change(file: h5py.File) -> None:
        file[f"{PLACE}/pickled_type"] = code
        file["PixelClassification/ClassifierFactory"] = code
        file["PixelClassification/Bookmarks/0000"] = np.void(code)

    path = write_minimal(tmp_path / "p.ilp", change=change)
    stored(path)
    with h5py.File(path, "a") as file:
        del file[f"{PLACE}/Forest0000"]
        file[f"{PLACE}/pickled_classifier"] = code
    with pytest.raises(IlastikError, match=r"ClassifierForests: the classifier is a pickle .* any"):
        stored(path)
    assert not trap.exists()


def test_a_project_without_a_classifier(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file[PLACE]

    with pytest.raises(IlastikError, match="no trained classifier; train again in ilastik"):
        stored(write_minimal(tmp_path / "p.ilp", change=change))


def _names(*names: str):
    def change(file: h5py.File) -> None:
        file[f"{PLACE}/feature_names"] = np.array([name.encode() for name in names])

    return change


SMOOTH = "Gaussian Smoothing (σ=0.3)"
LAPLACE = "Laplacian of Gaussian (σ=1.0)"


@pytest.mark.parametrize("suffix", ["", " in 2D"])
def test_feature_names_are_compared(tmp_path: Path, suffix: str) -> None:
    names = [f"{name}{suffix} [{c}]" for name in (SMOOTH, LAPLACE) for c in range(3)]
    stored(write_minimal(tmp_path / "p.ilp", change=_names(*names)))
    names[4] = f"Difference of Gaussians (σ=1.0){suffix} [1]"
    with pytest.raises(IlastikError, match="feature 4 of the forest is 'Difference of Gau"):
        stored(write_minimal(tmp_path / "q.ilp", change=_names(*names)))
    with pytest.raises(IlastikError, match="2 features in the forest, 6 in the project"):
        stored(write_minimal(tmp_path / "r.ilp", change=_names(*names[:2])))
    with pytest.raises(IlastikError, match="features computed in depth"):
        stored(write_minimal(tmp_path / "s.ilp", change=_names(f"{SMOOTH} in 3D")))


def _put(name: str, index: int, value: float):
    def change(file: h5py.File) -> None:
        values = file[name][()]
        values[index] = value
        file[name][...] = values

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_put(f"{TREE}/topology", 4, 99), "node 99 lies outside the tree"),
        (_put(f"{TREE}/topology", 4, -5), "node -5 lies outside the tree"),
        (_put(f"{TREE}/topology", 4, 10), "node 10 lies outside the tree"),
        (_put(f"{TREE}/topology", 4, 2), "node 2 is reached twice: a tree in circles"),
        (_put(f"{TREE}/topology", 4, 7), "node 7 is reached twice"),
        (_put(f"{TREE}/topology", 6, 6), "node 2 asks for feature 6"),
        (_put(f"{TREE}/topology", 6, -1), "node 2 asks for feature -1"),
        (_put(f"{TREE}/topology", 2, 1), "node 2 is of kind 1, which is not read"),
        (_put(f"{TREE}/topology", 3, 7), "node 2 has its numbers outside the tree"),
        (_put(f"{TREE}/topology", 8, 6), "node 7 has its numbers outside the tree"),
        (_put(f"{TREE}/topology", 0, 5), "not of 6 features and 2 classes"),
        (_put(f"{TREE}/parameters", 1, np.nan), "node 2 has the threshold nan"),
        (_put(f"{TREE}/parameters", 1, np.inf), "node 2 has the threshold inf"),
        (_put(f"{TREE}/parameters", 3, np.nan), "leaf 7 has shares that are none"),
        (_put(f"{TREE}/parameters", 3, -1), "leaf 7 has shares that are none"),
        (_put(f"{TREE}/parameters", 3, 1), "leaf 7 has shares that add up to 2"),
        (_put(f"{PLACE}/Forest0000/_ext_param/labels", 1, 3), "the forest knows label 3, the"),
        (_put(f"{PLACE}/Forest0000/_ext_param/labels", 1, 1), "no labels, or some that are none"),
        (_put(f"{PLACE}/Forest0000/_ext_param/column_count_", 0, 5), "a forest of 5 features"),
        (_put(f"{PLACE}/Forest0000/_ext_param/column_count_", 0, np.nan), "not a number in 1 to"),
        (_put(f"{PLACE}/Forest0000/_options/predict_weighted_", 0, 1), "weighs its leaves"),
    ],
)
def test_forests_that_lie_are_refused(tmp_path: Path, change, words: str) -> None:
    path = write_minimal(tmp_path / "p.ilp", change=change)
    with pytest.raises(IlastikError) as caught:
        stored(path)
    assert words in str(caught.value)
    assert "/PixelClassification/ClassifierForests" in str(caught.value)
    assert caught.value.remedy
