"""Positivity without nuclei: the two pixel rules that labels are often made by, for comparison.

Both count pixels, not nuclei: cytoplasm, dirt and unspecific DAB count as well.
"""

from __future__ import annotations

import math

import numpy as np
from skimage.color import rgb2hed
from skimage.filters import threshold_otsu

from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.stains import H_DAB, separate

STAINED_OD = 0.15
"""A pixel with less of both stains, as decadic densities, is background."""


def otsu_ratio(rgb: RgbImage) -> float:
    """Brown over stained pixels, each stain above its own Otsu threshold: the naive way.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, an IHC image.

    Returns
    -------
    float
        In [0, 1]; NaN where neither stain has two classes of pixels.

    Notes
    -----
    scikit-image's `rgb2hed` has no bound on density: a few near-black pixels stretch its scale, and
    the threshold of hematoxylin rises above every nucleus.
    """
    hed = rgb2hed(rgb)
    if min(np.ptp(hed[..., 0]), np.ptp(hed[..., 2])) == 0:
        return math.nan
    blue, brown = (hed[..., channel] > threshold_otsu(hed[..., channel]) for channel in (0, 2))
    stained = int((blue | brown).sum())
    return float(brown.sum() / stained) if stained else math.nan


def recolor_ratio(rgb: RgbImage) -> float:
    """Brown over stained pixels, each pixel of the stain that it holds more of.

    The label of the work that the study builds on: the image is recoloured into brown, blue and
    background, and pixels are counted.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, an IHC image.

    Returns
    -------
    float
        In [0, 1]; NaN where no pixel is stained.
    """
    amounts = separate(rgb, H_DAB)
    hematoxylin, dab = amounts[..., 0], amounts[..., 1]
    stained = np.maximum(hematoxylin, dab) > STAINED_OD
    brown = stained & (dab > hematoxylin)
    return float(brown.sum() / stained.sum()) if stained.any() else math.nan
