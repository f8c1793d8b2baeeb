"""Optical density and the separation of brightfield stains.

Light that passes through stained tissue is absorbed in proportion to the amount of stain, so the
logarithms of the intensities add up (Lambert-Beer): the optical density of a pixel is a sum of
stain vectors, and their amounts follow from a linear solve (Ruifrok and Johnston 2001, Anal.
Quant. Cytol. Histol. 23:291). Densities here are decadic, as in QuPath, so that its thresholds
apply (a nucleus is Ki-67 positive at a mean DAB density over 0.2); scikit-image's are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
"""(H, W, 3) uint8, red, green, blue."""
DensityImage = NDArray[np.float32]
"""(H, W, 3) float32, decadic optical density, or amounts of three stains."""

MAX_OD = float(-np.log10(1 / 256))
"""The density of a black pixel, 2.408: the scale ends there, so that near-black pixels, whose true
density an 8-bit image cannot hold, do not stretch it."""

_OD_OF_VALUE = (-np.log10((np.arange(256) + 1) / 256)).astype(np.float32)


@dataclass(frozen=True)
class StainVectors:
    """Two stains as optical-density directions; the third direction, their cross product, takes the
    residual.

    Parameters
    ----------
    first, second : the stains' (red, green, blue) densities; any length over 0, not parallel.
    """

    first: tuple[float, float, float]
    second: tuple[float, float, float]

    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) float64, one unit vector a row: first stain, second stain, residual.

        Raises
        ------
        ValueError
            If a vector is zero, or the two are parallel.
        """
        rows = np.array([self.first, self.second], dtype=np.float64)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if np.any(lengths == 0):
            raise ValueError("a stain vector must not be zero")
        rows /= lengths
        residual = np.cross(rows[0], rows[1])
        length = np.linalg.norm(residual)
        if length < 1e-6:
            raise ValueError("the two stain vectors are parallel and cannot be separated")
        return np.vstack([rows, residual / length])


H_DAB = StainVectors(first=(0.65, 0.70, 0.29), second=(0.27, 0.57, 0.78))
"""Hematoxylin and DAB, QuPath's defaults (Bankhead et al. 2017, Sci. Rep. 7:16878)."""

H_E = StainVectors(first=(0.65, 0.70, 0.29), second=(0.07, 0.99, 0.11))
"""Hematoxylin and eosin (Ruifrok and Johnston 2001)."""


def optical_density(rgb: RgbImage) -> DensityImage:
    """Decadic optical density, `-log10((I + 1) / 256)`, in [0, `MAX_OD`].

    Parameters
    ----------
    rgb : (..., 3) uint8
        255 is white and has density 0.

    Raises
    ------
    ValueError
        If `rgb` is not three-channel uint8.
    """
    if rgb.dtype != np.uint8 or rgb.shape[-1:] != (3,):
        raise ValueError(f"expected (..., 3) uint8, got {rgb.shape} {rgb.dtype}")
    return channel_density(rgb)


def channel_density(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decadic optical density of 8-bit intensities of any shape; see `optical_density`."""
    return _OD_OF_VALUE[values]


def separate(rgb: RgbImage, vectors: StainVectors = H_DAB) -> DensityImage:
    """Amounts of the two stains and the residual at each pixel.

    Parameters
    ----------
    rgb : (..., 3) uint8
    vectors : the two stains.

    Returns
    -------
    (..., 3) float32
        First stain, second stain, residual, as densities along their unit vectors. An amount is
        negative where a pixel's colour lies beyond the other stain's.
    """
    return optical_density(rgb) @ np.linalg.inv(vectors.matrix()).astype(np.float32)


def recompose(amount: NDArray[np.float32], vector: tuple[float, float, float]) -> RgbImage:
    """The picture that a single stain would give.

    Parameters
    ----------
    amount : (H, W) float32
        Density along the stain's unit vector; negative amounts count as none.
    vector : the stain's (red, green, blue) densities.

    Returns
    -------
    (H, W, 3) uint8
        White where there is no stain.
    """
    unit = np.asarray(vector, dtype=np.float32) / np.float32(np.linalg.norm(vector))
    od = np.maximum(amount, 0)[..., None] * unit
    return np.clip(np.rint(np.power(10.0, -od) * 256 - 1), 0, 255).astype(np.uint8)
