"""Projects for ilastik: our tiles with label images, to be opened there and labelled on.

The layout is that of ilastik 1.4. What ilastik keeps as pickles (the kind of classifier, bookmarks)
is left out: it falls back on its own defaults, which is the random forest.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from tumor_ratio.atomic import written_whole
from tumor_ratio.ilastik.axes import flat_size, tags_of_axes
from tumor_ratio.ilastik.errors import Where
from tumor_ratio.ilastik.image_files import read_image
from tumor_ratio.ilastik.image_paths import ImagePlace
from tumor_ratio.ilastik.label_blocks import MAX_LABELS
from tumor_ratio.ilastik.project import Label
from tumor_ratio.imaging.feature_selection import FeatureSelection

VERSION = "1.4.0"
AXES = "yxc"
ROLES = (b"Raw Data", b"Prediction Mask")
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562's, for addresses
LOCAL_DATA = "/Input Data/local_data"


@dataclass(frozen=True)
class LabelledTile:
    """A tile to be labelled, or labelled already.

    Parameters
    ----------
    name : shown in ilastik.
    labels : (H, W) uint8, 0 unlabelled and k the k-th label; None where nothing is labelled yet.
    file : an image below the project's folder, to be named by its relative path.
    pixels : (H, W, C) uint8, to be stored in the project instead of a file.

    Raises
    ------
    ValueError
        Unless exactly one of `file` and `pixels` is given.
    """

    name: str
    labels: np.ndarray | None = None
    file: Path | None = None
    pixels: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.pixels is None):
            raise ValueError(f"tile {self.name}: give either a file or pixels")
        if self.pixels is not None and (self.pixels.ndim != 3 or self.pixels.dtype != np.uint8):
            raise ValueError(
                f"tile {self.name}: expected (H, W, C) uint8 pixels, got {self.pixels.shape} "
                f"{self.pixels.dtype}"
            )


def write_project(
    path: Path,
    tiles: Sequence[LabelledTile],
    labels: Sequence[Label],
    selection: FeatureSelection | None = None,
) -> None:
    """Write a project of pixel classification; an earlier file is replaced at once.

    Parameters
    ----------
    path : the project (.ilp); its folder is made.
    tiles : its images, at least one, all of the same number of channels.
    labels : names and colours, in the order of their values from 1.
    selection : the features; all of ilastik's by default.

    Raises
    ------
    IlastikError
        If a file lies outside the project's folder or cannot be read, labels do not fit their image
        or have no name, or the tiles have different channels.
    DiskFullError
        If there is no room for it.
    """
    path = Path(path).absolute()
    where = Where(path)
    if not tiles or not 1 <= len(labels) <= MAX_LABELS:
        raise where.error(
            f"{len(tiles)} tiles and {len(labels)} labels make no project",
            f"give at least one tile and 1 to {MAX_LABELS} labels",
        )
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        _write_head(file)
        _write_features(file, selection or FeatureSelection.default())
        _write_inputs(file, path, tiles, len(labels))
        _write_labels(file, labels)


def _write_head(file: h5py.File) -> None:
    file["ilastikVersion"] = VERSION.encode()
    file["workflowName"] = b"Pixel Classification"
    file["time"] = time.ctime().encode()
    file["currentApplet"] = 2  # labelling
    export = file.create_group("Prediction Export")
    export["OutputFilenameFormat"] = b"{dataset_dir}/{nickname}_{result_type}"
    export["OutputFormat"] = b"hdf5"
    export["OutputInternalPath"] = b"exported_data"
    export["StorageVersion"] = b"0.1"


def _write_features(file: h5py.File, selection: FeatureSelection) -> None:
    group = file.create_group("FeatureSelections")
    group["FeatureIds"] = np.array([name.encode() for name in selection.feature_ids])
    group["Scales"] = np.array(selection.scales, np.float64)
    group["SelectionMatrix"] = np.array(selection.matrix, bool)
    group["ComputeIn2d"] = np.ones(len(selection.scales), bool)
    group["StorageVersion"] = b"0.1"


def _write_inputs(
    file: h5py.File, path: Path, tiles: Sequence[LabelledTile], n_labels: int
) -> None:
    """Images and their labels; one image at a time is in memory."""
    inputs = file.create_group("Input Data")
    inputs.create_dataset("Role Names", data=list(ROLES))
    inputs["StorageVersion"] = b"0.2"
    local = inputs.create_group("local_data")
    sets = file.create_group("PixelClassification/LabelSets")
    channels: int | None = None
    for index, tile in enumerate(tiles):
        lane = inputs.create_group(f"infos/lane{index:04d}")
        lane.create_group("Prediction Mask")
        info = lane.create_group("Raw Data")
        where = Where(path, f"tile {tile.name}")
        identity = str(uuid.uuid5(NAMESPACE, f"{index}/{tile.name}"))
        if tile.pixels is not None:
            height, width, depth = tile.pixels.shape
            _embed(local, info, identity, tile.pixels)
        else:
            height, width, depth = _refer(info, tile, path, where)
        if channels not in (None, depth):
            raise where.error(
                f"{depth} channels, where the first tile has {channels}",
                "give tiles of the same channels",
            )
        channels = depth
        info["datasetId"] = identity.encode()
        info["nickname"] = tile.name.encode()
        info["allowLabels"] = True
        info["display_mode"] = b"default"
        info["normalizeDisplay"] = False
        info["scale_locked"] = False
        info["working_scale"] = b""
        blocks = sets.create_group(f"labels{index:03d}")
        if tile.labels is not None:
            _check_labels(tile.labels, (height, width), n_labels, where)
            _write_block(blocks, tile.labels)


def _embed(local: h5py.Group, info: h5py.Group, identity: str, pixels: np.ndarray) -> None:
    dataset = local.create_dataset(identity, data=pixels, chunks=True)
    dataset.attrs["axistags"] = tags_of_axes(AXES)
    dataset.attrs["display_mode"] = "default"
    dataset.attrs["drange"] = np.array([0, 255])
    for axis, key in enumerate(AXES):
        dataset.dims[axis].label = key
    inner = f"{LOCAL_DATA}/{identity}".encode()
    info["__class__"] = b"ProjectInternalDatasetInfo"
    info["location"] = b"ProjectInternal"
    info["filePath"] = inner
    info["inner_path"] = inner
    info["fromstack"] = True
    info["axistags"] = tags_of_axes(AXES).encode()
    info["shape"] = np.array(pixels.shape, np.int64)


def _refer(
    info: h5py.Group, tile: LabelledTile, project: Path, where: Where
) -> tuple[int, int, int]:
    """Name the tile's file, with its axes as ilastik will see them; height, width, channels."""
    assert tile.file is not None
    file = tile.file.absolute()
    try:
        relative = file.resolve().relative_to(project.parent.resolve()).as_posix()
    except ValueError:
        raise where.error(
            f"{file} is not below the project's folder", "write the project above its tiles"
        ) from None
    if any(mark in relative for mark in "*:;\\"):
        raise where.error(f"ilastik takes '{relative}' for several files", "rename the file")
    array, axes = read_image(ImagePlace(file), "", None)
    if "c" not in axes and file.suffix.lower() not in {".tif", ".tiff"}:
        array, axes = array[..., None], axes + "c"  # ilastik gives other grey images a channel
    info["__class__"] = b"RelativeFilesystemDatasetInfo"
    info["location"] = b"FileSystem"
    info["filePath"] = relative.encode()
    info["axistags"] = tags_of_axes(axes).encode()
    info["shape"] = np.array(array.shape, np.int64)
    return flat_size(array.shape, axes, where)


def _check_labels(
    labels: np.ndarray, size_px: tuple[int, int], n_labels: int, where: Where
) -> None:
    if labels.shape != size_px or labels.dtype != np.uint8:
        raise where.error(
            f"labels of shape {labels.shape} {labels.dtype} for an image of {size_px} px",
            "give (H, W) uint8 labels of the image's size",
        )
    if labels.max(initial=0) > n_labels:
        raise where.error(
            f"a label of value {labels.max()}, where {n_labels} labels have names",
            "name every label",
        )


def _write_block(group: h5py.Group, labels: np.ndarray) -> None:
    """The labels' bounding box, as ilastik stores them; nothing where nothing is labelled."""
    rows, columns = (np.flatnonzero(labels.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    block = group.create_dataset("block0000", data=labels[top:bottom, left:right, None])
    block.attrs["axistags"] = tags_of_axes(AXES)
    block.attrs["blockSlice"] = f"[{top}:{bottom},{left}:{right},0:1]"


def _write_labels(file: h5py.File, labels: Sequence[Label]) -> None:
    group = file["PixelClassification"]
    group["StorageVersion"] = b"0.1"
    colours = np.array([label.colour for label in labels], np.int64)
    names = [label.name.encode() for label in labels]
    for name, values in (("LabelNames", names), ("LabelColors", colours), ("PmapColors", colours)):
        group.create_dataset(name, data=values).attrs["isEmpty"] = False
