"""Nuclei in a picture of their slide."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.outlines import unpack_outlines
from tumor_ratio.imaging.regions import Region
from tumor_ratio.metrics.ratios import slide_ratio
from tumor_ratio.reporting.figures.nuclei_overlay import NucleiTile

MPP = 0.5


def section_picture(
    pair: SlidePair, tile: Region, nuclei: pd.DataFrame, title: str, *, most_um: float
) -> NucleiTile:
    """The middle of a tile on the IHC slide's own pixels, where nuclei were segmented.

    Parameters
    ----------
    pair : with an IHC slide.
    tile : in the pair's frame.
    nuclei : `tumor_ratio.schemas.Nuclei` of the IHC slide.
    title : the beginning of its title.
    most_um : most of the tile's width that is shown: in more, nuclei would be too small to see.

    Raises
    ------
    SlideError
        If the slide is missing or cannot be read.
    """
    slide = pair.ihc
    if slide is None:
        raise SlideError(pair.slide_id, "has no IHC slide", "leave it out")
    centre_um = np.array([[tile.x_px, tile.y_px]]) * pair.frame.mpp + tile.side_um / 2
    if pair.he is not None:
        centre_um = pair.transform.forward(centre_um)
    x_um, y_um = centre_um[0].tolist()
    side_um = min(tile.side_um, most_um)
    corner = ((x_um - side_um / 2) / slide.mpp, (y_um - side_um / 2) / slide.mpp)
    return nuclei_tile(
        slide.read(*corner, round(side_um / MPP), MPP),
        nuclei,
        corner_px=corner,
        level0_mpp=slide.mpp,
        mpp=MPP,
        title=title,
    )


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
