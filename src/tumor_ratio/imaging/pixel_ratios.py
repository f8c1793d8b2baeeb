"""Positivity without nuclei: the two pixel rules that labels are often made by, for comparison.

Both count pixels, not nuclei: cytoplasm, dirt and unspecific DAB count as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from skimage.color import rgb2hed
from skimage.filters import threshold_otsu

from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.stains import H_DAB, separate

STRIP_PX = 256
STAINED_OD = 0.15
"""A pixel with less of both stains, as decadic densities, is background."""


class PixelCount(NamedTuple):
    """Brown pixels, and stained ones (brown or blue)."""

    brown: int
    stained: int

    @property
    def ratio(self) -> float:
        """Brown over stained, in [0, 1]; NaN where nothing is stained."""
        return self.brown / self.stained if self.stained else math.nan


def otsu_count(rgb: RgbImage) -> PixelCount:
    """Pixels of each stain above its own Otsu threshold: the naive way.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, an IHC image; counts nothing where a stain has no two classes of pixels.

    Notes
    -----
    scikit-image's `rgb2hed` has no bound on density: a few near-black pixels stretch its scale, and
    the threshold of hematoxylin rises above every nucleus.
    """
    stains = np.empty((2, *rgb.shape[:2]), np.float32)
    for top in range(0, len(rgb), STRIP_PX):  # its temporaries take 100 bytes a pixel
        hed = rgb2hed(rgb[top : top + STRIP_PX])
        stains[:, top : top + STRIP_PX] = hed[..., 0], hed[..., 2]
    if min(np.ptp(stain) for stain in stains) == 0:
        return PixelCount(0, 0)
    blue, brown = (stain > threshold_otsu(stain) for stain in stains)
    return PixelCount(int(brown.sum()), int((blue | brown).sum()))


def recolor_count(rgb: RgbImage) -> PixelCount:
    """Stained pixels, each of the stain that it holds more of.

    The label of the work that the study builds on: the image is recoloured into brown, blue and
    background, and pixels are counted.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, an IHC image.
    """
    amounts = separate(rgb, H_DAB)
    hematoxylin, dab = amounts[..., 0], amounts[..., 1]
    stained = np.maximum(hematoxylin, dab) > STAINED_OD
    return PixelCount(int((stained & (dab > hematoxylin)).sum()), int(stained.sum()))
