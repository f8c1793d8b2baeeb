"""The study's label: hematoxylin and DAB are separated, and each is segmented by itself.

Separation gives two pictures, one a stain; the nuclei found in each are counted as negative (in the
hematoxylin picture) and positive (in the DAB picture), and the ratio is D_area / (D_area + H_area).
A positive nucleus that also holds hematoxylin is found in both pictures and counts twice, so a
region whose nuclei are all positive comes out near 0.5. Kept to compare with published numbers.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.stains import H_DAB, RgbImage, recompose, separate
from tumor_ratio.models.segmentation import Segmenter
from tumor_ratio.models.segmentation_blocks import segment_blocks


def stain_objects(pair: SlidePair, tile: Region, segmenter: Segmenter) -> pd.DataFrame:
    """Objects of a tile's hematoxylin and DAB pictures, in the pair's frame.

    Returns
    -------
    pandas.DataFrame
        `x_he_px, y_he_px, area_um2, positive`: positive are the objects of the DAB picture.
    """
    scale = segmenter.mpp / pair.frame.mpp
    margin_px = segmenter.margin_px
    side_px = int(np.ceil(tile.side_um / segmenter.mpp))
    view = Region(
        slide_id=tile.slide_id,
        tile_id=tile.tile_id,
        kind=tile.kind,
        x_px=round(tile.x_px - margin_px * scale),
        y_px=round(tile.y_px - margin_px * scale),
        size_px=side_px + 2 * margin_px + segmenter.stride_px,
        mpp=segmenter.mpp,
    )
    amounts = separate(pair.read_ihc(view), H_DAB)
    parts = []
    for channel, vector in enumerate((H_DAB.first, H_DAB.second)):
        picture = recompose(amounts[..., channel], vector)
        for block, _, found, own in segment_blocks(
            partial(_part, picture, margin_px),
            np.array([[0, 0, side_px, side_px]], dtype=np.float64),
            segmenter,
            "single_stain",
        ):
            left, top = block.read_box[0] + margin_px, block.read_box[1] + margin_px
            parts.append(
                pd.DataFrame(
                    {
                        "x_he_px": view.x_px + (found.x_px[own] + left) * scale,
                        "y_he_px": view.y_px + (found.y_px[own] + top) * scale,
                        "area_um2": found.area_px[own] * segmenter.mpp**2,
                        "positive": channel == 1,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def _part(picture: RgbImage, margin_px: int, x: int, y: int, width: int, height: int) -> RgbImage:
    """A block of a picture whose first pixel lies `margin_px` before the tile's corner."""
    top, left = y + margin_px, x + margin_px
    return picture[top : top + height, left : left + width]
