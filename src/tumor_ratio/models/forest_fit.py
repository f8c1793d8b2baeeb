"""Train a pixel forest with ilastik's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.models.pixel_forest import PixelForest, Tree
from tumor_ratio.processes import own_threads

N_TREES = 100


@dataclass(frozen=True, eq=False)
class FittedForest:
    """A trained forest and what its features were worth.

    Parameters
    ----------
    forest : predicts.
    importances : (F,) float64 that sum to 1 (or are all 0): the mean decrease of the Gini impurity
        by a feature, over all trees, on the training pixels (Breiman 2001).
    """

    forest: PixelForest
    importances: NDArray[np.float64]


def fit_forest(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    *,
    n_classes: int,
    seed: int,
    n_trees: int = N_TREES,
    min_leaf_px: int = 1,
    threads: int | None = None,
) -> FittedForest:
    """Train a forest on labelled pixels, by scikit-learn.

    As ilastik asks vigra: each tree is grown until its leaves know one class, on as many pixels as
    there are, drawn with replacement, and tries sqrt(F) features at a split, rounded to the nearest
    number (scikit-learn would round down). What differs is how ties between equal splits fall.

    Parameters
    ----------
    features : (N, F) float32.
    labels : (N,) whole numbers from 0 to `n_classes` - 1; not all classes need occur.
    n_classes : columns of the forest's predictions.
    seed : the same gives the same forest, whatever the threads.
    n_trees : number of trees.
    min_leaf_px : a leaf holds at least so many pixels; more than 1 makes smaller trees.
    threads : by default `own_threads()`.

    Raises
    ------
    ValueError
        If there are no pixels, numbers of features and labels differ, or a label is no class.
    """
    from sklearn.ensemble import RandomForestClassifier

    if features.ndim != 2 or labels.shape != features.shape[:1] or not features.size:
        raise ValueError(
            f"expected (N, F) features and (N,) labels, got {features.shape} and {labels.shape}"
        )
    if features.dtype != np.float32:
        raise ValueError(f"expected float32 features, got {features.dtype}")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels must be 0 to {n_classes - 1}")
    fitted = RandomForestClassifier(
        n_trees,
        max_features=max(1, math.floor(math.sqrt(features.shape[1]) + 0.5)),
        min_samples_leaf=min_leaf_px,
        n_jobs=threads or own_threads(),
        random_state=seed,
    ).fit(features, labels)
    return FittedForest(
        forest_of_sklearn(fitted, n_classes), np.asarray(fitted.feature_importances_, np.float64)
    )


def forest_of_sklearn(fitted: Any, n_classes: int) -> PixelForest:
    """The arrays of a fitted scikit-learn `RandomForestClassifier`.

    Parameters
    ----------
    fitted : its classes are whole numbers below `n_classes`.
    n_classes : columns of the forest's predictions.
    """
    trees = []
    for estimator in fitted.estimators_:
        tree = estimator.tree_
        distributions = np.zeros((tree.node_count, n_classes))
        distributions[:, fitted.classes_.astype(np.int64)] = tree.value[:, 0]
        trees.append(
            Tree(
                tree.feature,
                tree.threshold,
                tree.children_left,
                tree.children_right,
                distributions,
            )
        )
    return PixelForest.from_trees(
        trees, n_features=fitted.n_features_in_, n_classes=n_classes, rule="<="
    )
