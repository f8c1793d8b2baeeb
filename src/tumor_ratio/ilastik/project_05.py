"""Projects of ilastik 0.5: images and label images lie in the project, without blocks."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from tumor_ratio.ilastik.axes import as_yxc
from tumor_ratio.ilastik.hdf5_checks import (
    SAVE_AGAIN,
    attribute,
    dataset_of,
    group_of,
    read_array,
    where_is,
)
from tumor_ratio.ilastik.image_paths import ImagePlace
from tumor_ratio.ilastik.label_blocks import MAX_LABELS, LabelBlock
from tumor_ratio.ilastik.label_colours import default_colour
from tumor_ratio.ilastik.project import IlastikProject, Label, Lane
from tumor_ratio.ilastik.selected_features import read_old_selection

AXES = "tzyxc"


def read_old_project(file: h5py.File, path: Path, version: str) -> IlastikProject:
    """What an open, checked project of ilastik 0.5 says; raises as `read_project`."""
    sets = group_of(file, "DataSets")
    groups = [] if sets is None else [group_of(sets, name) for name in sorted(sets)]
    present = [group for group in groups if group is not None]
    lanes = tuple(_read_lane(group, path) for group in present)
    highest = max((int(b.values.max(initial=0)) for lane in lanes for b in lane.blocks), default=0)
    labels = _read_labels(present, highest)
    for lane in lanes:
        for block in lane.blocks:
            if int(block.values.max(initial=0)) > len(labels):
                raise block.where.error(
                    f"a label of value {highest}, where {len(labels)} labels have names",
                    "name the label in ilastik, or erase it",
                )
    return IlastikProject(path, version, labels, read_old_selection(file), lanes)


def _read_lane(group: h5py.Group, path: Path) -> Lane:
    where = where_is(group)
    data = dataset_of(group, "data")
    if data is None or data.ndim != len(AXES):
        raise where.error("no image of five axes", SAVE_AGAIN)
    name = attribute(group, "Name")
    lane = Lane(
        name if isinstance(name, str) and name else where.place,
        where,
        AXES,
        data.shape,
        ImagePlace(path, (data.name or "").strip("/")),
        _read_block(group),
    )
    lane.check()
    return lane


def _read_block(group: h5py.Group) -> tuple[LabelBlock, ...]:
    inside = group_of(group, "labels")
    data = None if inside is None else dataset_of(inside, "data")
    if data is None:
        return ()
    where = where_is(data)
    values = as_yxc(read_array(data), AXES, where)[..., 0]
    if values.max(initial=0) > MAX_LABELS or values.min(initial=0) < 0:
        raise where.error("labels outside 0 to 255", SAVE_AGAIN)
    return (LabelBlock(0, 0, values.astype(np.uint8), where),)


def _read_labels(groups: list[h5py.Group], highest: int) -> tuple[Label, ...]:
    """Names and colours, which hang on the first image; numbered ones where there are none."""
    inside = group_of(groups[0], "labels") if groups else None
    names = None if inside is None else attribute(inside, "name")
    if inside is None or names is None:
        return tuple(Label(f"Label {k + 1}", default_colour(k)) for k in range(highest))
    texts = [
        name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        for name in np.atleast_1d(np.asarray(names, dtype=object)).tolist()
    ]
    colours = attribute(inside, "color")
    colours = np.atleast_1d([] if colours is None else np.asarray(colours))
    return tuple(
        Label(text, _rgb(int(colours[k])) if k < len(colours) else default_colour(k))
        for k, text in enumerate(texts[:MAX_LABELS])
    )


def _rgb(colour: int) -> tuple[int, int, int]:
    return (colour >> 16) & 255, (colour >> 8) & 255, colour & 255
