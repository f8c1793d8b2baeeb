"""A folder of real images with outlined nuclei, and how it is split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tumor_ratio.errors import ConfigurationError

IMAGES, LABELS = "images", "labels"
SUFFIXES = (".png", ".tif", ".tiff")
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.12
FEWEST = 4


@dataclass(frozen=True)
class LabelledImage:
    """One image and its nuclei.

    Parameters
    ----------
    name : the files' common stem.
    rgb : (H, W, 3) uint8.
    labels : (H, W) int32, 0 between nuclei, a number for each.
    """

    name: str
    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class Split:
    """Images that train, that choose epoch and thresholds, and that only score."""

    train: tuple[LabelledImage, ...]
    validation: tuple[LabelledImage, ...]
    test: tuple[LabelledImage, ...]


def read_labelled_folder(folder: Path) -> tuple[LabelledImage, ...]:
    """Read `images/<name>.png` with `labels/<name>.tif`; PNG and TIFF serve for both.

    Returns
    -------
    tuple
        By name.

    Raises
    ------
    ConfigurationError
        If the folder is not there or holds under four pairs, or files do not fit together.
    """
    images, labels = (_by_stem(folder / kind) for kind in (IMAGES, LABELS))
    alone = sorted(set(images) ^ set(labels))
    if alone:
        raise ConfigurationError(
            f"{folder}: {', '.join(alone[:5])} lack an image or labels",
            f"give each {IMAGES}/<name> a {LABELS}/<name>",
        )
    if len(images) < FEWEST:
        raise ConfigurationError(
            f"{folder} holds {len(images)} labelled images, not {FEWEST} or more",
            f"bring {IMAGES}/<name>.png and {LABELS}/<name>.tif there, or set "
            "`nuclei_training.images` to '' for phantoms only; see docs/ground_truth.md",
        )
    return tuple(_read(name, images[name], labels[name]) for name in sorted(images))


def split_images(images: Sequence[LabelledImage], seed: int) -> Split:
    """Split images by chance: a quarter only scores, an eighth chooses, the rest trains."""
    order = np.random.default_rng(seed).permutation(len(images))
    n_test = max(1, round(TEST_SHARE * len(images)))
    n_validation = max(1, round(VALIDATION_SHARE * len(images)))
    shuffled = [images[index] for index in order]
    return Split(
        train=tuple(shuffled[n_test + n_validation :]),
        validation=tuple(shuffled[n_test : n_test + n_validation]),
        test=tuple(shuffled[:n_test]),
    )


def _by_stem(folder: Path) -> dict[str, Path]:
    files = folder.iterdir() if folder.is_dir() else ()
    return {path.stem: path for path in files if path.suffix.lower() in SUFFIXES}


def _read(name: str, image_path: Path, labels_path: Path) -> LabelledImage:
    try:
        with Image.open(image_path) as image:
            rgb = np.asarray(image.convert("RGB"))
        labels = _pixels(labels_path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"labelled image {name} cannot be read: {error}", "correct or remove it"
        ) from error
    if labels.shape != rgb.shape[:2] or labels.dtype.kind not in "ui":
        raise ConfigurationError(
            f"labels of {name} are {labels.shape} {labels.dtype}, not whole numbers of the image's "
            f"{rgb.shape[:2]}",
            "give one number a nucleus, 0 between them",
        )
    return LabelledImage(name, rgb, labels.astype(np.int32))


def _pixels(path: Path) -> NDArray[np.integer]:
    if path.suffix.lower() == ".png":
        with Image.open(path) as image:
            return np.asarray(image)
    return np.asarray(tifffile.imread(path))
