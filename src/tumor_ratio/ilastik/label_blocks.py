"""Brush strokes of a project: blocks of labels, laid into a label image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from tumor_ratio.ilastik.axes import KEYS, as_yxc, axes_of_tags
from tumor_ratio.ilastik.errors import Where
from tumor_ratio.ilastik.hdf5_checks import SAVE_AGAIN, attribute, item_of, read_array, where_is
from tumor_ratio.ilastik.versions import Version

MAX_LABELS = 255
SLICES = re.compile(r"\[\s*\d{1,9}:\d{1,9}(\s*,\s*\d{1,9}:\d{1,9})*\s*\]")
FREE_ORDER = ((1, 3, 3, 1, 2), (1, 4, 0, -2, 7))
"""From 1.3.3post2 to 1.4.0b7, labels have the image's own order of axes, without saying so; others
have ilastik's (`tzyxc`), and later ones say it."""
FIVE_AXES_BEFORE = (1, 2)
"""Before, all labels had the five axes `txyzc`."""


@dataclass(frozen=True)
class LabelBlock:
    """Labels of a rectangle.

    Parameters
    ----------
    y_px, x_px : its corner in the image.
    values : (h, w) uint8; 0 is unlabelled, k the k-th label.
    where : the block's place in the project.
    """

    y_px: int
    x_px: int
    values: np.ndarray
    where: Where


def read_blocks(
    group: h5py.Group, axes: str, version: Version, n_labels: int, max_px: int
) -> tuple[LabelBlock, ...]:
    """The blocks of one image.

    Parameters
    ----------
    group : `/PixelClassification/LabelSets/labels000`.
    axes : order of the image's axes.
    version : of the ilastik that wrote the project.
    n_labels : how many labels have a name.
    max_px : of the image, which blocks cannot exceed: they do not lie on each other.

    Raises
    ------
    IlastikError
        If a block is damaged, has labels without a name, or lies in depth or time, or if they are
        too many.
    """
    blocks = []
    for name in sorted(group):
        dataset = item_of(group, name)
        where = where_is(group).inside(name)
        if isinstance(dataset, h5py.Group):
            raise where.error("masked labels, which are not read", SAVE_AGAIN)
        max_px -= dataset.size or 0
        if max_px < 0:
            raise where.error("blocks of more pixels in all than the image has", SAVE_AGAIN)
        blocks.append(_read_block(dataset, axes, version, n_labels, where))
    return tuple(blocks)


def _read_block(
    dataset: h5py.Dataset, axes: str, version: Version, n_labels: int, where: Where
) -> LabelBlock:
    slices = _slices(attribute(dataset, "blockSlice"), where)
    if dataset.dtype.kind not in "ui":
        raise where.error(f"labels of type {dataset.dtype}", SAVE_AGAIN)
    shape = tuple(stop - start for start, stop in slices)
    if shape != dataset.shape:
        raise where.error(f"labels of shape {dataset.shape} for a slice of {shape} px", SAVE_AGAIN)
    order = _block_axes(attribute(dataset, "axistags"), slices, axes, version, where)
    starts = dict(zip(order, (start for start, _ in slices), strict=True))
    for key, words in (("z", "depth"), ("t", "time")):
        if starts.get(key, 0):
            raise where.error(f"labels at {starts[key]} in {words}", "label flat images")
    values = as_yxc(read_array(dataset), order, where)
    if values.shape[2] != 1 or starts.get("c", 0):
        raise where.error("labels of several channels", SAVE_AGAIN)
    highest = int(values.max(initial=0))
    if highest > n_labels or int(values.min(initial=0)) < 0:
        raise where.error(
            f"a label of value {highest}, where {n_labels} labels have names",
            "name the label in ilastik, or erase it",
        )
    return LabelBlock(starts["y"], starts["x"], values[..., 0].astype(np.uint8), where)


def _slices(text: object, where: Where) -> list[tuple[int, int]]:
    if not isinstance(text, str) or len(text) > 200 or not SLICES.fullmatch(text):
        raise where.error("no blockSlice that says where the labels belong", SAVE_AGAIN)
    pairs = [part.split(":") for part in text.strip("[]").split(",")]
    return [(int(start), int(stop)) for start, stop in pairs]


def _block_axes(
    tags: object,
    slices: Sequence[tuple[int, int]],
    axes: str,
    version: Version,
    where: Where,
) -> str:
    """Order of a block's axes; for blocks without axistags, the first that fits them."""
    if isinstance(tags, str):
        order = axes_of_tags(tags, where)
        if len(order) != len(slices):
            raise where.error(f"{len(slices)} slices for the axes '{order}'", SAVE_AGAIN)
        return order
    free = axes if "c" in axes else axes + "c"
    fixed = "".join(key for key in KEYS if key in free)
    is_free = FREE_ORDER[0] <= version <= FREE_ORDER[1]
    orders = [free, fixed] if is_free else [fixed, free]
    orders = ["txyzc", *orders] if version < FIVE_AXES_BEFORE else [*orders, "txyzc"]
    for order in [*orders, "tzyxc"]:
        if len(order) == len(slices) and slices[order.index("c")] == (0, 1):
            return order
    raise where.error(f"{len(slices)} slices for an image of axes '{axes}'", SAVE_AGAIN)


def label_image(blocks: Sequence[LabelBlock], height: int, width: int) -> np.ndarray:
    """Labels of a whole image.

    Parameters
    ----------
    blocks : as `read_blocks` gives them.
    height, width : of the image, in px.

    Returns
    -------
    (H, W) uint8
        0 where nothing is labelled.

    Raises
    ------
    IlastikError
        If a block leaves the image.
    """
    check_blocks(blocks, height, width)
    labels = np.zeros((height, width), np.uint8)
    for block in blocks:
        rows, columns = block.values.shape
        window = labels[block.y_px : block.y_px + rows, block.x_px : block.x_px + columns]
        np.copyto(window, block.values, where=block.values > 0)
    return labels


def check_blocks(blocks: Sequence[LabelBlock], height: int, width: int) -> None:
    """Raise `IlastikError` for blocks that leave an image."""
    for block in blocks:
        rows, columns = block.values.shape
        if block.y_px + rows > height or block.x_px + columns > width:
            raise block.where.error(
                f"labels in rows {block.y_px} to {block.y_px + rows} and columns {block.x_px} to "
                f"{block.x_px + columns}, outside the image of {height} x {width} px",
                "put the image there that was labelled, or label again",
            )
