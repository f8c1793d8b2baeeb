"""How far the ratios of two neighbouring sections differ: what no estimator can be asked to beat.

The mean squared difference V = E (Y_1 - Y_2)^2 falls with the number of nuclei in a region and with
the region's size; here it is taken at one size, that of the regions given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tumor_ratio.metrics.aggregation import Interval, slide_macro, slide_means, student_interval
from tumor_ratio.metrics.agreement import absolute_error, squared_error
from tumor_ratio.metrics.figure_ranges import cut_to_range


@dataclass(frozen=True)
class Consistency:
    """Difference between two ratios of the same regions.

    Parameters
    ----------
    mae : slide-macro mean of |Y_1 - Y_2|.
    interval : Student's t interval of `mae` over slides, cut at 0.
    mse : slide-macro mean of (Y_1 - Y_2)^2, the V above.
    n_slides, n_regions : behind the figures; regions with an undefined ratio are left out.
    """

    mae: float
    interval: Interval
    mse: float
    n_slides: int
    n_regions: int


def consistency(
    first: ArrayLike, second: ArrayLike, slide_ids: ArrayLike, confidence: float = 0.95
) -> Consistency:
    """Consistency of two ratios of the same regions.

    Parameters
    ----------
    first, second : (N,) ratios of each region, e.g. of the two sections, or by two methods.
    slide_ids : (N,) the slide of each.
    confidence : of the interval.

    Returns
    -------
    Consistency
        NaN and zero counts where no region has both ratios.
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    both = np.isfinite(one) & np.isfinite(two)
    slides = np.asarray(slide_ids)[both]
    if not both.any():
        return Consistency(math.nan, Interval(math.nan, math.nan), math.nan, 0, 0)
    absolute = slide_means(absolute_error(one[both], two[both]), slides)
    mae = float(absolute.mean())
    return Consistency(
        mae=mae,
        interval=cut_to_range("mae", student_interval(absolute, confidence), mae),
        mse=slide_macro(squared_error(one[both], two[both]), slides),
        n_slides=len(absolute),
        n_regions=int(both.sum()),
    )
