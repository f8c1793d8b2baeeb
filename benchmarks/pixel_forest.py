"""Classify the pixels of a 4096 px tile: features and forest in blocks against scikit-image's
features of the whole tile and scikit-learn's forest, with as many features, trees and pixels to
learn from; and what ilastik's whole table of features costs."""

from __future__ import annotations

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

TILE_PX = 4096
CHECKED_PX = 1024
"""Side of the corner in which predictions are compared pixel by pixel."""

N_LABELLED = 10_000
N_TREES = 100
SCALES = (0.7, 1.0, 1.6, 3.5, 5.0, 10.0)


def pixel_forest() -> None:
    before = _in_process(_ours, "as scikit-image")
    theirs = _in_process(_plain)
    after = _in_process(_ours, "as scikit-image")
    mine = min(before, after, key=lambda run: run["seconds"])
    name = f"pixels of a {TILE_PX} px tile, {mine['features']} features, {N_TREES} trees"
    detail = f"{mine['seconds']:.1f} s, peak {mine['peak_gb']:.2f} GB, {mine['nodes']} nodes, "
    detail += f"against {theirs['seconds']:.1f} s ({theirs['feature_seconds']:.1f} s features), "
    detail += f"peak {theirs['peak_gb']:.2f} GB, {theirs['nodes']} nodes"
    print(f"{name:<58} {theirs['seconds'] / mine['seconds']:6.1f} x   ({detail})", flush=True)
    name = "  in seconds of a core, which other programs disturb less"
    detail = f"{mine['core_seconds']:.1f} against {theirs['core_seconds']:.1f}"
    ratio = theirs["core_seconds"] / mine["core_seconds"]
    print(f"{name:<58} {ratio:6.1f} x   ({detail})", flush=True)
    whole = _in_process(_ours, "ilastik")
    for run in (mine, whole):
        name = f"  {run['features']} features: {run['seconds']:.1f} s, {run['peak_gb']:.2f} GB"
        detail = f"of {CHECKED_PX} px squared decided as by scikit-learn, from the same features"
        print(f"{name:<58} {run['equal']:8.4%} ({detail})", flush=True)


def _in_process(work: Any, *arguments: str) -> dict[str, Any]:
    """What `work` finds in a fresh process, and that process's peak."""
    # Not a `Pool`: in its processes scikit-learn would use a single thread.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def _ours(table: str) -> dict[str, Any]:
    from tumor_ratio.imaging.feature_selection import GRADIENT, HESSIAN, SMOOTHING, FeatureSelection
    from tumor_ratio.imaging.pixel_features import pixel_features
    from tumor_ratio.models.forest_fit import forest_of_sklearn
    from tumor_ratio.models.pixel_classifier import classify_pixels

    # scikit-image's kinds of features: intensity, edges and both eigenvalues of the Hessian.
    alike = FeatureSelection((SMOOTHING, GRADIENT, HESSIAN), SCALES, ((True,) * len(SCALES),) * 3)
    selection = alike if table == "as scikit-image" else FeatureSelection.default()
    tissue, tile = _tissue(), _tile()
    fitted = _fitted(pixel_features(tissue, selection), tissue)
    forest = forest_of_sklearn(fitted, n_classes=3)
    classify_pixels(tile[:64, :64], selection, forest)
    start, cpu_start = time.perf_counter(), time.process_time()
    shares = classify_pixels(tile, selection, forest)
    seconds, core_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak_gb = _peak_gb()
    equal = 0
    for top in range(0, CHECKED_PX, 128):
        # A band and what its features depend on, so that they are those of the whole tile.
        above = max(0, top - 64)
        around = tile[above : top + 192, : CHECKED_PX + 64]
        features = pixel_features(around, selection)[top - above :][:128, :CHECKED_PX]
        expected = fitted.predict(features.reshape(-1, features.shape[-1]))
        found = shares[top : top + 128, :CHECKED_PX].argmax(axis=-1)
        equal += int((found.ravel() == expected).sum())
    return {
        "seconds": seconds,
        "core_seconds": core_seconds,
        "peak_gb": peak_gb,
        "features": forest.n_features,
        "nodes": len(forest.columns),
        "equal": equal / CHECKED_PX**2,
    }


def _plain() -> dict[str, Any]:
    from skimage.feature import multiscale_basic_features

    def features_of(rgb: np.ndarray) -> np.ndarray:
        return multiscale_basic_features(
            rgb,
            sigma_min=SCALES[0],
            sigma_max=SCALES[-1],
            num_sigma=len(SCALES),
            channel_axis=-1,
        )

    tissue, tile = _tissue(), _tile()
    fitted = _fitted(features_of(tissue), tissue)
    start, cpu_start = time.perf_counter(), time.process_time()
    features = features_of(tile)
    feature_seconds = time.perf_counter() - start
    fitted.predict_proba(features.reshape(-1, features.shape[-1]))
    return {
        "seconds": time.perf_counter() - start,
        "core_seconds": time.process_time() - cpu_start,
        "feature_seconds": feature_seconds,
        "peak_gb": _peak_gb(),
        "nodes": sum(tree.tree_.node_count for tree in fitted.estimators_),
    }


def _tissue() -> np.ndarray:
    """(512, 512, 3) uint8: colon, DAB and hematoxylin."""
    from skimage.data import immunohistochemistry

    return immunohistochemistry()


def _tile() -> np.ndarray:
    tissue = _tissue()
    return np.tile(tissue, (TILE_PX // tissue.shape[0], TILE_PX // tissue.shape[1], 1))


def _fitted(features: np.ndarray, tissue: np.ndarray) -> Any:
    """A forest that learned background, blue and brown from pixels here and there, some wrong."""
    from scipy.ndimage import gaussian_filter
    from skimage.color import rgb2hed
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(0)
    hed = rgb2hed(tissue)
    blue, brown = (gaussian_filter(hed[..., channel], 1.5) for channel in (0, 2))
    labels = np.where(blue > np.quantile(blue, 0.6), 1, 0)
    labels = np.where(brown > np.quantile(brown, 0.8), 2, labels).ravel()
    chosen = rng.choice(labels.size, N_LABELLED, replace=False)
    taught = np.where(rng.random(N_LABELLED) < 0.03, rng.integers(0, 3, N_LABELLED), labels[chosen])
    forest = RandomForestClassifier(N_TREES, random_state=0, n_jobs=-1)
    return forest.fit(features.reshape(labels.size, -1)[chosen], taught)


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
