"""From regions to slides, and from slides to one figure with its interval.

The slide is the unit of independence: a figure is the mean over slides of the mean over the slide's
regions, so a slide with many regions weighs as much as one with few.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

FloatArray = NDArray[np.float64]


class Interval(NamedTuple):
    """Bounds of a two-sided confidence interval; NaN where undefined."""

    lower: float
    upper: float


def slide_means(values: ArrayLike, slide_ids: ArrayLike) -> pd.Series:
    """Mean of a slide's values; NaN values are left out.

    Parameters
    ----------
    values : (N,) one number a region (several rows a region, e.g. of repeats, average in).
    slide_ids : (N,) the slide of each.

    Returns
    -------
    Series
        One float a slide, indexed and sorted by slide id; slides without a value are absent.
    """
    numbers = np.asarray(values, dtype=np.float64)
    used = np.isfinite(numbers)
    slides, of_slide = _slides(np.asarray(slide_ids)[used])
    counts = np.bincount(of_slide, minlength=len(slides))
    return pd.Series(np.bincount(of_slide, numbers[used], len(slides)) / counts, index=slides)


def slide_macro(values: ArrayLike, slide_ids: ArrayLike) -> float:
    """Mean over slides of the mean over the slide's regions; NaN without regions."""
    means = slide_means(values, slide_ids)
    return float(means.mean()) if len(means) else math.nan


def slide_weights(slide_ids: ArrayLike) -> FloatArray:
    """(N,) weights under which each slide's regions sum to 1."""
    slides, of_slide = _slides(slide_ids)
    return 1.0 / np.bincount(of_slide, minlength=len(slides))[of_slide]


def student_interval(slide_values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean over slides, with G - 1 degrees of freedom.

    Parameters
    ----------
    slide_values : (G,) one number a slide; NaN is left out.
    confidence : of the two-sided interval.

    Returns
    -------
    Interval
        NaN with fewer than two slides: one slide says nothing of the spread between slides.
    """
    values = np.asarray(slide_values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if values.size < 2:
        return Interval(math.nan, math.nan)
    standard_error = float(values.std(ddof=1)) / math.sqrt(values.size)
    half = float(stdtrit(values.size - 1, 0.5 + confidence / 2)) * standard_error
    return Interval(float(values.mean()) - half, float(values.mean()) + half)


def slide_ratios(ratios: ArrayLike, nuclei_um2: ArrayLike, slide_ids: ArrayLike) -> pd.Series:
    """A slide's ratio: the mean of its regions' ratios, weighted by their nuclear area.

    For measured ratios this is positive over all nuclear area, a ratio of sums; regions that
    overlap count where they overlap more than once.

    Parameters
    ----------
    ratios : (N,) float; regions with NaN are left out.
    nuclei_um2 : (N,) nuclear area of each region, on IHC for measured ratios, on H&E for predicted
        ones; NaN and 0 are left out.
    slide_ids : (N,) the slide of each.

    Returns
    -------
    Series
        One float a slide, sorted by slide id; NaN where no region of the slide has nuclear area.
    """
    ratio = np.asarray(ratios, dtype=np.float64)
    area = np.asarray(nuclei_um2, dtype=np.float64)
    used = np.isfinite(ratio) & (area > 0)
    slides, of_slide = _slides(slide_ids)
    total = np.bincount(of_slide, np.where(used, area, 0.0), len(slides))
    positive = np.bincount(of_slide, np.where(used, ratio * area, 0.0), len(slides))
    shares = np.divide(positive, total, out=np.full(len(slides), math.nan), where=total > 0)
    return pd.Series(shares, index=slides)


def _slides(slide_ids: ArrayLike) -> tuple[pd.Index, NDArray[np.int64]]:
    """Sorted names of the slides, and each row's place among them."""
    of_slide, slides = pd.factorize(np.asarray(slide_ids), sort=True)
    return pd.Index(slides), of_slide.astype(np.int64)
