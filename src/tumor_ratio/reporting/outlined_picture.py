"""A small picture with its nuclei outlined, drawn without a figure around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tumor_ratio.reporting.figures.nuclei_overlay import NEGATIVE, POSITIVE

LEAST_SIDE_PX: Final = 300
"""Smaller pictures are enlarged, so that outlines stay thin beside the nuclei."""


def outlined_picture(
    rgb: NDArray[np.uint8], polygons: Sequence[NDArray[np.float64]], positive: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """An enlarged copy with positive nuclei outlined in red and negative ones in blue.

    Parameters
    ----------
    rgb : (H, W, 3) uint8.
    polygons : (R, 2) each, x and y of vertices in the picture's pixels, pixel edges at integers.
    positive : (N,) of each polygon.

    Returns
    -------
    (H * k, W * k, 3) uint8
        k a whole number, at least 1.
    """
    factor = max(1, -(-LEAST_SIDE_PX // min(rgb.shape[:2])))
    size = (rgb.shape[1] * factor, rgb.shape[0] * factor)
    image = Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for polygon, is_positive in zip(polygons, positive, strict=True):
        points = [(float(x) * factor - 0.5, float(y) * factor - 0.5) for x, y in polygon]
        draw.line([*points, points[0]], fill=POSITIVE if is_positive else NEGATIVE, width=2)
    return np.array(image)
