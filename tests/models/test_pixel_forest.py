"""Forests of plain arrays against scikit-learn, and against walking single trees by hand."""

import pickle

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.imaging.feature_selection import GRADIENT, SMOOTHING, FeatureSelection
from tumor_ratio.imaging.pixel_groups import GROUP_PX, rows_to_groups
from tumor_ratio.models.forest_file import read_forest, write_forest
from tumor_ratio.models.forest_fit import fit_forest, forest_of_sklearn
from tumor_ratio.models.pixel_classifier import PixelClassifier
from tumor_ratio.models.pixel_forest import PixelForest, Tree, float32_thresholds

N_CLASSES = 3


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def blobs(rng, n: int = 600, n_features: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes; values repeat, so that some pixels lie on thresholds' midpoints."""
    labels = rng.integers(0, N_CLASSES, n)
    features = rng.normal(size=(n, n_features)) + labels[:, None] * rng.random(n_features)
    return (np.round(features * 8) / 8).astype(np.float32), labels


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_depth": 3},
        {"min_samples_leaf": 10},
        {"n_estimators": 1},
        {"max_leaf_nodes": 2},
        {"n_estimators": 150, "max_depth": 1},
    ],
)
def test_predictions_are_scikit_learns(rng, options) -> None:
    features, labels = blobs(rng)
    fitted = RandomForestClassifier(**{"n_estimators": 40, "random_state": 1, **options})
    fitted.fit(features, labels)
    forest = forest_of_sklearn(fitted, N_CLASSES)
    asked = np.concatenate([features, blobs(rng, 1001)[0]])
    found, expected = forest.predict_proba(asked), fitted.predict_proba(asked)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-7)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_pixels_that_differ_only_in_their_labels_share_a_leaf(rng) -> None:
    features = np.repeat(rng.integers(0, 3, (40, 2)).astype(np.float32), 10, axis=0)
    labels = rng.integers(0, N_CLASSES, len(features))
    fitted = RandomForestClassifier(60, random_state=0).fit(features, labels)
    forest = forest_of_sklearn(fitted, N_CLASSES)
    assert len(forest.mixed) > 100
    assert forest.predict_proba(features) == pytest.approx(fitted.predict_proba(features), abs=1e-7)


def test_a_class_that_was_not_labelled_gets_nothing(rng) -> None:
    features, labels = blobs(rng)
    fitted = fit_forest(features, labels * 2, n_classes=6, seed=0, n_trees=10)
    shares = fitted.forest.predict_proba(features)
    assert shares.shape == (len(features), 6)
    assert (shares[:, [1, 3, 5]] == 0).all()
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-6)


STUMP = Tree(
    columns=np.array([0, -2, -2]),
    thresholds=np.array([0.1, -2.0, -2.0]),
    lefts=np.array([1, -1, -1]),
    rights=np.array([2, -1, -1]),
    distributions=np.array([[0, 0], [3.0, 0], [0, 5.0]]),
)
"""Column 0 at 0.1, which is no float32: the nearest one is above."""


@pytest.mark.parametrize(
    ("rule", "threshold", "value", "goes_left"),
    [
        ("<=", 0.5, 0.5, True),
        ("<", 0.5, 0.5, False),
        ("<", 0.5, np.nextafter(np.float32(0.5), np.float32(0)), True),
        ("<=", 0.1, 0.1, False),
        ("<", 0.1, 0.1, False),
        ("<=", 0.7, 0.7, True),
        ("<", 0.7, 0.7, True),
        ("<=", 0.0, -0.0, True),
        ("<", 0.0, -0.0, False),
        ("<=", 0.5, np.nan, False),
        ("<=", 0.5, -np.inf, True),
        ("<", 0.5, np.inf, False),
    ],
)
def test_values_at_a_threshold_go_as_the_float64_test_says(
    rule, threshold, value, goes_left
) -> None:
    value = np.float32(value)
    wide = float(value) <= threshold if rule == "<=" else float(value) < threshold
    assert wide == goes_left
    tree = Tree(STUMP.columns, np.array([threshold, 0, 0]), *STUMP_REST)
    forest = PixelForest.from_trees([tree], n_features=1, n_classes=2, rule=rule)
    found = forest.predict_proba(np.array([[value]], dtype=np.float32))
    assert found.tolist() == [[1, 0] if goes_left else [0, 1]]


STUMP_REST = (STUMP.lefts, STUMP.rights, STUMP.distributions)


def test_thresholds_are_the_largest_float32_that_goes_left(rng) -> None:
    thresholds = rng.normal(size=1000)
    for rule in ("<=", "<"):
        narrow = float32_thresholds(thresholds, rule)
        above = np.nextafter(narrow, np.float32(np.inf))
        assert (narrow <= thresholds).all()
        assert (above >= thresholds).all()


def test_a_tree_may_be_a_single_leaf_and_lie_in_any_order() -> None:
    leaf = Tree(
        np.array([-1]), np.array([0.0]), np.array([-1]), np.array([-1]), np.array([[1.0, 3.0]])
    )
    turned = Tree(  # the right child before the left one
        columns=np.array([0, -1, -1]),
        thresholds=np.array([0.5, 0, 0]),
        lefts=np.array([2, -1, -1]),
        rights=np.array([1, -1, -1]),
        distributions=np.array([[0, 0], [0, 1.0], [1.0, 0]]),
    )
    forest = PixelForest.from_trees([leaf, turned], n_features=1, n_classes=2)
    found = forest.predict_proba(np.array([[0], [1]], dtype=np.float32))
    assert found == pytest.approx(np.array([[0.625, 0.375], [0.125, 0.875]]))


@pytest.mark.parametrize(
    "changed",
    [
        {"lefts": np.array([1, 0, -1])},  # a circle
        {"rights": np.array([1, -1, -1])},  # two parents
        {"rights": np.array([7, -1, -1])},
        {"columns": np.array([1, 0, 0])},
        {"distributions": np.zeros((3, 2))},
        {"distributions": np.ones((3, 3))},
        {"distributions": -np.ones((3, 2))},
    ],
)
def test_what_is_no_tree_is_refused(changed) -> None:
    tree = Tree(**{**vars(STUMP), **changed})
    with pytest.raises(ValueError, match=r"missing or has two|must hold weights|do not make"):
        PixelForest.from_trees([tree], n_features=1, n_classes=2)


def test_a_forest_needs_a_tree() -> None:
    with pytest.raises(ValueError, match="at least one tree"):
        PixelForest.from_trees([], n_features=1, n_classes=2)


@pytest.mark.parametrize("n", [1, GROUP_PX - 1, GROUP_PX, GROUP_PX + 1, 9000])
def test_a_row_is_predicted_alike_wherever_it_stands_and_by_any_threads(rng, n) -> None:
    features, labels = blobs(rng, 400)
    forest = fit_forest(features, labels, n_classes=3, seed=0, n_trees=20, min_leaf_px=4).forest
    asked = blobs(rng, n)[0]
    found = forest.predict_proba(asked, threads=1)
    np.testing.assert_array_equal(forest.predict_proba(asked, threads=3), found)
    order = rng.permutation(n)
    np.testing.assert_array_equal(forest.predict_proba(asked[order]), found[order])


def test_no_rows_give_no_predictions(rng) -> None:
    forest = PixelForest.from_trees([STUMP], n_features=1, n_classes=2)
    assert forest.predict_proba(np.empty((0, 1), np.float32)).shape == (0, 2)


def test_other_features_are_refused() -> None:
    forest = PixelForest.from_trees([STUMP], n_features=1, n_classes=2)
    with pytest.raises(ValueError, match=r"expected \(N, 1\) features"):
        forest.predict_proba(np.zeros((4, 2), np.float32))
    with pytest.raises(ValueError, match="float32 features, got float64"):
        forest.predict_proba(np.zeros((4, 1)))


def test_rows_fill_groups_in_order(rng) -> None:
    features = rng.random((100, 5)).astype(np.float32)
    groups = rows_to_groups(features)
    assert groups.shape == (2, 5, GROUP_PX)
    np.testing.assert_array_equal(groups[1, :, 3], features[GROUP_PX + 3])
    assert not groups[1, :, 100 - GROUP_PX :].any()


def test_a_seed_decides_the_forest_and_threads_do_not(rng) -> None:
    features, labels = blobs(rng)
    forests = [
        fit_forest(features, labels, n_classes=3, seed=seed, n_trees=8, threads=threads).forest
        for seed, threads in ((5, 1), (5, 2), (6, 1))
    ]
    np.testing.assert_array_equal(forests[0].thresholds, forests[1].thresholds)
    assert not np.array_equal(forests[0].thresholds, forests[2].thresholds)


def test_the_feature_that_decides_is_the_most_important(rng) -> None:
    features = rng.random((500, 6)).astype(np.float32)
    labels = (features[:, 4] > 0.5).astype(np.int64)
    fitted = fit_forest(features, labels, n_classes=2, seed=0, n_trees=30)
    assert fitted.importances.argmax() == 4
    assert fitted.importances.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((4, 2), np.float32), np.zeros(3, int), "got .4, 2. and .3,."),
        (np.zeros((0, 2), np.float32), np.zeros(0, int), "got .0, 2."),
        (np.zeros((4, 2)), np.zeros(4, int), "float32 features"),
        (np.zeros((4, 2), np.float32), np.full(4, 3), "labels must be 0 to 2"),
        (np.zeros((4, 2), np.float32), np.full(4, -1), "labels must be 0 to 2"),
    ],
)
def test_what_cannot_be_learned_is_refused(features, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        fit_forest(features, labels, n_classes=3, seed=0)


SELECTION = FeatureSelection(
    (SMOOTHING, GRADIENT), (0.7, 1.6, 3.5), ((True, True, False), (True, False, False))
)


@pytest.fixture
def stored(rng) -> PixelClassifier:
    features, labels = blobs(rng)
    fitted = fit_forest(features, labels, n_classes=3, seed=0, n_trees=5, min_leaf_px=3)
    return PixelClassifier(
        fitted.forest, SELECTION, 3, ("background", "nucleus", "cell"), fitted.importances
    )


def test_a_forest_comes_back_from_its_file(stored, tmp_path, rng) -> None:
    path = tmp_path / "deep" / "forest.safetensors"
    write_forest(stored, path)
    found = read_forest(path)
    features = blobs(rng)[0]
    np.testing.assert_array_equal(
        found.forest.predict_proba(features), stored.forest.predict_proba(features)
    )
    assert (found.selection, found.n_channels) == (SELECTION, 3)
    assert found.class_names == stored.class_names
    assert found.importance_by_name() == stored.importance_by_name()


def test_importances_come_by_name_the_largest_first(stored) -> None:
    named = stored.importance_by_name()
    assert sorted(named) == sorted(SELECTION.names(3))
    assert list(named.values()) == sorted(stored.importances, reverse=True)


def test_parts_that_do_not_belong_together_are_refused(stored) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        PixelClassifier(stored.forest, SELECTION, 1, stored.class_names, stored.importances)


def test_a_damaged_file_is_one_clear_error(stored, tmp_path) -> None:
    path = tmp_path / "forest.safetensors"
    with pytest.raises(ModelUnavailableError, match="there is no forest at"):
        read_forest(path)
    write_forest(stored, path)
    content = path.read_bytes()
    for cut in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(ModelUnavailableError, match="cannot be read as a forest"):
            read_forest(path)


def test_other_tensors_are_no_forest(tmp_path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(ModelUnavailableError, match="it is not a tumor-ratio pixel forest"):
        read_forest(path)


@pytest.mark.parametrize("name", ["rights", "roots", "columns"])
def test_arrays_that_would_lead_compiled_code_astray_are_refused(stored, tmp_path, name) -> None:
    path = tmp_path / "forest.safetensors"
    getattr(stored.forest, name)[1] = 10**6
    write_forest(stored, path)
    with pytest.raises(ModelUnavailableError, match="the arrays do not make a forest"):
        read_forest(path)


class _Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was executed",)


def test_a_pickle_is_never_opened(tmp_path) -> None:
    path = tmp_path / "forest.safetensors"
    path.write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(ModelUnavailableError, match="cannot be read as a forest"):
        read_forest(path)
    np.savez(tmp_path / "forest.npz", trap=np.array([_Trap()], dtype=object))
    with pytest.raises(ModelUnavailableError, match="cannot be read as a forest"):
        read_forest(tmp_path / "forest.npz")
