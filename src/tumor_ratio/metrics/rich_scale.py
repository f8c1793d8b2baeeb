"""What counts as rich in Ki-67, and a scale on which predicted and measured areas of it agree."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.filters import threshold_otsu

from tumor_ratio.metrics.aggregation import slide_weights
from tumor_ratio.metrics.calibration import MonotoneMap

FloatArray = NDArray[np.float64]

BINS = 200
KNOTS = 200


def rich_threshold(measured: ArrayLike, slide_ids: ArrayLike) -> float:
    """The ratio that parts regions into poor and rich ones best, slides weighing the same.

    Otsu's threshold (IEEE Trans. Syst. Man Cybern. 1979; 9: 62) of the weighted histogram in steps
    of 0.005, in the middle of the gap where no ratio lies around it; a region at or over it is
    rich.

    Parameters
    ----------
    measured : (N,) float, measured ratios of training slides' regions; NaN is left out.
    slide_ids : (N,) the slide of each.

    Returns
    -------
    float
        In (0, 1]; NaN where the ratios do not fall into at least two steps.
    """
    ratio, slides = _finite(slide_ids, measured)
    counts, edges = np.histogram(ratio, BINS, (0.0, 1.0), weights=slide_weights(slides))
    occupied = np.flatnonzero(counts)
    if len(occupied) < 2:
        return math.nan
    last_poor = round(float(threshold_otsu(hist=(counts, np.arange(BINS)))))
    first_rich = occupied[np.searchsorted(occupied, last_poor, side="right")]
    return float((edges[last_poor + 1] + edges[first_rich]) / 2)


def area_map(predicted: ArrayLike, measured: ArrayLike, slide_ids: ArrayLike) -> MonotoneMap:
    """The map of predictions after which as much area lies over any threshold as measured.

    Predictions are shrunk towards the mean: fewer regions lie over a high threshold than measured,
    and a map fitted to errors (least squares) shrinks them more. This one matches quantiles: a
    prediction becomes the measured ratio of the same rank, regions of one slide together weighing
    as much as those of any other. It says nothing of a single region.

    Parameters
    ----------
    predicted, measured : (N,) float, of the same regions of validation slides; rows where either is
        NaN are left out.
    slide_ids : (N,) the slide of each.

    Raises
    ------
    ValueError
        If no row is left.
    """
    x, y, slides = _finite(slide_ids, predicted, measured)
    if len(x) == 0:
        raise ValueError("no finite pair of prediction and measurement to match areas of")
    weights = slide_weights(slides)
    knots, levels = _levels(x, weights)
    ratios, of_ratios = _levels(y, weights)
    if len(knots) > KNOTS:
        wanted = np.linspace(levels[0], levels[-1], KNOTS)
        kept = np.unique(np.searchsorted(levels, wanted).clip(0, len(knots) - 1))
        knots, levels = knots[kept], levels[kept]
    values = np.clip(np.interp(levels, of_ratios, ratios), 0.0, 1.0)
    return MonotoneMap(tuple(knots.tolist()), tuple(values.tolist()))


def _levels(values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distinct values, and for each the share below it and half of what equals it."""
    distinct, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights) / weights.sum()
    return distinct, np.cumsum(mass) - mass / 2


def _finite(slide_ids: ArrayLike, *values: ArrayLike) -> list[NDArray]:
    arrays = [np.asarray(each, dtype=np.float64) for each in values]
    used = np.all([np.isfinite(each) for each in arrays], axis=0)
    return [*(each[used] for each in arrays), np.asarray(slide_ids)[used]]
