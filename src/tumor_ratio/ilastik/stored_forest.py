"""The forest that ilastik trained and stored in a project, applied as it is.

`/PixelClassification/ClassifierForests` holds one group a forest (`Forest0000`, ...; the trees of
a project are parted among several, so that ilastik trains them side by side), or a single `forest`.
The probabilities of all trees count alike. Beside the trees lie pickles that name ilastik's classes
(`pickled_type`); they are never unpickled. A classifier that is a pickle throughout, such as one
of scikit-learn's, cannot be read without running what the file says, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from tumor_ratio.ilastik.errors import IlastikError, Where
from tumor_ratio.ilastik.hdf5_checks import (
    check_whole_file,
    dataset_of,
    descend,
    group_of,
    open_hdf5,
    read_array,
    read_texts,
    where_is,
)
from tumor_ratio.ilastik.project import IlastikProject
from tumor_ratio.ilastik.vigra_trees import RETRAIN, read_tree
from tumor_ratio.imaging.feature_selection import FeatureSelection
from tumor_ratio.models.pixel_classifier import PixelClassifier
from tumor_ratio.models.pixel_forest import PixelForest, Tree

PLACE = "PixelClassification/ClassifierForests"
SINGLE = "forest"
PICKLED = "pickled_"
MAX_TREES = 10_000
MAX_FEATURES = 10_000
MAX_CLASSES = 255
MAX_TREE_BYTES = 2**25
"""A tree of a million nodes: of hundreds of thousands of labelled pixels."""
MAX_FOREST_BYTES = 2**28
MAX_SHARES = 2**27
TABLE_BYTES = 2**20
IN_2D, IN_3D = " in 2D", " in 3D"


def stores_forest(project: IlastikProject) -> bool:
    """Whether a project stores a classifier, be it one that can be read here or not."""
    with open_hdf5(project.path) as file:
        check_whole_file(file)
        group = descend(file, PLACE)
        return isinstance(group, h5py.Group) and (
            bool(_forests(group)) or any(name.startswith(PICKLED) for name in group)
        )


def read_stored_forest(project: IlastikProject) -> PixelClassifier:
    """The classifier that ilastik stored in a project.

    Raises
    ------
    IlastikError
        If there is none, or only a pickle; if it is damaged, was trained with other features than
        the project's, or knows labels that the project does not.
    """
    selection = project.chosen_features()
    with open_hdf5(project.path) as file:
        check_whole_file(file)
        group = descend(file, PLACE)
        forests = _forests(group) if isinstance(group, h5py.Group) else []
        if not forests:
            raise _no_forest(group, Where(project.path, f"/{PLACE}"))
        n_features = _number(forests[0], "column_count_", MAX_FEATURES)
        n_channels = _channels(selection, n_features, where_is(group))
        _check_names(dataset_of(group, "feature_names"), selection, n_channels)
        trees = _trees(forests, n_features, len(project.labels))
        try:
            forest = PixelForest.from_trees(
                trees, n_features=n_features, n_classes=len(project.labels), rule="<"
            )
        except ValueError as error:
            raise where_is(group).error(str(error), RETRAIN) from error
    return PixelClassifier(forest, selection, n_channels, project.label_names, np.empty(0))


def _forests(group: h5py.Group) -> list[h5py.Group]:
    names = [name for name in sorted(group) if name.startswith("Forest") or name == SINGLE]
    forests = [group_of(group, name) for name in names]
    return [forest for forest in forests if forest is not None]


def _no_forest(group: h5py.Group | None, where: Where) -> IlastikError:
    if isinstance(group, h5py.Group) and any(name.startswith(PICKLED) for name in group):
        return where.error(
            "the classifier is a pickle (not one of vigra's forests), which could run any code",
            "train with ilastik's standard classifier, run ilastik itself, or train anew",
        )
    return where.error("no trained classifier", RETRAIN)


def _trees(forests: Sequence[h5py.Group], n_features: int, n_labels: int) -> list[Tree]:
    """All trees, their distributions over the project's labels."""
    trees: list[Tree] = []
    read_bytes = shares = 0
    for forest in forests:
        where = where_is(forest)
        if _number(forest, "column_count_", MAX_FEATURES) != n_features:
            raise where.error("a forest of other features than the first", RETRAIN)
        classes = _classes(forest, n_labels)
        names = sorted(name for name in forest if not name.startswith("_"))
        if len(trees) + len(names) > MAX_TREES:
            raise where.error(f"more than {MAX_TREES} trees", RETRAIN)
        for name in names:
            place = where.inside(name)
            topology, parameters = (
                _part(forest, name, part, place) for part in ("topology", "parameters")
            )
            read_bytes += topology.nbytes + parameters.nbytes
            if read_bytes > MAX_FOREST_BYTES:
                raise place.error("a forest of more than 256 MiB", RETRAIN)
            found = read_tree(topology, parameters, n_features, len(classes), place)
            shares += len(found.columns) * n_labels
            if shares > MAX_SHARES:
                raise place.error("a forest of too many nodes and labels", RETRAIN)
            trees.append(_over_labels(found, classes, n_labels))
    if not trees:
        raise where_is(forests[0]).error("a forest without trees", RETRAIN)
    return trees


def _part(forest: h5py.Group, tree: str, name: str, where: Where) -> np.ndarray:
    dataset = descend(forest, f"{tree}/{name}")
    if not isinstance(dataset, h5py.Dataset):
        raise where.error(f"a tree without {name}", RETRAIN)
    return read_array(dataset, MAX_TREE_BYTES)


def _classes(forest: h5py.Group, n_labels: int) -> list[int]:
    """The labels that a forest knows, from 1, in the order of its distributions."""
    where = where_is(forest)
    if _option(forest, "predict_weighted_"):
        raise where.error("a forest that weighs its leaves, which is not read", RETRAIN)
    where = where.inside("_ext_param/labels")
    classes = [int(value) for value in _values(forest, "_ext_param/labels")]
    if not classes or len(set(classes)) < len(classes) or min(classes) < 1:
        raise where.error("no labels, or some that are none", RETRAIN)
    if max(classes) > n_labels:
        raise where.error(
            f"the forest knows label {max(classes)}, the project has {n_labels}", RETRAIN
        )
    return classes


def _over_labels(tree: Tree, classes: Sequence[int], n_labels: int) -> Tree:
    """The tree with a column for each label; a label that was not drawn has none of it."""
    shares = np.zeros((len(tree.columns), n_labels))
    shares[:, np.array(classes) - 1] = tree.distributions
    return Tree(tree.columns, tree.thresholds, tree.lefts, tree.rights, shares)


def _number(forest: h5py.Group, name: str, most: int) -> int:
    values = _values(forest, f"_ext_param/{name}")
    if len(values) != 1 or not 1 <= values[0] <= most:
        where = where_is(forest).inside(f"_ext_param/{name}")
        raise where.error(f"not a number in 1 to {most}", RETRAIN)
    return int(values[0])


def _option(forest: h5py.Group, name: str) -> float:
    values = _values(forest, f"_options/{name}")
    return float(values[0]) if len(values) else 0.0


def _values(forest: h5py.Group, path: str) -> np.ndarray:
    """Numbers at a place of a forest; none where there is no such place."""
    dataset = descend(forest, path)
    if not isinstance(dataset, h5py.Dataset):
        return np.empty(0)
    return read_array(dataset, TABLE_BYTES).ravel()


def _channels(selection: FeatureSelection, n_features: int, where: Where) -> int:
    """Channels of the image that a forest of so many features was trained on."""
    each = selection.n_features(1)
    if n_features % each:
        raise where.error(
            f"a forest of {n_features} features, where the project chooses {each} a channel",
            RETRAIN,
        )
    return n_features // each


def _check_names(
    dataset: h5py.Dataset | None, selection: FeatureSelection, n_channels: int
) -> None:
    """Refuse a forest whose features, as ilastik stored their names, are not the project's."""
    if dataset is None:
        return
    where = where_is(dataset)
    stored = read_texts(dataset)
    if any(IN_3D in name for name in stored):
        raise where.error("features computed in depth", "choose features in 2D, and train again")
    expected = [name.replace(IN_2D, "") for name in selection.names(n_channels)]
    for column, (theirs, ours) in enumerate(zip(stored, expected, strict=False)):
        if theirs.replace(IN_2D, "") != ours:
            raise where.error(
                f"feature {column} of the forest is '{theirs[:80]}', of the project '{ours}'",
                RETRAIN,
            )
    if len(stored) != len(expected):
        raise where.error(
            f"{len(stored)} features in the forest, {len(expected)} in the project", RETRAIN
        )
