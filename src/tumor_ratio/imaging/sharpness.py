"""How sharp a region is, and which regions of a slide are out of focus."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from tumor_ratio.imaging.channels import channel_sum
from tumor_ratio.imaging.gaussian import gaussian_blur
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.stains import channel_density

FINE_UM = (0.7, 1.4)
"""Detail between these two blurs fades out of focus: the edges of nuclei, chromatin."""
COARSE_UM = 4.0
"""Nuclei themselves, between this blur and the second of `FINE_UM`, stay."""
WORKING_MPP = 0.5
COARSEST_MPP = 1.1
LEAST_CONTRAST_OD = 0.005

SHARP_QUANTILE = 0.75
RELATIVE = 0.70
"""Sharp regions of one slide, real or phantom, reach 0.72 of their upper quartile and more. Out of
focus by a blur of 1.2 um (standard deviation) they fall to 0.65 on phantoms, to 0.55 on a real
slide; by 1.5 um to 0.47 there."""
ABSOLUTE = 0.30
"""No sharp region has less, not even on phantoms with strong blur of their own."""
FEWEST_REGIONS = 8


def sharpness(rgb: RgbImage, mpp: float) -> float:
    """Fine detail over the contrast of nuclei: a ratio, so that pale regions are not blurred ones.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, a region of some 50 um or more.
    mpp : micrometres per pixel; up to 1 serves. Finer pixels than 0.5 are averaged first.

    Returns
    -------
    float
        std(G(0.7 um) - G(1.4 um)) / std(G(1.4 um) - G(4 um)), with G a Gaussian blur of the mean
        density. About 0.5 on sharp H&E, 0.3 out of focus. NaN where there is no contrast to judge
        by, or pixels are over 1.1 um.
    """
    if mpp > COARSEST_MPP:
        return math.nan
    step = max(1, math.floor(WORKING_MPP / mpp + 1e-6))
    if step > 1:
        rgb, mpp = np.asarray(Image.fromarray(rgb).reduce(step)), mpp * step
    density = channel_sum(channel_density(rgb)) / np.float32(3)
    fine, middle, coarse = (
        gaussian_blur(density, blur_um / mpp, mode="reflect") for blur_um in (*FINE_UM, COARSE_UM)
    )
    contrast = float(np.std(middle - coarse))
    return float(np.std(fine - middle)) / contrast if contrast >= LEAST_CONTRAST_OD else math.nan


def blurred(values: ArrayLike) -> NDArray[np.bool_]:
    """Which regions of one slide are out of focus.

    Parameters
    ----------
    values : (N,) `sharpness` of regions with tissue.

    Returns
    -------
    (N,) bool
        Below 0.30, or below 0.70 of the slide's upper quartile. The quartile needs eight regions,
        and where over half of a slide is blurred it lacks sharp regions to be compared with: there
        the first rule must do. NaN is not blurred: nothing can be said.
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    limit = ABSOLUTE
    if len(known) >= FEWEST_REGIONS:
        limit = max(limit, RELATIVE * float(np.quantile(known, SHARP_QUANTILE)))
    return np.less(numbers, limit)
