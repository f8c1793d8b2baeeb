"""Outlines of nuclei, packed: a star-convex polygon as a centre and its radii, 34 bytes each.

Offsets and radii count eighths of a micrometre, so that an outline needs nothing but its nucleus'
centroid and the slide's pixel size to be drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNIT_UM = 0.125
"""A radius reaches 31.9 um, a centre lies within 15.9 um of the centroid."""


def pack_outlines(offset_um: NDArray[np.floating], radii_um: NDArray[np.floating]) -> list[bytes]:
    """One value a nucleus.

    Parameters
    ----------
    offset_um : (N, 2) x and y of the polygon's centre, from the nucleus' centroid.
    radii_um : (N, R) from the centre, at equal angles from 0 on, towards growing y.
    """
    offsets = np.clip(np.rint(offset_um / UNIT_UM), -127, 127).astype(np.int8)
    radii = np.clip(np.rint(radii_um / UNIT_UM), 0, 255).astype(np.uint8)
    packed = np.concatenate([offsets.view(np.uint8), radii], axis=1)
    return [row.tobytes() for row in packed]


def unpack_outlines(packed: Sequence[bytes], xy_um: NDArray[np.floating]) -> list[NDArray]:
    """Polygons of nuclei.

    Parameters
    ----------
    packed : from `pack_outlines`.
    xy_um : (N, 2) centroids.

    Returns
    -------
    list of (R, 2) float64
        x and y of the vertices, in the centroids' frame.
    """
    polygons = []
    for value, centroid in zip(packed, np.asarray(xy_um, dtype=np.float64), strict=True):
        offset = np.frombuffer(value, np.int8, count=2) * UNIT_UM
        radii = np.frombuffer(value, np.uint8, offset=2) * UNIT_UM
        angle = np.arange(len(radii)) * (2 * np.pi / len(radii))
        rays = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        polygons.append(centroid + offset + radii[:, None] * rays)
    return polygons
