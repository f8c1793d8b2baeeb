"""Pixels of a project's images: PNG, JPEG, BMP, TIFF, HDF5, npy; sizes are asked first."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import tifffile
from PIL import Image

from tumor_ratio.ilastik.axes import FLAT_ONLY, axes_of_tags, guessed_axes
from tumor_ratio.ilastik.errors import IlastikError, Where
from tumor_ratio.ilastik.hdf5_checks import (
    MAX_ARRAY_BYTES,
    attribute,
    descend,
    open_hdf5,
    read_array,
    where_is,
)
from tumor_ratio.ilastik.hdf5_probe import check_survives
from tumor_ratio.ilastik.image_paths import ImagePlace
from tumor_ratio.imaging.readers import UnreadableError
from tumor_ratio.imaging.tiff_checks import unreachable_bytes

MAX_IMAGE_PX = 2**27
"""11,585 px squared: the largest image that is read as a tile."""
PILLOW_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
PILLOW_FORMATS = ("PNG", "JPEG", "BMP")
PILLOW_MODES = frozenset({"L", "LA", "RGB", "RGBA", "I;16"})
PILLOW_CONVERTED = {"P": "RGB", "1": "L"}
TIFF_SUFFIXES = (".tif", ".tiff")

CONVERT = "save it as PNG or TIFF and choose it again in ilastik"


def read_image(place: ImagePlace, axes: str, shape: Sequence[int] | None) -> tuple[np.ndarray, str]:
    """An image as it is stored, with the order of its axes.

    Parameters
    ----------
    place : the file.
    axes : the order that the project tells; empty to go by the file.
    shape : the shape that the project tells, in the order of `axes`; None where it does not.

    Returns
    -------
    array, axes
        Of one length. Sides of 1 px that a format leaves out or adds are as the project has them.

    Raises
    ------
    IlastikError
        If it cannot be read, is larger than `MAX_IMAGE_PX`, or not what the project says.
    """
    array, own_axes = read_stored(place)
    where = place_in(place)
    if axes:
        return _fitted(array, axes, shape, where), axes
    return array, own_axes or guessed_axes(array.shape, where)


def read_stored(place: ImagePlace) -> tuple[np.ndarray, str]:
    """An image as it is stored, with the order of its axes; empty where the file does not tell.

    Raises
    ------
    IlastikError
        If it cannot be read, or is larger than `MAX_IMAGE_PX`.
    """
    where = place_in(place)
    with _damage_told(where):
        array, axes = _read(place, where)
    if array.dtype.kind not in "uif":
        raise where.error(f"pixels of type {array.dtype}", CONVERT)
    return array, axes


def place_in(place: ImagePlace) -> Where:
    """The image as a place to complain about."""
    return Where(place.path, f"/{place.inner}" if place.inner else "")


@contextmanager
def _damage_told(where: Where) -> Iterator[None]:
    try:
        yield
    except IlastikError:
        raise
    except UnreadableError as error:
        raise where.error(error.message, error.remedy) from error
    except Exception as error:  # image libraries raise nearly everything on damage
        line = " ".join(str(error).split())[:200] or type(error).__name__
        raise where.error(f"cannot be read as an image ({line})", CONVERT) from error


def _read(place: ImagePlace, where: Where) -> tuple[np.ndarray, str]:
    suffix = place.path.suffix.lower()
    if place.inner:
        return _read_hdf5(place, where)
    if suffix in PILLOW_SUFFIXES:
        array = _read_pillow(place.path, where)
        return array, "yx" if array.ndim == 2 else "yxc"
    if suffix in TIFF_SUFFIXES:
        return _read_tiff(place.path, where)
    if suffix == ".npy":
        stored = np.load(place.path, mmap_mode="r", allow_pickle=False)
        check_claim(stored.shape, stored.dtype, where)
        return np.array(stored), ""
    raise where.error(f"images of kind '{suffix}' are not read", CONVERT)


def check_claim(shape: Sequence[int], dtype: np.dtype, where: Where) -> None:
    """Raise `IlastikError` for an image that is too large to be read at once."""
    sides = sorted((int(side) for side in shape), reverse=True)
    pixels = int(np.prod(sides[:2], dtype=object)) if sides else 0
    claimed = int(np.prod(sides, dtype=object)) * dtype.itemsize
    if pixels > MAX_IMAGE_PX or claimed > MAX_ARRAY_BYTES:
        raise where.error(
            f"claims an image of {' x '.join(str(side) for side in shape)}, larger than "
            f"{MAX_IMAGE_PX} px or {MAX_ARRAY_BYTES / 2**30:.0f} GiB",
            "use tiles, not whole slides",
        )


def _read_hdf5(place: ImagePlace, where: Where) -> tuple[np.ndarray, str]:
    check_survives(place.path)
    with open_hdf5(place.path) as file:
        dataset = descend(file, place.inner)
        if not isinstance(dataset, h5py.Dataset):
            raise where.error("no such dataset", "choose the image again in ilastik")
        return read_image_dataset(dataset)


def read_image_dataset(dataset: h5py.Dataset) -> tuple[np.ndarray, str]:
    """Pixels of a checked dataset that holds an image, and its axes; empty where it has no tags."""
    where = where_is(dataset)
    check_claim(dataset.shape or (), dataset.dtype, where)
    tags = attribute(dataset, "axistags")
    return read_array(dataset), axes_of_tags(tags, where) if isinstance(tags, str) else ""


def _read_pillow(path: Path, where: Where) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            check_claim((image.height, image.width, 4), np.dtype(np.uint8), where)
            if image.mode in PILLOW_CONVERTED:
                return np.array(image.convert(PILLOW_CONVERTED[image.mode]))
            if image.mode not in PILLOW_MODES:
                raise where.error(f"an image of mode {image.mode}", CONVERT)
            return np.array(image)


def _read_tiff(path: Path, where: Where) -> tuple[np.ndarray, str]:
    # An OME-TIFF may name other files as its planes, anywhere: only the file itself is read.
    with tifffile.TiffFile(path, _multifile=False) as file:
        if not file.series:
            raise where.error("a TIFF without an image", CONVERT)
        series = file.series[0]
        check_claim(series.shape, np.dtype(series.dtype), where)
        missing = unreachable_bytes(path)
        if missing:
            raise where.error(f"the file is truncated: {missing} bytes are missing", CONVERT)
        array = series.asarray()
        axes = series.axes.lower().replace("s", "c")
    known = len(set(axes)) == len(axes) and set(axes) <= set("tzyxc")
    return array, axes if known else ""


def _fitted(array: np.ndarray, axes: str, shape: Sequence[int] | None, where: Where) -> np.ndarray:
    """The array with one side for each of `axes`; only sides of 1 come or go."""
    if shape is None:
        if array.ndim == len(axes) - 1 and "c" in axes:
            return np.expand_dims(array, axes.index("c"))
        if array.ndim != len(axes):
            raise where.error(f"{array.ndim} sides, the project says '{axes}'", FLAT_ONLY)
        return array
    told = tuple(int(side) for side in shape)
    if [side for side in array.shape if side != 1] != [side for side in told if side != 1]:
        raise where.error(
            f"an image of {_sides(array.shape)}, where the project says {_sides(told)} ({axes})",
            "put the image there that was labelled",
        )
    return array.reshape(told)


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(str(side) for side in shape)
