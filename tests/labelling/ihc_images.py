"""Ki-67 images measured as a user's slides are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.ratios import slide_ratio
from tumor_ratio.models.segmenter import locate_segmenter


def ihc_pair(folder: Path, name: str, rgb: np.ndarray, mpp: float) -> SlidePair:
    """A slide of its own, without H&E."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(folder / f"{name}.png")
    return SlidePair(name, name, None, open_slide(folder / f"{name}.png", slide_id=name, mpp=mpp))


def whole_region(pair: SlidePair) -> pd.DataFrame:
    """The slide's square, as a table of regions."""
    slide = pair.frame
    side = min(slide.width_px, slide.height_px)
    return regions_table([Region(pair.slide_id, "", "tile", 0, 0, side, slide.mpp)])


def nuclei_of(pair: SlidePair, regions: pd.DataFrame | None = None, **options) -> pd.DataFrame:
    """What the shipped network finds in it."""
    regions = whole_region(pair) if regions is None else regions
    return segment_slide(
        pair, regions, "ihc", locate_segmenter("shipped"), SegmentationParams(**options)
    )


def ratio_of(folder: Path, name: str, rgb: np.ndarray, mpp: float) -> float:
    """The measured ratio of an image."""
    return slide_ratio(nuclei_of(ihc_pair(folder, name, rgb, mpp)))
