"""Skill: the share of the possible gain over a constant that an approach achieves.

With L the slide-macro loss, skill = (L_b - L_m) / (L_b - L_c): b a constant baseline (the training
median for absolute, the training mean for squared errors), m the approach, c the ceiling, which is
the loss of an oracle that knows the H&E section's truth. 0 is no better than the constant, 1 as
good as the oracle. All three are scored on the same regions.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from tumor_ratio.metrics.aggregation import Interval, student_interval
from tumor_ratio.metrics.resampling import NO_INTERVAL, jackknife_interval, without_each


def gain(
    baseline: pd.Series, approach: pd.Series, confidence: float = 0.95
) -> tuple[float, Interval]:
    """L_b - L_m, and its paired Student's t interval over slides.

    Parameters
    ----------
    baseline, approach : mean loss of each slide (or case), indexed by its id; the same in both.
    confidence : of the interval.

    Raises
    ------
    ValueError
        If the slides differ: losses are only compared on the same regions.
    """
    if not baseline.index.sort_values().equals(approach.index.sort_values()):
        raise ValueError("baseline and approach were not scored on the same slides")
    difference = (baseline - approach.reindex(baseline.index)).to_numpy(dtype=np.float64)
    mean = float(difference.mean()) if difference.size else math.nan
    return mean, student_interval(difference, confidence)


def skill(
    baseline: pd.Series, approach: pd.Series, ceiling: pd.Series, confidence: float = 0.95
) -> float:
    """(L_b - L_m) / (L_b - L_c), neither clipped at 0 nor at 1.

    Parameters
    ----------
    baseline, approach, ceiling : mean loss of each slide (or case), by its id; the same in all.
    confidence : of the interval of L_b - L_c that decides whether the skill is defined.

    Returns
    -------
    float
        NaN where the interval of L_b - L_c is not above 0 or does not exist (fewer than two
        slides): where the oracle gains nothing that can be told from 0, no share of it is defined.
    """
    possible, interval = gain(baseline, ceiling, confidence)
    if not interval.lower > 0:
        return math.nan
    return gain(baseline, approach, confidence)[0] / possible


def skill_interval(
    baseline: pd.Series, approach: pd.Series, ceiling: pd.Series, confidence: float = 0.95
) -> Interval:
    """The jackknife's interval of the skill, a ratio of means over slides.

    Parameters are those of `skill`; NaN where that is undefined.
    """
    value = skill(baseline, approach, ceiling, confidence)
    if math.isnan(value):
        return NO_INTERVAL
    losses = np.stack([each.reindex(baseline.index) for each in (baseline, approach, ceiling)], 1)
    base, own, best = without_each(losses.astype(np.float64)).T
    return jackknife_interval(value, (base - own) / (base - best), confidence)
