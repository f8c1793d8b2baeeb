"""Planes on coarser pixels and back, for what varies slowly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def block_means(plane: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Means of square blocks of a plane.

    Parameters
    ----------
    plane : (H, W) float32
    step : side of a block in pixels.

    Returns
    -------
    (ceil(H / step), ceil(W / step)) float32
        The last blocks are filled up with the plane's border.
    """
    if step == 1:
        return plane
    missing = [(0, -side % step) for side in plane.shape]
    padded = np.pad(plane, missing, mode="edge")
    height, width = (side // step for side in padded.shape)
    return padded.reshape(height, step, width, step).mean(axis=(1, 3), dtype=np.float32)


def enlarged(plane: NDArray[Any], step: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Each pixel of a plane as a block, cut to `shape`: undoes `block_means`."""
    return plane.repeat(step, axis=0).repeat(step, axis=1)[: shape[0], : shape[1]]
