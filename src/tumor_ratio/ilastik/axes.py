"""The order of an array's axes: `t`, `z`, `y`, `x` and `c`, and what of it is a flat image.

vigra's axistags are JSON; without them ilastik guesses by the number of axes, as is done here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from tumor_ratio.ilastik.errors import Where

KEYS = "tzyxc"
GUESSED = {2: "yx", 3: "zyx", 4: "zyxc", 5: "tzyxc"}
MOST_GUESSED_CHANNELS = 4
"""ilastik takes the last of three axes for channels up to here, else the first for depth."""

FLAT_ONLY = "only flat images are read: export the planes as single images and label those"


def axes_of_tags(text: str, where: Where) -> str:
    """Axis order such as `yxc` from vigra's JSON.

    Raises
    ------
    IlastikError
        If it is no such JSON, or names an axis twice or one that is not among `t z y x c`.
    """
    try:
        axes = "".join(tag["key"] for tag in json.loads(text)["axes"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise where.error("axistags that are no axistags", "save the project again") from None
    return checked_axes(axes, where)


def checked_axes(axes: str, where: Where) -> str:
    """The order itself, where it is one; raises `IlastikError` where it is none."""
    if len(set(axes)) != len(axes) or set(axes) - set(KEYS) or not {"y", "x"} <= set(axes):
        raise where.error(
            f"axis order '{axes[:20]}', which is not of '{KEYS}' with y and x",
            "set the axes in ilastik's dataset properties",
        )
    return axes


def tags_of_axes(axes: str) -> str:
    """Axistags (JSON) of an axis order, as ilastik writes it."""
    kinds = {"c": 1, "t": 8}  # vigra's flags: 1 channels, 2 space, 8 time
    tags = [
        {"key": key, "typeFlags": kinds.get(key, 2), "resolution": 0, "description": ""}
        for key in axes
    ]
    return json.dumps({"axes": tags}, indent=2)


def guessed_axes(shape: Sequence[int], where: Where) -> str:
    """The order that ilastik assumes for an array without axistags."""
    if len(shape) == 3 and shape[2] <= MOST_GUESSED_CHANNELS:
        return "yxc"
    if len(shape) not in GUESSED:
        raise where.error(f"{len(shape)} axes, not 2 to 5", FLAT_ONLY)
    return GUESSED[len(shape)]


def flat_size(shape: Sequence[int], axes: str, where: Where) -> tuple[int, int, int]:
    """Height, width and channels of an array, whose depth and time must be 1.

    Raises
    ------
    IlastikError
        If the shape does not fit the axes, is empty, or is deep or long.
    """
    if len(shape) != len(axes):
        raise where.error(
            f"{len(shape)} sides for the axes '{axes}'",
            "set the axes in ilastik's dataset properties",
        )
    sides = dict(zip(axes, (int(side) for side in shape), strict=True))
    if min(sides.values()) < 1:
        raise where.error(f"an image of {' x '.join(map(str, shape))}, which is empty", FLAT_ONLY)
    for key, words in (("z", "planes in depth"), ("t", "points in time")):
        if sides.get(key, 1) > 1:
            raise where.error(f"{sides[key]} {words}", FLAT_ONLY)
    return sides["y"], sides["x"], sides.get("c", 1)


def as_yxc(array: np.ndarray, axes: str, where: Where) -> np.ndarray:
    """A flat image as (H, W, C), whatever the order of its axes; the same dtype.

    Raises
    ------
    IlastikError
        As `flat_size`.
    """
    height, width, channels = flat_size(array.shape, axes, where)
    order = [axes.index(key) for key in KEYS if key in axes]
    return np.ascontiguousarray(array.transpose(order).reshape(height, width, channels))
