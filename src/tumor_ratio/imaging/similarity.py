"""How alike two neighbouring sections look: the study's SSIM, and how their structure agrees."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from tumor_ratio.imaging.gaussian import gaussian_blur
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.ssim_sums import SSIM_WINDOW_PX, ssim_row_sums
from tumor_ratio.imaging.stains import channel_density

MIN_CONTRAST_OD = 0.005
"""Standard deviation of the structure under which a tile shows none: glass with noise,
compression and a shade of uneven light stays below."""

PIXELS_PER_BLUR = 5
"""A blur is computed on pixels of its standard deviation over this, or smaller ones: it leaves
nothing finer, and its cost falls with the cube of the pixels' side."""

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
    norm = math.sqrt(float(np.vdot(he_map, he_map)) * float(np.vdot(ihc_map, ihc_map)))
    return float(np.clip(float(np.vdot(he_map, ihc_map)) / norm, -1.0, 1.0))


def _nuclear_structure(
    rgb: RgbImage, blur_px: float, background_px: float
) -> npt.NDArray[np.float32]:
    """Density between the two scales, on pixels as large as the blur allows."""
    od = np.minimum(channel_density(rgb[..., 0]), np.float32(MAX_NUCLEAR_OD))
    step = _step(blur_px)
    od = _mean_of_pixels(od, step)
    fine = gaussian_blur(od, _left_px(blur_px, step))
    return fine - _wide_blur(od, _left_px(background_px, step))


def _wide_blur(values: npt.NDArray[np.float32], sigma_px: float) -> npt.NDArray[np.float32]:
    """Blur with the border's values beyond the border, by way of larger pixels."""
    step = _step(sigma_px)
    height, width = values.shape
    # One larger pixel beyond the border holds what all further ones would.
    coarse = _mean_of_pixels(np.pad(values, step, mode="edge"), step)
    blurred = Image.fromarray(gaussian_blur(coarse, _left_px(sigma_px, step)))
    inside = (1.0, 1.0, 1 + width / step, 1 + height / step)
    return np.asarray(blurred.resize((width, height), Image.Resampling.BILINEAR, box=inside))


def _step(sigma_px: float) -> int:
    return max(1, int(sigma_px / PIXELS_PER_BLUR))


def _left_px(sigma_px: float, step: int) -> float:
    """Blur still due on pixels of `step`, in them: averaging over their positions blurs already."""
    return math.sqrt(sigma_px**2 - (step**2 - 1) / 12) / step


def _mean_of_pixels(values: npt.NDArray[np.float32], step: int) -> npt.NDArray[np.float32]:
    """Mean over squares of `step` pixels; those at the end are filled with the border's values."""
    if step == 1:
        return values
    padded = np.pad(values, [(0, -side % step) for side in values.shape], mode="edge")
    of_rows = padded[::step].copy()
    for row in range(1, step):
        of_rows += padded[row::step]
    total = of_rows[:, ::step].copy()
    for column in range(1, step):
        total += of_rows[:, column::step]
    return total / np.float32(step * step)


def _check_pair(first: RgbImage, second: RgbImage) -> None:
    for rgb in (first, second):
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
            raise ValueError(f"expected (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    if first.shape != second.shape:
        raise ValueError(f"the images differ in shape: {first.shape} and {second.shape}")
