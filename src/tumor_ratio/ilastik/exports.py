"""What ilastik exports: probabilities and segmentations, in any of its file formats.

ilastik writes HDF5 (`exported_data`, with axistags), TIFF, PNG and npy, in any order of axes.
Probabilities are float in 0 to 1, or whole numbers in 0 to the largest of their type
(`--export_dtype=uint8` with `--export_drange="(0,255)"`).
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from tumor_ratio.ilastik.axes import as_yxc, checked_axes, guessed_axes
from tumor_ratio.ilastik.errors import Where
from tumor_ratio.ilastik.hdf5_checks import dataset_of, item_of, open_hdf5
from tumor_ratio.ilastik.hdf5_probe import check_survives
from tumor_ratio.ilastik.image_files import place_in, read_image_dataset, read_stored
from tumor_ratio.ilastik.image_paths import HDF5_SUFFIXES, ImagePlace

DATASET = "exported_data"
SUM_TOLERANCE = 0.02
"""Probabilities that were rounded to 8 bits add up to 1 so nearly, for up to ten labels."""
EXPORT_AGAIN = "export 'Probabilities' again, as float32 or over the whole range of uint8 or uint16"


def read_probabilities(path: Path, *, axes: str = "", probed: bool = True) -> np.ndarray:
    """Probabilities of each label, as ilastik's source `Probabilities` exports them.

    Parameters
    ----------
    path : .h5, .tif, .png or .npy.
    axes : order of its axes, such as `cyx`; empty to go by the file. Where the file does not tell,
        the shorter of the first and last of three axes is taken for the labels.
    probed : read HDF5 in a process of its own first, since it can hang on a damaged file; not
        needed for what was written here.

    Returns
    -------
    (H, W, K) float32
        In 0 to 1, adding up to 1.

    Raises
    ------
    IlastikError
        If the file cannot be read, is no flat image, or holds no probabilities.
    """
    array, where = _read_export(Path(path), axes, probed)
    if array.dtype.kind == "f":
        shares = array.astype(np.float32)
    elif array.dtype.kind == "u":
        shares = (array / np.iinfo(array.dtype).max).astype(np.float32)
    else:
        raise where.error(f"probabilities of type {array.dtype}", EXPORT_AGAIN)
    if not np.isfinite(shares).all():
        raise where.error("probabilities that are not numbers", EXPORT_AGAIN)
    if shares.shape[2] < 2:
        raise where.error("one channel, not a probability for each label", EXPORT_AGAIN)
    worst = float(np.abs(shares.sum(axis=2) - 1).max())
    if worst > SUM_TOLERANCE or shares.min() < -1e-6:
        raise where.error(
            f"values from {shares.min():.3g} to {shares.max():.3g} that do not add up to 1",
            EXPORT_AGAIN,
        )
    return shares


def read_segmentation(path: Path, *, axes: str = "") -> np.ndarray:
    """The label of each pixel, as ilastik's source `Simple Segmentation` exports it.

    Parameters
    ----------
    path, axes : as in `read_probabilities`.

    Returns
    -------
    (H, W) uint8
        k for the k-th label.

    Raises
    ------
    IlastikError
        If the file cannot be read, is no flat image, or holds no labels.
    """
    array, where = _read_export(Path(path), axes, True)
    remedy = "export 'Simple Segmentation' again"
    if array.shape[2] != 1:
        raise where.error(f"{array.shape[2]} channels, where a segmentation has one", remedy)
    if array.dtype.kind not in "ui" or array.min() < 0 or array.max() > 255:
        raise where.error(f"values of type {array.dtype} that are no labels", remedy)
    return array[..., 0].astype(np.uint8)


def _read_export(path: Path, axes: str, probed: bool) -> tuple[np.ndarray, Where]:
    if not path.is_file():
        raise Where(path).error("no such file", "check the path")
    if path.suffix.lower() in HDF5_SUFFIXES:
        if probed:
            check_survives(path)
        with open_hdf5(path) as file:
            array, own_axes = read_image_dataset(_exported(file, path))
        where = Where(path)
    else:
        array, own_axes = read_stored(ImagePlace(path))
        where = place_in(ImagePlace(path))
    order = checked_axes(axes, where) if axes else own_axes or _guessed(array.shape, where)
    return as_yxc(array, order, where), where


def _exported(file: h5py.File, path: Path) -> h5py.Dataset:
    dataset = dataset_of(file, DATASET)
    if dataset is not None:
        return dataset
    items = [item_of(file, name) for name in file]
    datasets = [item for item in items if isinstance(item, h5py.Dataset)]
    if len(datasets) != 1:
        raise Where(path, f"/{DATASET}").error(
            f"not there, and {len(datasets)} other datasets", "export to the dataset exported_data"
        )
    return datasets[0]


def _guessed(shape: tuple[int, ...], where: Where) -> str:
    if len(shape) == 3:
        return "yxc" if shape[2] <= shape[0] else "cyx"
    return guessed_axes(shape, where)
