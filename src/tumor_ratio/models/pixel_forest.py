"""A random forest that tells what each pixel is, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.pixel_groups import GROUP_PX, rows_to_groups
from tumor_ratio.models.forest_votes import PackedForest, pack, vote
from tumor_ratio.processes import own_threads, thread_pool

Rule = Literal["<=", "<"]
"""Which values go left: scikit-learn's rule, up to the threshold, or vigra's, below it."""

_ROWS_AT_ONCE = 64 * GROUP_PX


@dataclass(frozen=True)
class Tree:
    """One decision tree as it comes; its root is node 0.

    Parameters
    ----------
    columns : (M,) int, the feature that a node tests.
    thresholds : (M,) float64.
    lefts, rights : (M,) int, a node's children; below 0 where it is a leaf.
    distributions : (M, K) float64, a leaf's weights of the classes; of other nodes unused.
    """

    columns: NDArray[np.integer]
    thresholds: NDArray[np.floating]
    lefts: NDArray[np.integer]
    rights: NDArray[np.integer]
    distributions: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class PixelForest:
    """Trees in preorder, one after the other: a node's left child is the node after it.

    Values up to a threshold go left; others, and what is not a number, go right.

    Parameters
    ----------
    n_features, n_classes : of its input and output.
    columns : (M,) int32, the feature that a node tests. Below zero for leaves: -1 - k where every
        training pixel was of class k, -1 - n_classes where they were not all alike.
    thresholds : (M,) float32; 0 for leaves.
    rights : (M,) int32, a node's right child; of a leaf of several classes its row in `mixed`.
    roots : (T + 1,) int32, each tree's first node, and M.
    mixed : (R, K) float64, distributions that sum to 1.

    Raises
    ------
    ValueError
        If the arrays do not make a forest.
    """

    n_features: int
    n_classes: int
    columns: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    rights: NDArray[np.int32]
    roots: NDArray[np.int32]
    mixed: NDArray[np.float64]

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def from_trees(
        cls, trees: Sequence[Tree], *, n_features: int, n_classes: int, rule: Rule = "<="
    ) -> PixelForest:
        """Make a forest of trees as they come.

        Parameters
        ----------
        trees : at least one. A leaf's weights are scaled to sum to 1: all trees count alike.
        n_features, n_classes : of its input and output.
        rule : which values go left. A float64 threshold becomes the largest float32 that goes left,
            so that float32 features take exactly the way they took.

        Raises
        ------
        ValueError
            If a tree is not one.
        """
        parts = [_preorder(tree, n_classes, rule) for tree in trees]
        if not parts:
            raise ValueError("a forest needs at least one tree")
        columns, thresholds, rights, leaves = (list(each) for each in zip(*parts, strict=True))
        starts = np.cumsum([0, *(len(each) for each in columns)])
        first_mixed = np.cumsum([0, *(len(each) for each in leaves)])
        for index, each in enumerate(rights):
            inner = columns[index] >= 0
            each[inner] += starts[index]
            each[columns[index] == -1 - n_classes] += first_mixed[index]
        return cls(
            n_features,
            n_classes,
            np.concatenate(columns).astype(np.int32),
            np.concatenate(thresholds).astype(np.float32),
            np.concatenate(rights).astype(np.int32),
            starts.astype(np.int32),
            np.concatenate(leaves).astype(np.float64),
        )

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.roots) - 1

    @cached_property
    def _packed(self) -> PackedForest:
        return pack(self.columns, self.thresholds, self.rights, self.roots, self.mixed)

    def predict_proba(
        self, features: NDArray[np.float32], *, threads: int | None = None
    ) -> NDArray[np.float32]:
        """Mean of the trees' distributions.

        Leaves of one class are counted; others are added in float64, tree by tree: the result
        depends neither on `threads` nor on other rows.

        Parameters
        ----------
        features : (N, F) float32.
        threads : by default `own_threads()`.

        Returns
        -------
        (N, K) float32

        Raises
        ------
        ValueError
            If there is another number of features, or they are not float32.
        """
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise ValueError(f"expected (N, {self.n_features}) features, got {features.shape}")
        if features.dtype != np.float32:
            raise ValueError(f"expected float32 features, got {features.dtype}")
        out = np.empty((len(features), self.n_classes), dtype=np.float32)

        def predict(start: int) -> None:
            rows = features[start : start + _ROWS_AT_ONCE]
            shares = self.predict_groups(rows_to_groups(rows))
            out[start : start + len(rows)] = shares.transpose(0, 2, 1).reshape(-1, self.n_classes)[
                : len(rows)
            ]

        starts = range(0, len(features), _ROWS_AT_ONCE)
        with thread_pool(min(threads or own_threads(), max(1, len(starts)))) as pool:
            for _ in pool.map(predict, starts):
                pass
        return out

    def predict_groups(self, groups: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same for groups of 64 pixels, in the calling thread.

        Parameters
        ----------
        groups : (G, F, 64) float32, see `pixel_groups`.

        Returns
        -------
        (G, K, 64) float32
        """
        shares = np.empty((len(groups), self.n_classes, GROUP_PX), dtype=np.float32)
        vote(groups, self._packed, shares)
        return shares


def _preorder(
    tree: Tree, n_classes: int, rule: Rule
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """Columns, thresholds, rights and mixed distributions of one tree, counted from its root."""
    n_nodes = len(tree.columns)
    order: list[int] = []
    place = np.full(n_nodes, -1, dtype=np.int64)
    waiting = [0]
    while waiting:
        node = waiting.pop()
        if not 0 <= node < n_nodes or place[node] >= 0:
            raise ValueError(f"node {node} of {n_nodes} is missing or has two parents")
        place[node] = len(order)
        order.append(node)
        if tree.lefts[node] >= 0:
            waiting += [int(tree.rights[node]), int(tree.lefts[node])]
    nodes = np.array(order)
    inner = tree.lefts[nodes] >= 0
    columns = np.where(inner, tree.columns[nodes], -1 - n_classes).astype(np.int64)
    rights = np.zeros(len(nodes), dtype=np.int64)
    rights[inner] = place[tree.rights[nodes[inner]]]
    thresholds = np.where(inner, float32_thresholds(tree.thresholds[nodes], rule), 0)
    leaves = tree.distributions[nodes[~inner]].astype(np.float64)
    totals = leaves.sum(axis=1, keepdims=True)
    if leaves.shape[1] != n_classes or not (totals > 0).all() or not (leaves >= 0).all():
        raise ValueError(f"a leaf must hold weights of {n_classes} classes, not all of them 0")
    leaves = leaves / totals
    pure = (leaves == 1).any(axis=1)
    columns[np.flatnonzero(~inner)[pure]] = -1 - leaves[pure].argmax(axis=1)
    rights[np.flatnonzero(~inner)[~pure]] = np.arange((~pure).sum())
    return columns, thresholds.astype(np.float32), rights, leaves[~pure]


def float32_thresholds(thresholds: NDArray[np.floating], rule: Rule) -> NDArray[np.float32]:
    """The largest float32 that goes left: for float32 values the same test as the float64 one."""
    wide = np.asarray(thresholds, dtype=np.float64)
    narrow = wide.astype(np.float32)
    too_large = narrow > wide if rule == "<=" else narrow >= wide
    return np.where(too_large, np.nextafter(narrow, np.float32(-np.inf)), narrow)


def _check(forest: PixelForest) -> None:
    """Raise a ValueError unless compiled code can follow the arrays safely."""
    flat = (forest.columns, forest.thresholds, forest.rights, forest.roots)
    n_nodes = len(forest.columns)
    inner = forest.columns >= 0
    mixed = forest.columns == -1 - forest.n_classes
    sound = (
        all(array.ndim == 1 for array in flat)
        and len(forest.thresholds) == len(forest.rights) == n_nodes
        and forest.mixed.ndim == 2
        and forest.mixed.shape[1] == forest.n_classes > 0
        and forest.columns.min(initial=0) >= -1 - forest.n_classes
        and forest.columns.max(initial=-1) < forest.n_features
        and _are_trees(np.flatnonzero(inner), forest.rights[inner], forest.roots, n_nodes)
        and forest.rights[mixed].min(initial=0) >= 0
        and forest.rights[mixed].max(initial=-1) < len(forest.mixed)
    )
    if not sound:
        raise ValueError("the arrays do not make a forest")


def _are_trees(
    inner: NDArray[np.int64], rights: NDArray[np.int32], roots: NDArray[np.int32], n_nodes: int
) -> bool:
    """Whether each node but the roots is the child of one node before it, in the same tree."""
    if len(roots) < 2 or roots[0] != 0 or roots[-1] != n_nodes or (np.diff(roots) < 1).any():
        return False
    ends = roots[np.searchsorted(roots, inner, side="right")]
    if ((rights <= inner + 1) | (rights >= ends)).any():
        return False
    parents = np.bincount(np.concatenate([inner + 1, rights]), minlength=n_nodes)
    parents[roots[:-1]] += 1
    return bool((parents == 1).all())
