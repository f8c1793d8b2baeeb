"""Gaussians and their derivatives at whole pixels, normalised as vigra and fastfilters do."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def half_kernel(order: int, sigma_px: float, window: float) -> NDArray[np.float32]:
    """The right half of a derivative of a Gaussian, its middle first.

    The other half mirrors it, with the opposite sign where `order` is 1. The kernel is sampled, not
    integrated. It is then normalised so that it differentiates exactly what it should: smoothing
    keeps a constant, the first derivative of a ramp is its slope, the second derivative of a
    constant is 0 and that of x^2 is 2 (U. Koethe, vigra, `Kernel1D::initGaussianDerivative`).

    Parameters
    ----------
    order : 0, 1 or 2.
    sigma_px : standard deviation in pixels, positive.
    window : the kernel ends at so many standard deviations, rounded to whole pixels.

    Returns
    -------
    (r + 1,) float32, r = floor(window * sigma_px + 1/2)
        A correlation with it takes `weight[k] * (right[k] + left[k])`, or minus for order 1.

    Raises
    ------
    ValueError
        If a derivative's window holds a single pixel.
    """
    radius = math.floor(window * sigma_px + 0.5)
    if order and not radius:
        raise ValueError(f"a window of {window} x {sigma_px} px is too small for a derivative")
    x = np.arange(radius + 1, dtype=np.float64)
    mirrored = np.where(x > 0, 2.0, 1.0)
    bell = np.exp(-0.5 * (x / sigma_px) ** 2)
    if order == 0:
        weights = bell / (mirrored * bell).sum()
    elif order == 1:
        weights = x * bell / (mirrored * x * x * bell).sum()
    else:
        weights = ((x / sigma_px) ** 2 - 1) * bell
        weights -= (mirrored * weights).sum() / (2 * radius + 1)
        weights /= (mirrored * x * x * weights).sum() / 2
    return weights.astype(np.float32)
