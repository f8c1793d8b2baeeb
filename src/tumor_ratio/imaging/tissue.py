"""Which pixels show tissue: the study's white rule, and a mask that also knows pen and black."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.stains import channel_density

Mask = npt.NDArray[np.bool_]
"""(H, W) bool."""

SMOOTHING_UM = 4.0
GLASS_OD = 0.06
"""Mean optical density, smoothed, below which a pixel shows glass. Stained tissue, stroma of a pale
IHC section included, lies above; scanners' glass and its dirt below 0.05."""

PALE_TISSUE = (0.04, 10.0)
"""A mean density above the first and a colour spread (largest less smallest channel) above the
second: pale, but coloured as no glass is."""

INK_OD = 0.12
"""Ink absorbs red more than green by over this; glass scanned with a green tint does not."""

BLACK_OD = 0.75
BLACK_SPREAD = 25.0
MARK_UM = 12.0
"""Pen strokes and black edges are wider than this, dark nuclei are not."""

HOLE_UM2 = 400.0
SPECK_UM2 = 400.0


def white_fraction(rgb: RgbImage, *, white_level: int) -> float:
    """Share of pixels that are white, in [0, 1]: the study's rule for empty tiles.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    white_level : a pixel is white when all three channels reach it.

    Raises
    ------
    ValueError
        If `rgb` is not three-channel uint8, or has no pixel.
    """
    _check(rgb)
    red, green, blue = np.moveaxis(rgb, 2, 0)
    return float((np.minimum(np.minimum(red, green), blue) >= white_level).mean())


def tissue_mask(rgb: RgbImage, mpp: float) -> Mask:
    """Pixels that show stained tissue.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    mpp : micrometres per pixel; 1 to 16 serve well.

    Returns
    -------
    (H, W) bool
        True on tissue; gaps between cells (under 400 um2) are closed and specks removed. False on
        glass, on green and blue pen, and on black: marker, slide edges, padding.

    Raises
    ------
    ValueError
        If `rgb` is not three-channel uint8, or has no pixel.

    Notes
    -----
    Hematoxylin, eosin and DAB all absorb green at least about as strongly as red, pen inks in
    green and blue do not; that is how they are told apart. Red ink cannot be told from red cells
    by colour and stays.
    """
    _check(rgb)
    sigma_px = SMOOTHING_UM / mpp
    # Channel by channel: numpy reduces an axis of three pixel by pixel, ten times as slowly.
    channels = [ndimage.gaussian_filter(rgb[..., c].astype(np.float32), sigma_px) for c in range(3)]
    od = [channel_density(np.clip(np.rint(c), 0, 255).astype(np.uint8)) for c in channels]
    highest = np.maximum(np.maximum(channels[0], channels[1]), channels[2])
    spread = highest - np.minimum(np.minimum(channels[0], channels[1]), channels[2])
    mean_od = (od[0] + od[1] + od[2]) / np.float32(3)
    pale_od, pale_spread = PALE_TISSUE
    tissue = (mean_od > GLASS_OD) | ((mean_od > pale_od) & (spread > pale_spread))
    tissue &= ~_marks(od, spread, mpp)
    return _without_specks(tissue, mpp)


def tissue_fraction(rgb: RgbImage, mpp: float) -> float:
    """Share of pixels that show stained tissue, in [0, 1]; see `tissue_mask`."""
    return float(tissue_mask(rgb, mpp).mean())


def _marks(od: list[npt.NDArray[np.float32]], spread: npt.NDArray[np.float32], mpp: float) -> Mask:
    red, green, blue = od
    greenish = (red > 1.25 * green) & (blue > 1.1 * green)
    bluish = (red > 1.6 * green) & (spread > 40)
    ink = (greenish | bluish) & (red - green > INK_OD)
    black = (np.minimum(np.minimum(red, green), blue) > BLACK_OD) & (spread < BLACK_SPREAD)
    width_px = max(1, round(MARK_UM / mpp))
    dark = ink | black
    if not dark.any():
        return dark
    wide = ndimage.binary_opening(dark, np.ones((width_px, width_px)))
    wide = ndimage.binary_dilation(wide, iterations=max(1, round(3 * SMOOTHING_UM / mpp)))
    # A stroke's rim fades into the glass: what is connected with it and has its hue belongs to it.
    return ndimage.binary_propagation(wide, mask=wide | greenish | bluish)


def _without_specks(tissue: Mask, mpp: float) -> Mask:
    labels, count = ndimage.label(tissue)
    if count:
        areas = np.bincount(labels.ravel()) * mpp**2
        areas[0] = 0.0
        tissue = (areas >= SPECK_UM2)[labels]
    holes, count = ndimage.label(~tissue)
    if count:
        areas = np.bincount(holes.ravel()) * mpp**2
        areas[0] = np.inf
        tissue = tissue | (areas < HOLE_UM2)[holes]
    return tissue


def _check(rgb: RgbImage) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"expected (H, W, 3) uint8 with at least one pixel, got {rgb.shape}")
