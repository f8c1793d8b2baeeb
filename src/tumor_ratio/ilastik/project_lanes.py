"""Images, labels and their names in projects of ilastik 0.6 to 1.4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from tumor_ratio.ilastik.axes import axes_of_tags, checked_axes, flat_size
from tumor_ratio.ilastik.errors import IlastikError, Where
from tumor_ratio.ilastik.hdf5_checks import (
    SAVE_AGAIN,
    attribute,
    dataset_of,
    descend,
    group_of,
    read_array,
    read_texts,
    text_in,
    where_is,
)
from tumor_ratio.ilastik.image_paths import ImagePlace, find_image
from tumor_ratio.ilastik.label_blocks import MAX_LABELS, read_blocks
from tumor_ratio.ilastik.label_colours import default_colour
from tumor_ratio.ilastik.project import IlastikProject, Label, Lane
from tumor_ratio.ilastik.selected_features import read_selection
from tumor_ratio.ilastik.versions import Version

ROLE = "Raw Data"
SMALL_BYTES = 2**16
MAX_LABELLED_PX = 2**29
"""Of all blocks of a project, which are in memory together."""
INTERNAL = "ProjectInternal"


def read_new_project(
    file: h5py.File,
    path: Path,
    version: str,
    number: Version,
    allowed_folders: tuple[Path, ...],
) -> IlastikProject:
    """What an open, checked project says; raises `IlastikError` as `read_project`."""
    labels = _read_labels(file)
    groups = _label_groups(file)
    lanes = []
    left_px = MAX_LABELLED_PX
    for index, info in enumerate(_infos(file)):
        lane = _read_lane(info, path, allowed_folders)
        lane.check()
        if index in groups:
            max_px = min(left_px, lane.size_px or left_px)
            axes = lane.axes or "yxc"
            blocks = read_blocks(groups[index], axes, number, len(labels), max_px)
            left_px -= sum(block.values.size for block in blocks)
            lane = replace(lane, blocks=blocks)
            lane.check()
        lanes.append(lane)
    strays = [group for index, group in groups.items() if index >= len(lanes) and len(group)]
    if strays:
        raise where_is(strays[0]).error("labels of an image that is not there", SAVE_AGAIN)
    return IlastikProject(path, version, labels, read_selection(file), tuple(lanes))


def _read_labels(file: h5py.File) -> tuple[Label, ...]:
    group = group_of(file, "PixelClassification")
    names = None if group is None else dataset_of(group, "LabelNames")
    if group is None or names is None or bool(attribute(names, "isEmpty")):
        return ()
    texts = read_texts(names)
    if len(texts) > MAX_LABELS:
        raise where_is(names).error(f"{len(texts)} labels, at most {MAX_LABELS}", SAVE_AGAIN)
    colours = dataset_of(group, "LabelColors")
    rows = np.empty((0, 3))
    if colours is not None and not bool(attribute(colours, "isEmpty")):
        rows = read_array(colours, SMALL_BYTES)
    return tuple(Label(text, _colour(rows, k)) for k, text in enumerate(texts))


def _colour(rows: np.ndarray, index: int) -> tuple[int, int, int]:
    if rows.ndim != 2 or rows.shape[1] < 3 or index >= len(rows):
        return default_colour(index)
    red, green, blue = (min(max(int(value), 0), 255) for value in rows[index, :3])
    return red, green, blue


def _label_groups(file: h5py.File) -> dict[int, h5py.Group]:
    """Groups of label blocks by the number of their image."""
    sets = descend(file, "PixelClassification/LabelSets")
    if not isinstance(sets, h5py.Group):
        return {}
    return {_number(name, where_is(sets)): _group(sets, name) for name in sets}


def _number(name: str, where: Where) -> int:
    digits = "".join(letter for letter in name if letter.isdigit())
    if not digits or len(digits) > 9:
        raise where.inside(name).error("a name without a number", SAVE_AGAIN)
    return int(digits)


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    group = group_of(parent, name)
    if group is None:
        raise where_is(parent).inside(name).error("not there", SAVE_AGAIN)
    return group


def _infos(file: h5py.File) -> list[h5py.Group]:
    """The images' groups; before ilastik 1.0 they are not parted into roles."""
    infos = descend(file, "Input Data/infos")
    if not isinstance(infos, h5py.Group):
        return []
    groups = []
    for name in sorted(infos, key=lambda name: _number(name, where_is(infos))):
        lane = _group(infos, name)
        info = lane if "filePath" in set(lane) else group_of(lane, ROLE)
        if info is None or not len(info):
            raise where_is(lane).error("no image", "remove the empty row in ilastik")
        groups.append(info)
    return groups


def _read_lane(info: h5py.Group, path: Path, allowed_folders: tuple[Path, ...]) -> Lane:
    where = where_is(info)
    if dataset_of(info, "subvolume_roi") is not None:
        raise where.error("a part of an image (subvolume_roi)", "use the whole image")
    axes = _axes(info)
    sides = dataset_of(info, "shape")
    shape = None if sides is None else tuple(read_array(sides, SMALL_BYTES).ravel().tolist())
    if shape is not None and axes:
        flat_size(shape, axes, where)
    image: ImagePlace | IlastikError
    if text_in(info, "location") == INTERNAL:
        image = _embedded(info, path)
    else:
        stored = text_in(info, "filePath") or ""
        try:
            image = find_image(stored, path, allowed_folders, where.inside("filePath"))
        except IlastikError as error:
            image = error
    nickname = text_in(info, "nickname") or where.place
    return Lane(nickname, where, axes, shape if axes else None, image, ())


def _axes(info: h5py.Group) -> str:
    tags = text_in(info, "axistags")
    if tags is not None:
        return axes_of_tags(tags, where_is(info).inside("axistags"))
    order = text_in(info, "axisorder")
    return "" if order is None else checked_axes(order, where_is(info).inside("axisorder"))


def _embedded(info: h5py.Group, path: Path) -> ImagePlace:
    """Place of an image inside the project; old projects tell its id only."""
    where = where_is(info)
    inner = (text_in(info, "inner_path") or "").strip("/")
    if not inner:
        inner = f"Input Data/local_data/{text_in(info, 'datasetId') or ''}"
    if not isinstance(descend(info.file, inner), h5py.Dataset):
        raise where.error(f"its pixels are not in the project ({inner[:100]})", SAVE_AGAIN)
    return ImagePlace(path, inner)
