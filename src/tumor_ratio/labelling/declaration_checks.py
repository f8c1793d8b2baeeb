"""Slides that show something else than declared are refused: no number is made of them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.stain_kind import eosin_share, is_dark_field

Section = Literal["he", "ihc"]
MOST_EOSIN = 0.4
"""Share of stained pixels; H&E shows over 0.75, hematoxylin-DAB under 0.05."""
LEAST_MEDIAN_UM, MOST_MEAN_UM = 4.2, 17.0
"""Bounds of a section's nuclear diameters, see `diameters_um`. Sections 4 um thick show medians of
6 to 8 um and means of 7 to 9, large tumor nuclei up to 14. A pixel size declared four times too
large gives means of 19 to 29 um, one four times too small medians under 4."""
ENOUGH_NUCLEI = 50


def refuse_other_stains(slide_id: str, overview: RgbImage, section: Section) -> None:
    """Check an overview (H, W, 3) uint8 against the section's declared stain.

    Raises
    ------
    SlideError
        If it shows light on dark ground (fluorescence), or is to be IHC and is eosin-pink.
    """
    if is_dark_field(overview):
        raise SlideError(
            slide_id,
            f"its {section} slide is dark without any glass, as fluorescence is",
            "give a brightfield scan, or name it in segmentation.trusted_slides",
        )
    share = eosin_share(overview) if section == "ihc" else 0.0
    if share > MOST_EOSIN:
        raise SlideError(
            slide_id,
            f"its ihc slide looks like H&E: {share:.0%} of what is stained is eosin-pink",
            "check whether he_path and ihc_path are swapped, or name it in "
            "segmentation.trusted_slides",
        )


def diameters_um(area_um2: NDArray[np.floating]) -> tuple[float, float]:
    """Median diameter of nuclei (N,), and their mean weighted by area, which debris and pieces of
    nuclei do not move; NaN without nuclei.
    """
    if len(area_um2) == 0:
        return float("nan"), float("nan")
    diameter = np.sqrt(np.asarray(area_um2) * 4 / np.pi)
    return float(np.median(diameter)), float(np.average(diameter, weights=area_um2))


def refuse_impossible_sizes(
    slide_id: str, area_um2: NDArray[np.floating], mpp: float, section: Section
) -> None:
    """Check the nuclei (N,) of a section, where there are 50 or more.

    Raises
    ------
    SlideError
        If no section's nuclei are so small or so large: the pixel size is wrong.
    """
    if len(area_um2) < ENOUGH_NUCLEI:
        return
    median_um, mean_um = diameters_um(area_um2)
    if median_um < LEAST_MEDIAN_UM or mean_um > MOST_MEAN_UM:
        raise SlideError(
            slide_id,
            f"its {section} slide's nuclei are {median_um:.1f} um wide in the median and "
            f"{mean_um:.1f} um in the mean at {mpp:g} um/px, which no tissue's are",
            f"correct {section}_mpp in the manifest, or name it in segmentation.trusted_slides",
        )
