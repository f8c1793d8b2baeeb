"""The tumor ratio of a region: area of Ki-67-positive nuclei over the area of all nuclei.

A nucleus belongs, with its whole area, to the region that holds its centroid; regions are
half-open, `[x, x + side)`, so that the sums over a grid equal the slide's.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta

FloatArray = NDArray[np.float64]

DEFAULT_SPATIAL_CORRELATION = 0.01
"""Intra-region correlation rho of the Ki-67 states of nuclei: neighbours resemble each other, so n
nuclei tell less than n independent ones. A beta-binomial has the design effect 1 + (n - 1) rho: 1.5
at 50 nuclei, 6 at 500. An assumption, to be replaced by a cohort's own value."""


def region_ratios(
    regions: pd.DataFrame,
    nuclei: pd.DataFrame,
    frame_mpp: float,
    *,
    min_nuclei: int = 20,
    method: str = "nucleus",
    level: float = 0.9,
    spatial_correlation: float = DEFAULT_SPATIAL_CORRELATION,
) -> pd.DataFrame:
    """Ratio labels of one slide's regions.

    Parameters
    ----------
    regions : rows of `tumor_ratio.schemas.Regions`, all of one slide; they may overlap.
    nuclei : rows of `tumor_ratio.schemas.Nuclei` of that slide; `x_he_px, y_he_px`, `area_um2` and
        `positive` are read.
    frame_mpp : micrometres per level-0 pixel of the frame that the regions live in.
    min_nuclei : with fewer, the ratio is NaN, never 0.
    method : goes into `label_method`.
    level : coverage of the interval, in (0, 1).
    spatial_correlation : see `DEFAULT_SPATIAL_CORRELATION`; 0 treats nuclei as independent.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.RatioLabels`, in the order of `regions`. `weight` is the effective
        number of nuclei (see `effective_nuclei`), 0 where the ratio is undefined.

    Raises
    ------
    ValueError
        If the regions belong to more than one slide, or `frame_mpp` is not positive.
    """
    if regions["slide_id"].nunique() > 1:
        raise ValueError("regions of one slide at a time")
    if not frame_mpp > 0:
        raise ValueError(f"frame_mpp must be positive, got {frame_mpp}")
    area = nuclei["area_um2"].to_numpy(dtype=np.float64)
    positive = nuclei["positive"].to_numpy(dtype=np.float64)
    sums = region_sums(
        regions,
        nuclei[["x_he_px", "y_he_px"]].to_numpy(dtype=np.float64),
        np.stack([np.ones_like(area), positive, area, area * positive, area**2], axis=1),
        frame_mpp,
    )
    n_nuclei, n_positive, nuclei_um2, positive_um2, sum_squares = sums.T
    defined = (n_nuclei >= max(min_nuclei, 1)) & (nuclei_um2 > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(defined, np.clip(positive_um2 / nuclei_um2, 0, 1), math.nan)
        share = np.where(defined, n_positive / n_nuclei, math.nan)
        n_effective = np.where(defined, nuclei_um2**2 / sum_squares, 0.0)
    weight = effective_nuclei(n_effective, spatial_correlation)
    lower, upper = ratio_interval(ratio, weight, level=level)
    return pd.DataFrame(
        {
            "region_id": regions["region_id"].to_numpy(),
            "label_method": method,
            "tumor_ratio": ratio,
            "lower": lower,
            "upper": upper,
            "positive_share": share,
            "n_positive": n_positive.astype(np.int64),
            "n_nuclei": n_nuclei.astype(np.int64),
            "positive_um2": positive_um2,
            "nuclei_um2": nuclei_um2,
            "weight": weight,
        }
    )


def effective_nuclei(n_effective: FloatArray, spatial_correlation: float) -> FloatArray:
    """Effective number of independent nuclei behind a ratio.

    `n_effective` is Kish's (sum a)^2 / sum a^2 over the nuclei's areas a: unequal areas count less.
    The beta-binomial's design effect 1 + (n - 1) rho divides it once more.
    """
    return n_effective / (1 + np.maximum(n_effective - 1, 0) * spatial_correlation)


def ratio_interval(
    ratio: FloatArray, n_effective: FloatArray, *, level: float = 0.9
) -> tuple[FloatArray, FloatArray]:
    """Jeffreys interval of a ratio with an effective number of nuclei behind it.

    Parameters
    ----------
    ratio : (N,) in [0, 1], or NaN.
    n_effective : (N,) at least 0.
    level : coverage, in (0, 1).

    Returns
    -------
    lower, upper : (N,) float64
        Quantiles of Beta(n p + 1/2, n (1 - p) + 1/2); the bound is 0 at p = 0 and 1 at p = 1
        (Brown, Cai and DasGupta 2001, Stat. Sci. 16:101). NaN where the ratio is.
    """
    tail = (1 - level) / 2
    a = n_effective * ratio + 0.5
    b = n_effective * (1 - ratio) + 0.5
    lower = np.where(ratio == 0, 0.0, beta.ppf(tail, a, b))
    upper = np.where(ratio == 1, 1.0, beta.ppf(1 - tail, a, b))
    # With unequal areas the ratio may lie beyond the quantile of so few effective nuclei.
    return np.minimum(lower, ratio), np.maximum(upper, ratio)


def slide_ratio(nuclei: pd.DataFrame, *, min_nuclei: int = 20) -> float:
    """A slide's measured ratio: positive over all nuclear area, each nucleus once.

    Returns
    -------
    float
        NaN with fewer than `min_nuclei` nuclei.
    """
    if len(nuclei) < max(min_nuclei, 1):
        return math.nan  # too few nuclei: undefined, never 0
    area = nuclei["area_um2"].to_numpy(dtype=np.float64)
    return float(area[nuclei["positive"].to_numpy(dtype=bool)].sum() / area.sum())


def region_sums(
    regions: pd.DataFrame, xy_px: FloatArray, values: FloatArray, frame_mpp: float
) -> FloatArray:
    """Sums over the nuclei whose centroids lie in each region.

    Parameters
    ----------
    regions : with `x_px, y_px` (level 0 of the frame), `size_px` and `mpp`; may overlap.
    xy_px : (N, 2) centroids in the frame's level-0 pixels.
    values : (N, K) what to sum.
    frame_mpp : micrometres per level-0 pixel.

    Returns
    -------
    (R, K) float64
        In the order of `regions`; 0 for a region without nuclei.
    """
    left, top, right, bottom = region_bounds(regions, frame_mpp)
    sums = np.zeros((len(regions), values.shape[1]))
    if len(regions) == 0 or len(xy_px) == 0:
        return sums
    region_of, nucleus_of = _pairs(left, top, right, bottom, xy_px)
    for column in range(values.shape[1]):
        sums[:, column] = np.bincount(
            region_of, weights=values[nucleus_of, column], minlength=len(regions)
        )
    return sums


def region_bounds(
    regions: pd.DataFrame, frame_mpp: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Left, top, right and bottom of half-open regions in the frame's level-0 pixels, (R,) each."""
    left = regions["x_px"].to_numpy(dtype=np.float64)
    top = regions["y_px"].to_numpy(dtype=np.float64)
    side = regions["size_px"].to_numpy() * regions["mpp"].to_numpy() / frame_mpp
    return left, top, left + side, top + side


def _pairs(
    left: FloatArray, top: FloatArray, right: FloatArray, bottom: FloatArray, xy_px: FloatArray
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every (region, nucleus) with the nucleus' centroid in the region.

    Nuclei are sorted by horizontal band and, within a band, by x; a region then finds its
    candidates as one run of the sorted order in each band that it touches.
    """
    band_px = max(float(np.median(bottom - top)) / 2, 1.0)
    band = np.floor(xy_px[:, 1] / band_px).astype(np.int64)
    order = np.lexsort((xy_px[:, 0], band))
    band, x, y = band[order], xy_px[order, 0], xy_px[order, 1]
    bands, starts = np.unique(band, return_index=True)
    ends = np.append(starts[1:], len(band))
    region_parts: list[NDArray[np.int64]] = []
    nucleus_parts: list[NDArray[np.int64]] = []
    for value, start, end in zip(bands, starts, ends, strict=True):
        touching = np.flatnonzero((top < (value + 1) * band_px) & (bottom > value * band_px))
        first = start + np.searchsorted(x[start:end], left[touching], side="left")
        last = start + np.searchsorted(x[start:end], right[touching], side="left")
        counts = last - first
        region_of = np.repeat(touching, counts)
        offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        nucleus_of = np.repeat(first, counts) + offset
        inside = (y[nucleus_of] >= top[region_of]) & (y[nucleus_of] < bottom[region_of])
        region_parts.append(region_of[inside])
        nucleus_parts.append(order[nucleus_of[inside]])
    return np.concatenate(region_parts), np.concatenate(nucleus_parts)
