"""Nuclei in a picture of their slide."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.imaging.outlines import unpack_outlines
from tumor_ratio.metrics.ratios import slide_ratio
from tumor_ratio.reporting.figures.nuclei_overlay import NucleiTile


def nuclei_tile(
    rgb: NDArray[np.uint8],
    nuclei: pd.DataFrame,
    *,
    corner_px: tuple[float, float],
    level0_mpp: float,
    mpp: float,
    title: str,
) -> NucleiTile:
    """A picture with those nuclei of its slide whose centroids lie in it.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 at `mpp`, upright in the slide.
    nuclei : `tumor_ratio.schemas.Nuclei` of the slide.
    corner_px : the picture's top left in level-0 pixels, of micrometres `level0_mpp`.
    mpp : micrometres a pixel of the picture.
    title : the beginning of its title; counts and ratio follow.
    """
    xy_um = (nuclei[["x_px", "y_px"]].to_numpy(dtype=np.float64) - corner_px) * level0_mpp
    height, width = rgb.shape[:2]
    extent_um = np.array([width, height]) * mpp
    inside = np.flatnonzero(((xy_um >= 0) & (xy_um < extent_um)).all(axis=1))
    own = nuclei.iloc[inside]
    polygons = unpack_outlines(own["outline"].tolist(), xy_um[inside])
    positive = own["positive"].to_numpy(dtype=bool)
    ratio = slide_ratio(own)
    stated = "too few for a ratio" if math.isnan(ratio) else f"ratio {ratio:.2f}"
    said = f"{title}: {positive.sum()} of {len(own)} positive, {stated}"
    return NucleiTile(rgb, [polygon / mpp for polygon in polygons], positive, said)
