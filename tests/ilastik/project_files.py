"""Small ilastik projects, written straight with h5py: what tests bend and break."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

LEAF = 0x40000000
FEATURES = (b"GaussianSmoothing", b"LaplacianOfGaussian")
SCALES = (0.3, 1.0)


def axistags(axes: str) -> str:
    tags = [{"key": k, "typeFlags": 2, "resolution": 0, "description": ""} for k in axes]
    return json.dumps({"axes": tags})


def drawn_image(height: int = 24, width: int = 30, channels: int = 3) -> np.ndarray:
    """A bright square on a dark ground, with a little noise; uint8."""
    image = np.random.default_rng(0).integers(20, 40, (height, width, channels))
    image[6:16, 8:20] += 150
    return image.astype(np.uint8)


def write_minimal(
    path: Path,
    *,
    shape: tuple[int, ...] = (24, 30, 3),
    axes: str = "yxc",
    file_path: str = "tile.png",
    version: bytes = b"1.4.0",
    blocks: bool = True,
    change: Callable[[h5py.File], None] | None = None,
) -> Path:
    """A project of one image with two labels, and a forest of two trees of 6 features."""
    with h5py.File(path, "w") as file:
        file["ilastikVersion"] = version
        file["workflowName"] = b"Pixel Classification"
        info = file.create_group("Input Data/infos/lane0000/Raw Data")
        info["filePath"] = file_path.encode()
        info["location"] = b"FileSystem"
        info["nickname"] = b"tile"
        info["axistags"] = axistags(axes).encode()
        info["shape"] = np.array(shape)
        file.create_group("Input Data/local_data")
        features = file.create_group("FeatureSelections")
        features["FeatureIds"] = np.array(FEATURES)
        features["Scales"] = np.array(SCALES)
        features["SelectionMatrix"] = np.array([[True, False], [False, True]])
        main = file.create_group("PixelClassification")
        main["LabelNames"] = np.array([b"ground", b"nucleus"])
        main["LabelNames"].attrs["isEmpty"] = False
        main["LabelColors"] = np.array([[255, 225, 25], [0, 130, 200]])
        main["LabelColors"].attrs["isEmpty"] = False
        sets = main.create_group("LabelSets/labels000")
        if blocks:
            add_block(sets, "block0000", np.ones((2, 5, 1), np.uint8), "[1:3,2:7,0:1]")
            add_block(sets, "block0001", np.full((3, 2, 1), 2, np.uint8), "[8:11,10:12,0:1]")
        add_forest(main.create_group("ClassifierForests/Forest0000"))
        if change is not None:
            change(file)
    return path


def add_block(group: h5py.Group, name: str, values: np.ndarray, where: str) -> None:
    group[name] = values
    group[name].attrs["blockSlice"] = where
    group[name].attrs["axistags"] = axistags("yxc")


def add_forest(group: h5py.Group, n_features: int = 6, labels: tuple[int, ...] = (1, 2)) -> None:
    """Two stumps on the first two channels' smoothing: bright is the second class."""
    group["_ext_param/column_count_"] = np.array([float(n_features)])
    group["_ext_param/class_count_"] = np.array([2.0])
    group["_ext_param/labels"] = np.array(labels, np.uint32)
    group["_options/predict_weighted_"] = np.array([0.0])
    for k in range(2):
        tree = group.create_group(f"Tree_{k}")
        # A split at 2 whose children are the leaves at 9 (below) and 7 (not below).
        tree["topology"] = np.array([n_features, 2, 0, 0, 9, 7, k, LEAF, 2, LEAF, 5], np.int32)
        tree["parameters"] = np.array([1.0, 100.0, 9.0, 0.0, 1.0, 9.0, 1.0, 0.0])


def write_tile(path: Path, image: np.ndarray | None = None) -> np.ndarray:
    image = drawn_image() if image is None else image
    Image.fromarray(image).save(path)
    return image
