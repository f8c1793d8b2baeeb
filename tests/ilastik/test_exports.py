"""Exports of ilastik in each format, number type and order of axes come out the same."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.ilastik.project_files import axistags
from tumor_ratio.ilastik.errors import IlastikError
from tumor_ratio.ilastik.exports import read_probabilities, read_segmentation

ORDERS = {"yxc": (0, 1, 2), "cyx": (2, 0, 1), "xyc": (1, 0, 2)}


def probabilities(n_labels: int = 3) -> np.ndarray:
    shares = np.random.default_rng(3).random((14, 19, n_labels))
    return (shares / shares.sum(axis=2, keepdims=True)).astype(np.float32)


def stored(shares: np.ndarray, dtype: str) -> np.ndarray:
    if dtype.startswith("float"):
        return shares.astype(dtype)
    return np.round(shares * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("axes", [*ORDERS, "tzyxc"])
def test_probabilities_in_hdf5(tmp_path: Path, dtype: str, axes: str) -> None:
    array = stored(probabilities(), dtype)
    array = array[None, None] if axes == "tzyxc" else array.transpose(ORDERS[axes])
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file.create_dataset("exported_data", data=array, chunks=True, compression="gzip")
        file["exported_data"].attrs["axistags"] = axistags(axes)
    found = read_probabilities(tmp_path / "p.h5")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, probabilities(), atol=0.002)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_probabilities_in_tiff(tmp_path: Path, dtype: str) -> None:
    array = stored(probabilities(), dtype)
    tifffile.imwrite(tmp_path / "rows.tif", array, photometric="rgb")
    tifffile.imwrite(
        tmp_path / "pages.tiff", array.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"}
    )
    tifffile.imwrite(tmp_path / "bare.tif", array.transpose(2, 0, 1), photometric="minisblack")
    for name in ("rows.tif", "pages.tiff", "bare.tif"):
        np.testing.assert_allclose(read_probabilities(tmp_path / name), probabilities(), atol=0.002)


def test_probabilities_in_png_and_npy(tmp_path: Path) -> None:
    Image.fromarray(stored(probabilities(), "uint8")).save(tmp_path / "p.png")
    np.testing.assert_allclose(read_probabilities(tmp_path / "p.png"), probabilities(), atol=0.002)
    for n_labels in (2, 7):
        np.save(tmp_path / "p.npy", probabilities(n_labels))
        np.testing.assert_array_equal(
            read_probabilities(tmp_path / "p.npy"), probabilities(n_labels)
        )
    np.save(tmp_path / "p.npy", probabilities().transpose(1, 0, 2))
    found = read_probabilities(tmp_path / "p.npy", axes="xyc")
    np.testing.assert_array_equal(found, probabilities())


def test_segmentations(tmp_path: Path) -> None:
    labels = (probabilities().argmax(axis=2) + 1).astype(np.uint8)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["exported_data"] = labels[..., None].astype(np.uint32)
        file["exported_data"].attrs["axistags"] = axistags("yxc")
    Image.fromarray(labels).save(tmp_path / "s.png")
    tifffile.imwrite(tmp_path / "s.tif", labels)
    np.save(tmp_path / "s.npy", labels[..., None])
    for name in ("s.h5", "s.png", "s.tif", "s.npy"):
        found = read_segmentation(tmp_path / name)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (probabilities() * 100, "values from .* that do not add up to 1; export"),
        (probabilities()[..., :1], "one channel, not a probability for each label"),
        (np.full((3, 4, 2), np.nan), "probabilities that are not numbers"),
        (np.ones((3, 4, 2), np.int16), "probabilities of type int16"),
        (np.zeros((3, 4, 5, 2)), "3 planes in depth"),
    ],
)
def test_what_are_no_probabilities(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "p.npy", array)
    with pytest.raises(IlastikError, match=f"p.npy: {words}"):
        read_probabilities(tmp_path / "p.npy")


def test_what_is_no_segmentation(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", probabilities())
    with pytest.raises(IlastikError, match="3 channels, where a segmentation has one"):
        read_segmentation(tmp_path / "s.npy")
    np.save(tmp_path / "s.npy", np.full((3, 3), 0.5))
    with pytest.raises(IlastikError, match="values of type float64 that are no labels"):
        read_segmentation(tmp_path / "s.npy")
    with pytest.raises(IlastikError, match="no such file"):
        read_segmentation(tmp_path / "absent.png")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a"] = file["b"] = np.ones((3, 3), np.uint8)
    with pytest.raises(IlastikError, match="/exported_data: not there, and 2 other datasets"):
        read_segmentation(tmp_path / "two.h5")


@pytest.mark.real
def test_ilastik_s_own_export(real_data: Path) -> None:
    path = real_data / "ilastik_projects/api/res-Data_1channel_pc1xy.npy"
    np.testing.assert_array_equal(read_probabilities(path), np.load(path))
