"""Reading a slide through a transform: the pixels of one section in the frame of its neighbour."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.transform import Transform

MESH_PX = 16
"""Side of the cells inside which the transform is taken as bilinear."""

MARGIN_PX = 4
STRIP_PX = 1024


def read_mapped(
    slide: Slide,
    transform: Transform,
    corner_um: tuple[float, float],
    size_px: int | tuple[int, int],
    mpp: float,
) -> RgbImage:
    """Read what a rectangle of the transform's source shows on the slide it leads to.

    Parameters
    ----------
    slide : the slide on which `transform` ends.
    transform : from the rectangle's frame to the slide, micrometres.
    corner_um : top-left corner of the rectangle in its own frame, micrometres.
    size_px : pixels of the result: a side, or (width, height).
    mpp : their size in the rectangle's frame.

    Returns
    -------
    (H, W, 3) uint8
        Bicubic in the slide's pixels at `mpp`; white outside the slide. With the identity, the
        slide's own pixels.
    """
    if transform.is_identity:
        return slide.read(corner_um[0] / slide.mpp, corner_um[1] / slide.mpp, size_px, mpp)
    whole_width, whole_height = (size_px, size_px) if isinstance(size_px, int) else size_px
    out = np.empty((whole_height, whole_width, 3), dtype=np.uint8)
    for top in range(0, whole_height, STRIP_PX):
        for left in range(0, whole_width, STRIP_PX):
            width, height = min(STRIP_PX, whole_width - left), min(STRIP_PX, whole_height - top)
            corner = (corner_um[0] + left * mpp, corner_um[1] + top * mpp)
            out[top : top + height, left : left + width] = _read_block(
                slide, transform, corner, width, height, mpp
            )
    return out


def _read_block(
    slide: Slide,
    transform: Transform,
    corner_um: tuple[float, float],
    width: int,
    height: int,
    mpp: float,
) -> RgbImage:
    xs = _cell_borders(width)
    ys = _cell_borders(height)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float64)
    nodes_um = transform.forward(grid * mpp + np.asarray(corner_um))
    nodes_px = nodes_um.reshape(len(ys), len(xs), 2) / mpp  # in the slide's pixels at `mpp`
    left, top = np.floor(nodes_px.min(axis=(0, 1))).astype(int) - MARGIN_PX
    right, bottom = np.ceil(nodes_px.max(axis=(0, 1))).astype(int) + MARGIN_PX
    to_level_0 = mpp / slide.mpp
    source = slide.read(
        left * to_level_0, top * to_level_0, (int(right - left), int(bottom - top)), mpp
    )
    local = nodes_px - np.array([left, top])
    mesh = []
    for row in range(len(ys) - 1):
        for column in range(len(xs) - 1):
            box = (xs[column], ys[row], xs[column + 1], ys[row + 1])
            quad = (  # Pillow wants north-west, south-west, south-east, north-east
                *local[row, column],
                *local[row + 1, column],
                *local[row + 1, column + 1],
                *local[row, column + 1],
            )
            mesh.append((box, tuple(float(value) for value in quad)))
    warped = Image.fromarray(source).transform(
        (width, height),
        Image.Transform.MESH,
        mesh,
        Image.Resampling.BICUBIC,
        fillcolor=(255, 255, 255),
    )
    return np.array(warped)


def _cell_borders(length: int) -> list[int]:
    cells = math.ceil(length / MESH_PX)
    return [*range(0, cells * MESH_PX, MESH_PX), length]
