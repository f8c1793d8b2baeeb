"""How much of an H&E region is nuclei, without finding each: the area that hematoxylin stains.

Slides' ratios are means over regions weighted by nuclear area. Such weights need to be proportional
to that area, not equal to it, which a threshold on the hematoxylin density gives at a fraction of
the cost of a segmentation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from tumor_ratio.imaging.channels import darkest_channel
from tumor_ratio.imaging.gaussian import gaussian_blur
from tumor_ratio.imaging.stains import H_E, separate

SMOOTHING_UM = 1.0
LEAST, MOST = 0.15, 0.60
"""Bounds of the threshold, as decadic densities: a slide without nuclei has no two classes of
pixels, and Otsu's rule would then cut through one."""
WHITE_LEVEL = 225


def hematoxylin_threshold(patches: NDArray[np.uint8], mpp: float) -> float:
    """Hematoxylin density that separates nuclei from the rest of a slide's tissue.

    Parameters
    ----------
    patches : (N, H, W, 3) uint8, a sample of the slide's tissue.
    mpp : micrometres per pixel.

    Returns
    -------
    float
        Otsu's threshold over all pixels that are not white, within [0.15, 0.60].
    """
    amounts = [_hematoxylin(rgb, mpp)[darkest_channel(rgb) < WHITE_LEVEL] for rgb in patches]
    inside = np.concatenate(amounts) if amounts else np.empty(0, dtype=np.float32)
    if inside.size == 0 or np.ptp(inside) == 0:
        return LEAST
    return float(np.clip(threshold_otsu(inside), LEAST, MOST))


def hematoxylin_area_um2(rgb: NDArray[np.uint8], mpp: float, *, threshold: float) -> float:
    """Area whose hematoxylin density exceeds a threshold, in square micrometres.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    mpp : micrometres per pixel.
    threshold : decadic density, see `hematoxylin_threshold`.
    """
    return float((_hematoxylin(rgb, mpp) > threshold).sum() * mpp**2)


def _hematoxylin(rgb: NDArray[np.uint8], mpp: float) -> NDArray[np.float32]:
    return gaussian_blur(separate(rgb, H_E)[..., 0], SMOOTHING_UM / mpp, mode="reflect")
