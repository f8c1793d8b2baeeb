"""How ratios are measured on translations: as on real Ki-67."""

from __future__ import annotations

from dataclasses import dataclass

from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.models.segmenter import SegmenterRef


@dataclass(frozen=True)
class Measuring:
    """How ratios are measured, on real Ki-67 as on virtual.

    Parameters
    ----------
    model : finds nuclei.
    segmentation : calls them; without a check of the slide's stain.
    min_nuclei : with fewer a ratio is undefined.
    """

    model: SegmenterRef
    segmentation: SegmentationParams
    min_nuclei: int
