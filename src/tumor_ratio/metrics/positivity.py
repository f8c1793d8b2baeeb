"""From a nucleus' DAB density to positive or negative, a grade, and how sure that is.

Grades as QuPath's: weak, moderate and strong from densities of 0.2, 0.4 and 0.6 on (decadic;
Bankhead et al. 2017, Sci. Rep. 7:16878).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from tumor_ratio.metrics.ratios import slide_ratio

THRESHOLD_SPREAD_OD = 0.05
"""Standard deviation of where the threshold should lie: 0.1 to 0.3 are two of it from 0.2."""


def grades(dab_od: NDArray[np.floating], from_od: Sequence[float]) -> NDArray[np.int64]:
    """Grade of each nucleus: how many of the thresholds its density exceeds; 0 for NaN.

    Parameters
    ----------
    dab_od : (N,) DAB densities.
    from_od : ascending thresholds; over the first a nucleus is positive.
    """
    return (np.asarray(dab_od)[:, None] > np.asarray(from_od)).sum(axis=1).astype(np.int64)


def call_confidence(dab_od: NDArray[np.floating], threshold_od: float) -> NDArray[np.float64]:
    """How sure positive or negative is, in [0.5, 1]; NaN where there is no density.

    The probability of the same call if the threshold lay elsewhere: normal about `threshold_od`
    with a standard deviation of 0.05. It knows of no error in the density itself.
    """
    distance = np.abs(np.asarray(dab_od, dtype=np.float64) - threshold_od)
    return np.asarray(norm.cdf(distance / THRESHOLD_SPREAD_OD), dtype=np.float64)


def threshold_sensitivity(
    nuclei: pd.DataFrame, thresholds_od: Sequence[float], *, min_nuclei: int
) -> pd.DataFrame:
    """A slide's ratio, had the threshold been another.

    Parameters
    ----------
    nuclei : `tumor_ratio.schemas.Nuclei` of an IHC section; `dab_od_core`, `area_um2` are read.
    thresholds_od : of the DAB density.
    min_nuclei : with fewer the ratio is NaN.

    Returns
    -------
    pandas.DataFrame
        positive_dab_od, tumor_ratio; one row a threshold.
    """
    rows = []
    for threshold in thresholds_od:
        positive = nuclei["dab_od_core"] > threshold
        ratio = slide_ratio(nuclei.assign(positive=positive), min_nuclei=min_nuclei)
        rows.append({"positive_dab_od": float(threshold), "tumor_ratio": ratio})
    return pd.DataFrame(rows)


def h_score(nuclei: pd.DataFrame) -> float:
    """Share of nuclei times grade, in percent: 0 to 300 (McCarty et al. 1985, Arch. Pathol. Lab.
    Med. 109:716); NaN without nuclei.
    """
    return float(100 * nuclei["grade"].mean()) if len(nuclei) else float("nan")
