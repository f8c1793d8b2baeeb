"""Outlines of the nuclei that a region's ratio counts, in the pixels of the region's picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.outlines import unpack_outlines
from tumor_ratio.imaging.regions import Region


class RegionOutlines(NamedTuple):
    """Polygons, (R, 2) float64 each: x and y in the picture's pixels; and which are positive."""

    polygons: list[NDArray[np.float64]]
    positive: NDArray[np.bool_]


def region_outlines(pair: SlidePair, region: Region, nuclei: pd.DataFrame) -> RegionOutlines:
    """IHC nuclei whose centroid lies in a region of the pair's frame.

    Each vertex goes through the pair's transform, as the picture's pixels do.

    Parameters
    ----------
    pair : with an IHC slide.
    region : in the pair's frame; its picture is what `SlidePair.read_ihc` gives.
    nuclei : `tumor_ratio.schemas.Nuclei` of the IHC slide.

    Raises
    ------
    SlideError
        If there is no IHC slide.
    """
    scale = pair.frame.mpp / region.mpp  # pixels of the picture by level-0 pixel
    side = region.size_px / scale
    x, y = (nuclei[f"{axis}_he_px"].to_numpy(np.float64) for axis in ("x", "y"))
    inside = (
        (x >= region.x_px) & (x < region.x_px + side)
        & (y >= region.y_px) & (y < region.y_px + side)
    )  # fmt: skip
    own = nuclei[inside]
    if own.empty or pair.ihc is None:
        return RegionOutlines([], np.zeros(0, bool))
    centroids_um = own[["x_px", "y_px"]].to_numpy(np.float64) * pair.ihc.mpp
    outlines = unpack_outlines(own["outline"].tolist(), centroids_um)
    ends = np.cumsum([len(outline) for outline in outlines])[:-1]
    corner = np.array([region.x_px, region.y_px])
    points = (pair.ihc_to_frame_px(np.concatenate(outlines) / pair.ihc.mpp) - corner) * scale
    return RegionOutlines(np.split(points, ends), own["positive"].to_numpy(bool))
