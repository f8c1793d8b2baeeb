"""A pixel classifier grown of images with sparse labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.feature_selection import FeatureSelection
from tumor_ratio.imaging.pixel_features import FeaturePlan, pixel_features
from tumor_ratio.models.forest_fit import N_TREES, fit_forest
from tumor_ratio.models.pixel_classifier import PixelClassifier, as_pixels

CELL_PX = 256
"""Features are computed in squares of this side, and only where there are labels."""

LabelledImage = tuple[NDArray[Any], NDArray[np.uint8]]
"""(H, W, C) numbers and (H, W) labels: 0 unlabelled, k the k-th class."""


def grow_classifier(
    images: Iterable[LabelledImage],
    class_names: Sequence[str],
    selection: FeatureSelection,
    *,
    seed: int,
    n_trees: int = N_TREES,
) -> PixelClassifier:
    """Train on all labelled pixels of some images.

    Parameters
    ----------
    images : of equal channels; one at a time is in memory.
    class_names : in the order of their labels, from 1.
    selection : the features.
    seed : the same gives the same classifier.
    n_trees : classifying takes time in proportion to it.

    Raises
    ------
    ValueError
        If fewer than two classes are labelled, or the images have different channels.
    """
    features, labels = [], []
    channels: set[int] = set()
    for image, drawn in images:
        channels.add(image.shape[2])
        for rows, values in labelled_features(as_pixels(image), drawn, selection):
            features.append(rows)
            labels.append(values)
    if len(channels) > 1:
        raise ValueError(f"images of {' and '.join(map(str, sorted(channels)))} channels")
    known = np.concatenate(labels) if labels else np.empty(0, np.uint8)
    used = [class_names[value - 1] for value in np.unique(known)]
    if len(used) < 2:
        raise ValueError(f"only '{used[0]}' is used" if used else "nothing is labelled")
    fitted = fit_forest(
        np.concatenate(features),
        known.astype(np.int64) - 1,
        n_classes=len(class_names),
        seed=seed,
        n_trees=n_trees,
    )
    return PixelClassifier(
        fitted.forest, selection, channels.pop(), tuple(class_names), fitted.importances
    )


def labelled_features(
    image: np.ndarray, labels: np.ndarray, selection: FeatureSelection
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features of the labelled pixels, as those of the whole image, in little memory.

    Parameters
    ----------
    image : (H, W, C) uint8 or float32.
    labels : (H, W) uint8, 0 unlabelled.

    Yields
    ------
    features, labels : (N, F) float32 and (N,) uint8.
    """
    height, width, n_channels = image.shape
    halo_px = FeaturePlan.of(selection, n_channels).halo_px
    for top in range(0, height, CELL_PX):
        for left in range(0, width, CELL_PX):
            cell = labels[top : top + CELL_PX, left : left + CELL_PX]
            if not cell.any():
                continue
            above, before = max(0, top - halo_px), max(0, left - halo_px)
            around = image[
                above : top + cell.shape[0] + halo_px, before : left + cell.shape[1] + halo_px
            ]
            found = pixel_features(np.ascontiguousarray(around), selection)
            inside = found[top - above :, left - before :][: cell.shape[0], : cell.shape[1]]
            yield inside[cell > 0], cell[cell > 0]
