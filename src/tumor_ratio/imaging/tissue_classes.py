"""What an overview of an H&E slide shows: stained tissue, the organ's outline, pen, folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tumor_ratio.imaging.channels import brightest_channel, channel_sum, darkest_channel
from tumor_ratio.imaging.coarse_planes import block_means, enlarged
from tumor_ratio.imaging.folds import fold_mask
from tumor_ratio.imaging.gaussian import gaussian_blur
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.sharpness import blurred as blurred
from tumor_ratio.imaging.sharpness import sharpness as sharpness
from tumor_ratio.imaging.stains import DensityImage, channel_density
from tumor_ratio.imaging.tissue import (
    GLASS_OD,
    SMOOTHING_UM,
    Mask,
    tissue_and_marks,
    wide_marks,
    without_gaps,
)
from tumor_ratio.imaging.white_point import WhiteOd, against_white, white_od

EXCLUSION_REASONS = ("white", "blurred", "folded", "pen", "unreadable")
"""Why a region that is no plain glass has no ratio."""

OVERVIEW_MPP = 4.0
"""Pixels of this size serve best; at 8 um the masks still hold, but narrow folds fade."""

CLOSING_UM = 100.0
"""Radius that closes air spaces which are open to the outside. Alveoli are 200 um wide in man (Ochs
et al. 2004, Am. J. Respir. Crit. Care Med. 169:120) and smaller in rodents; what lies farther apart
are two pieces of tissue."""
CLOSING_MPP = 10.0

EDGE_UM = 8.0
"""The smoothed mask reaches at most so far into glass."""
CLEAR_SHARE, EDGE_SHARE = 0.1, 0.38
"""Of the slide's typical density: glass is below the first; beside glass, tissue is above the
second, which makes up for what pixels and blur spread (0.5 would lose pale tissue)."""
_EDGE_SMOOTHING_UM = 1.5

GREY_OD, GREY_SPREAD = 0.4, 15.0
"""Black felt pen that let light through: as dark as this in all channels, and without colour
(largest less smallest channel). Tissue so dark has a spread of 30 and more."""

_TYPICAL_UM = 100.0


@dataclass(frozen=True)
class TissueClasses:
    """Masks of one overview, (H, W) bool.

    Parameters
    ----------
    mpp : micrometres per pixel of the masks.
    stained : stained tissue, folds included; without pen, air spaces, lumens and holes of 400 um2
        and more.
    organ : the organ's outline: `stained` with the air spaces and all holes that it encloses.
    pen : pen strokes and black (marker, slide edges, padding); never `stained`.
    fold : the part of `stained` that lies in folds.
    """

    mpp: float
    stained: Mask
    organ: Mask
    pen: Mask
    fold: Mask

    @property
    def usable(self) -> Mask:
        """Stained tissue outside folds."""
        return self.stained & ~self.fold

    def area_um2(self, mask: Mask) -> float:
        """Area of one of the masks."""
        return float(np.count_nonzero(mask)) * self.mpp**2


def tissue_classes(overview_rgb: RgbImage, mpp: float) -> TissueClasses:
    """Tell apart what an overview of an H&E slide shows.

    Parameters
    ----------
    overview_rgb : (H, W, 3) uint8, the whole slide.
    mpp : micrometres per pixel; 2 to 8 serve, 4 best.

    Raises
    ------
    ValueError
        If `overview_rgb` is not three-channel uint8, or has no pixel.

    Notes
    -----
    Ink over tissue hides it: such pixels are pen and not tissue. Within the organ's outline lie
    lumens of any size that tissue encloses, a gut's or a bronchus' too.
    """
    tissue, pen = tissue_and_marks(overview_rgb, mpp)
    white = white_od(overview_rgb)
    grey = _grey_ink(overview_rgb, white, mpp)
    tissue, pen = tissue & ~grey, pen | grey
    od = np.maximum(channel_density(overview_rgb) - white, 0).astype(np.float32)
    stained = _with_sharp_edges(tissue, np.asarray(channel_sum(od) / 3, dtype=np.float32), mpp)
    return TissueClasses(
        mpp=mpp,
        stained=stained,
        organ=organ_outline(stained, mpp),
        pen=pen,
        fold=fold_mask(od, stained, mpp),
    )


def organ_outline(stained: Mask, mpp: float) -> Mask:
    """Stained tissue, closed by a disc of 100 um radius, with its holes filled.

    Parameters
    ----------
    stained : (H, W) bool
    mpp : micrometres per pixel.

    Returns
    -------
    (H, W) bool
        Computed on pixels of about 10 um, so that its outline is true to about as much.
    """
    step = max(1, round(CLOSING_MPP / mpp))
    height, width = stained.shape
    # Beyond the overview lies glass: the closing must not lean on the border.
    margin = int(CLOSING_UM / (mpp * step)) + 2
    rows, columns = (-(-side // step) for side in stained.shape)
    padded = np.pad(stained, ((0, rows * step - height), (0, columns * step - width)))
    share = padded.reshape(rows, step, columns, step).mean(axis=(1, 3))
    small = np.pad(share >= 0.5, margin)
    radius_px = CLOSING_UM / (mpp * step)
    if small.any():
        grown = ndimage.distance_transform_edt(~small) <= radius_px
        small = ndimage.distance_transform_edt(np.pad(grown, 1))[1:-1, 1:-1] > radius_px
        small = ndimage.binary_fill_holes(small)
    small = small[margin:-margin, margin:-margin]
    return stained | small.repeat(step, axis=0).repeat(step, axis=1)[:height, :width]


def _grey_ink(rgb: RgbImage, white: WhiteOd, mpp: float) -> Mask:
    smooth = gaussian_blur(against_white(rgb, white), SMOOTHING_UM / mpp, mode="reflect")
    brightest = brightest_channel(smooth)
    least_od = channel_density(np.rint(brightest).astype(np.uint8))
    colourless = brightest - darkest_channel(smooth) < GREY_SPREAD
    return wide_marks(colourless & (least_od > GREY_OD), colourless & (least_od > GLASS_OD), mpp)


def _with_sharp_edges(tissue: Mask, density: DensityImage, mpp: float) -> Mask:
    """Take the rim of glass off a smoothed mask, around air spaces as well as outside.

    The rim makes thin septa of lungs half as thick again. Pale clefts inside tissue stay: only what
    is near clear glass is judged.
    """
    step = max(1, round(_TYPICAL_UM / mpp / 4))
    inside = tissue.astype(np.float32)
    share, amount = (
        gaussian_blur(block_means(plane, step), _TYPICAL_UM / (mpp * step), mode="reflect")
        for plane in (inside, density * inside)
    )
    typical = enlarged(amount / np.maximum(share, 0.01), step, tissue.shape)
    smooth = gaussian_blur(density, _EDGE_SMOOTHING_UM / mpp, mode="reflect")
    reach = 2 * max(1, round(EDGE_UM / mpp)) + 1
    beside_glass = ndimage.maximum_filter(smooth < CLEAR_SHARE * typical, size=reach)
    return without_gaps(tissue & ~(beside_glass & (smooth < EDGE_SHARE * typical)), mpp)
