from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.conformal import draw_slides, outcomes
from tumor_ratio.metrics.conformal import (
    MIN_UNITS,
    conformal_quantile,
    conformity_scores,
    expected_error,
    rank_of,
    ratio_bounds,
)

CALIBRATIONS = 200


def test_fewer_than_nine_slides_give_no_interval_but_the_reason():
    found = conformal_quantile(np.arange(8.0), np.arange(8))
    assert math.isnan(found.value)
    assert found.reason == "8 independent calibration slides are too few for 90% coverage"
    assert min(n for n in range(1, 50) if rank_of(n) <= n) == MIN_UNITS
    assert conformal_quantile(np.arange(9.0), np.arange(9)) == (8.0, 9, 9, "")
    assert math.isnan(conformal_quantile([], []).value)
    lost = np.where(np.arange(9) == 3, np.nan, 1.0)
    assert conformal_quantile(lost, np.arange(9)).n_units == 8


@pytest.mark.parametrize("n", [9, 10, 19, 20, 49, 99])
def test_with_one_score_a_slide_it_is_the_kth_smallest(n):
    scores = np.random.default_rng(n).permutation(n) + 1.0
    found = conformal_quantile(scores, np.arange(n))
    assert found.value == found.rank == math.ceil((n + 1) * 0.9 - 1e-9)


def test_slides_and_cases_weigh_the_same_however_much_they_hold():
    # 19 slides, one of which has 1000 regions with large errors: it is one slide of 19.
    slides = np.concatenate([np.arange(18), np.full(1000, 18)])
    scores = np.concatenate([np.arange(18) / 100, np.full(1000, 9.0)])
    assert conformal_quantile(scores, slides).value == 0.17  # 18 of 20 reach 0.9
    # The same in a case of its own slides: two slides of one case count as half a slide each.
    cases = np.append(np.arange(18), [18, 18])
    slides = np.arange(20)
    for own, expected in (([0.001, 0.002], 0.16), ([9.0, 0.001], 0.17)):
        found = conformal_quantile(np.append(np.arange(18) / 100, own), cases, slides)
        assert (found.n_units, found.value) == (19, expected)
    # A slide with one region weighs as much in its case as one with 99.
    pairs = np.concatenate([np.arange(17), *(np.full(100, case) for case in (17, 18))])
    slides = np.concatenate([np.arange(17), *(np.r_[n, np.full(99, n + 1)] for n in (20, 30))])
    scores = np.concatenate([np.arange(17) / 100, *[np.r_[0.001, np.full(99, 9.0)]] * 2])
    assert conformal_quantile(scores, pairs, slides).value == 0.16


def test_the_expected_error_is_a_clustered_share_with_a_floor():
    assert expected_error(0.0, 1000.0) == pytest.approx(0.02)
    assert expected_error(0.5, 50.0) == pytest.approx(math.sqrt(0.0004 + 0.25))
    assert expected_error(0.5, 5000.0) == pytest.approx(math.sqrt(0.0004 + 0.25 * 2.98 / 100))
    assert expected_error(0.5, np.nan) == expected_error(0.5, 0.0) == expected_error(0.5, 10.0)
    assert math.isnan(expected_error(np.nan, 50.0))


def test_bounds_stay_ratios():
    lower, upper = ratio_bounds([0.05, 0.5, 0.99, np.nan], [0.1, 0.1, 0.1, 0.1], 2.0)
    np.testing.assert_allclose(lower, [0, 0.3, 0.79, np.nan])
    np.testing.assert_allclose(upper, [0.25, 0.7, 1, np.nan])


@pytest.mark.parametrize("n_calibration", [9, 19, 99])
def test_mean_coverage_of_slides_and_regions_is_what_is_promised(n_calibration):
    held = {
        whole: outcomes(n_calibration, CALIBRATIONS, whole=whole, constant=False)
        for whole in (True, False)
    }
    slides, regions = (np.average(held[w].held, weights=held[w].weight) for w in (True, False))
    promised = rank_of(n_calibration) / (n_calibration + 1)
    assert slides == pytest.approx(promised, abs=0.02)
    # The mass at infinity costs regions up to its own size again: 0.1 with 9 slides, 0.01 with 99.
    assert 0.89 < regions < 0.9 + 1 / (n_calibration + 1) + 0.01


def test_a_slide_counts_once_or_large_slides_promise_too_much():
    """What goes wrong where all regions count alike: large slides are the easier ones."""
    drawn = draw_slides(np.random.default_rng(0), 4000)
    error = expected_error(drawn.predicted, drawn.nuclear_um2)
    scores = conformity_scores(drawn.predicted, drawn.measured, error)
    own = conformal_quantile(scores, drawn.slide).value
    assert own > 1.08 * np.quantile(scores, 0.9)
