"""Decision trees as vigra writes them: two flat arrays a tree.

`topology` holds integers: features, classes, then nodes. A node is its type, the address of its
parameters, and for a split also the addresses of both children and the feature. `parameters` holds
the node's weight and then the threshold of a split, or the shares of the classes of a leaf. A pixel
goes to the first child where its feature is below the threshold (`<`).
"""

from __future__ import annotations

import numpy as np

from tumor_ratio.ilastik.errors import Where
from tumor_ratio.models.pixel_forest import Tree

ROOT = 2
LEAF = 0x40000000
SPLIT = 0
SPLIT_LENGTH = 5
LEAF_LENGTH = 2
SHARE_TOLERANCE = 1e-3
RETRAIN = "train again in ilastik and save the project, or train anew from its labels"


def read_tree(
    topology: np.ndarray, parameters: np.ndarray, n_features: int, n_classes: int, where: Where
) -> Tree:
    """A tree from vigra's arrays, every address and value checked.

    Parameters
    ----------
    topology : (T,) integers.
    parameters : (P,) numbers.
    n_features, n_classes : of the forest.
    where : the tree's place, for complaints.

    Raises
    ------
    IlastikError
        If an address lies outside the arrays, a node is reached twice, a feature or class is not
        the forest's, a threshold or share is no number, or a node is of another kind.
    """
    if topology.ndim != 1 or parameters.ndim != 1 or topology.dtype.kind not in "iu":
        raise where.error("arrays that are no tree", RETRAIN)
    if len(topology) < ROOT or (int(topology[0]), int(topology[1])) != (n_features, n_classes):
        raise where.error(
            f"a tree that is not of {n_features} features and {n_classes} classes", RETRAIN
        )
    words = topology.tolist()
    numbers = np.asarray(parameters, np.float64)
    addresses = _addresses(words, where)
    rows = {address: row for row, address in enumerate(addresses)}
    n = len(addresses)
    tree = Tree(
        np.full(n, -1, np.int32),
        np.zeros(n),
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
        np.zeros((n, n_classes)),
    )
    for row, address in enumerate(addresses):
        at = words[address + 1]
        length = 1 + (n_classes if words[address] == LEAF else 1)
        if not 0 <= at <= len(numbers) - length:
            raise where.error(f"node {address} has its numbers outside the tree", RETRAIN)
        values = numbers[at + 1 : at + length]
        if words[address] == LEAF:
            _check_shares(values, address, where)
            tree.distributions[row] = values
            continue
        feature = words[address + 4]
        if not 0 <= feature < n_features:
            raise where.error(f"node {address} asks for feature {feature}", RETRAIN)
        if not np.isfinite(values[0]):
            raise where.error(f"node {address} has the threshold {values[0]}", RETRAIN)
        tree.columns[row], tree.thresholds[row] = feature, values[0]
        tree.lefts[row], tree.rights[row] = (
            rows[child] for child in words[address + 2 : address + 4]
        )
    return tree


def _addresses(words: list[int], where: Where) -> list[int]:
    """Addresses of the nodes, parents before children; each is reached once, so no path circles."""
    found = {ROOT}
    order = [ROOT]
    for address in order:
        kind = words[address] if 0 <= address < len(words) else None
        length = LEAF_LENGTH if kind == LEAF else SPLIT_LENGTH
        if kind is None or address + length > len(words):
            raise where.error(f"node {address} lies outside the tree", RETRAIN)
        if kind == LEAF:
            continue
        if kind != SPLIT:
            raise where.error(f"node {address} is of kind {kind}, which is not read", RETRAIN)
        for child in words[address + 2 : address + 4]:
            if child in found:
                raise where.error(f"node {child} is reached twice: a tree in circles", RETRAIN)
            found.add(child)
            order.append(child)
    return order


def _check_shares(shares: np.ndarray, address: int, where: Where) -> None:
    if not (np.isfinite(shares).all() and (shares >= 0).all()):
        raise where.error(f"leaf {address} has shares that are none", RETRAIN)
    if abs(float(shares.sum()) - 1) > SHARE_TOLERANCE:
        raise where.error(f"leaf {address} has shares that add up to {shares.sum():.3g}", RETRAIN)
