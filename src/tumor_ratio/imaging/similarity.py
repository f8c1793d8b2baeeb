"""How alike two neighbouring sections look: the study's SSIM, and how their structure agrees."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.ssim_sums import SSIM_WINDOW_PX, ssim_row_sums
from tumor_ratio.imaging.stains import channel_density

MIN_CONTRAST_OD = 0.005
"""Standard deviation of the structure under which a tile shows none: glass with noise,
compression and a shade of uneven light stays below."""

PIXELS_PER_BLUR = 5
"""A wide blur is computed on pixels of its standard deviation over this: it leaves nothing finer,
and its cost falls with the cube of the pixels' side."""

MAX_NUCLEAR_OD = 0.4
"""Densities count up to here: dark and pale nuclei weigh alike, a fold or DAB does not decide."""


def ssim_rgb(first: RgbImage, second: RgbImage) -> float:
    """Structural similarity of two RGB images, in [-1, 1]; 1 for equal ones.

    Parameters
    ----------
    first, second : (H, W, 3) uint8, equal shapes, at least 7 px a side.

    Returns
    -------
    float
        Mean over the three channels and all 7 x 7 windows that lie in the image; to 1e-9 what
        `skimage.metrics.structural_similarity(first, second, channel_axis=2)` gives (uniform
        window, sample covariance, K1 = 0.01, K2 = 0.03), from running sums.

    Raises
    ------
    ValueError
        If the images differ in shape, are not three-channel uint8, or are too small.

    Notes
    -----
    Wang et al. 2004 (IEEE Trans. Image Process. 13:600). Across two stains it is a weak measure:
    two blank tiles score about 0.85, a full-tissue tile of true neighbours about 0.28.
    """
    _check_pair(first, second)
    if min(first.shape[:2]) < SSIM_WINDOW_PX:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW_PX} px a side, got {first.shape[:2]}")
    windows = (first.shape[0] - SSIM_WINDOW_PX + 1) * (first.shape[1] - SSIM_WINDOW_PX + 1)
    sums = ssim_row_sums(np.ascontiguousarray(first), np.ascontiguousarray(second))
    return float(sums.sum() / (3 * windows))


def structure_score(
    he: RgbImage,
    ihc: RgbImage,
    mpp: float,
    *,
    blur_um: float = 12.0,
    background_um: float = 80.0,
) -> float:
    """Agreement of the tissue's structure on the two stains, in [-1, 1].

    Parameters
    ----------
    he, ihc : (H, W, 3) uint8, the same tissue's square on both sections.
    mpp : micrometres per pixel.
    blur_um : standard deviation of the blur; structures finer than this differ between
        neighbouring sections anyway.
    background_um : standard deviation of the blur that is taken as the background; what is coarser
        (a tissue edge across the tile, uneven stain) would agree for many wrong partners too.

    Returns
    -------
    float
        Pearson correlation of the nuclear densities between the two scales; NaN where a side shows
        no structure (blank glass): nothing agrees there, and nothing disagrees.

    Raises
    ------
    ValueError
        If the images differ in shape or are not three-channel uint8, or the background is not
        coarser than the blur.

    Notes
    -----
    The density is the red channel's: hematoxylin absorbs red strongly, DAB less, eosin hardly, so
    that nuclei speak in both stains while the stains' own colours do not.
    """
    _check_pair(he, ihc)
    if not 0 < blur_um < background_um:
        raise ValueError("the background must be coarser than the blur")
    he_map, ihc_map = (
        _nuclear_structure(rgb, blur_um / mpp, background_um / mpp) for rgb in (he, ihc)
    )
    if min(he_map.std(), ihc_map.std()) < MIN_CONTRAST_OD:
        return math.nan  # blank: undefined, never a high score
    he_map -= he_map.mean()
    ihc_map -= ihc_map.mean()
    norm = math.sqrt(float((he_map**2).sum()) * float((ihc_map**2).sum()))
    return float(np.clip(float((he_map * ihc_map).sum()) / norm, -1.0, 1.0))


def _nuclear_structure(
    rgb: RgbImage, blur_px: float, background_px: float
) -> npt.NDArray[np.float64]:
    od = np.minimum(channel_density(rgb[..., 0]), MAX_NUCLEAR_OD).astype(np.float64)
    fine = ndimage.gaussian_filter(od, blur_px, mode="nearest")
    return fine - _wide_blur(od, background_px)


def _wide_blur(values: npt.NDArray[np.float64], sigma_px: float) -> npt.NDArray[np.float64]:
    """Gaussian blur with the border's values beyond the border, by way of larger pixels."""
    step = max(1, int(sigma_px / PIXELS_PER_BLUR))
    height, width = values.shape
    margin = step * math.ceil(4 * sigma_px / step)
    beyond = [(margin, margin + -length % step) for length in (height, width)]
    padded = np.pad(values, beyond, mode="edge")
    rows, columns = (length // step for length in padded.shape)
    coarse = padded.reshape(rows, step, columns, step).mean(axis=(1, 3))
    # Averaging over a pixel blurs already, by the variance of its step's positions.
    left_px = math.sqrt(sigma_px**2 - (step**2 - 1) / 12) / step
    blurred = ndimage.gaussian_filter(coarse, left_px, mode="nearest")
    found = ndimage.zoom(blurred, step, order=1, mode="nearest", grid_mode=True)
    return found[margin : margin + height, margin : margin + width]


def _check_pair(first: RgbImage, second: RgbImage) -> None:
    for rgb in (first, second):
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
            raise ValueError(f"expected (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    if first.shape != second.shape:
        raise ValueError(f"the images differ in shape: {first.shape} and {second.shape}")
