import math

import numpy as np
import pytest

from benchmarks.intervals import CCC, MAE, coverages
from tumor_ratio.metrics.aggregation import student_interval
from tumor_ratio.metrics.resampling import (
    CORRELATION,
    POSITIVE,
    bootstrap_t_interval,
    jackknife_interval,
    without_each,
)


def mean(means, n_cases):
    return means[..., 0]


def ratio(means, n_cases):
    return means[..., 0] / means[..., 1]


def test_of_a_mean_the_jackknife_is_students_interval():
    values = np.random.default_rng(0).normal(size=9)
    left_out = without_each(values[:, None])[:, 0]
    assert left_out[3] == pytest.approx(np.delete(values, 3).mean())
    assert jackknife_interval(values.mean(), left_out, 0.9) == pytest.approx(
        student_interval(values, 0.9)
    )


def test_scales_keep_intervals_where_figures_can_be():
    lower, upper = jackknife_interval(0.97, [0.9, 0.99, 0.98, 0.95], scale=CORRELATION)
    assert -1 < lower < 0.97 < upper < 1
    lower, _ = jackknife_interval(0.01, [0.001, 0.03, 0.02], scale=POSITIVE)
    assert lower > 0


def test_perfect_agreement_has_an_interval_without_width():
    assert jackknife_interval(1.0, [1.0, 1.0, 1.0], scale=CORRELATION) == pytest.approx((1, 1))
    assert bootstrap_t_interval(np.full(5, 0.25), mean) == pytest.approx((0.25, 0.25))


def test_fewer_than_two_cases_have_no_interval():
    none = (
        jackknife_interval(0.3, [math.nan]),
        jackknife_interval(0.3, [0.2, math.nan, 0.3]),
        jackknife_interval(math.nan, [0.2, 0.3]),
        bootstrap_t_interval([0.3], mean),
        bootstrap_t_interval([0.3, math.nan], mean),
    )
    assert np.isnan(none).all()


def test_bootstrap_t_of_many_normal_values_is_students_interval():
    values = np.random.default_rng(0).normal(3, 1, 60)
    found = bootstrap_t_interval(values, mean, n_resamples=4000)
    assert found == pytest.approx(student_interval(values), abs=0.03)
    assert found == bootstrap_t_interval(values, mean, n_resamples=4000)
    assert found != bootstrap_t_interval(values, mean, n_resamples=4000, seed=1)


def test_bootstrap_t_follows_the_skew():
    values = np.random.default_rng(1).lognormal(0, 1, 25)
    lower, upper = bootstrap_t_interval(values, mean)
    assert upper - values.mean() > 1.2 * (values.mean() - lower)


def test_bootstrap_t_by_hand():
    table = np.random.default_rng(2).uniform(1, 2, (6, 2))
    counts = np.random.default_rng(5).multinomial(6, np.full(6, 1 / 6), size=150)

    def figure_and_error(rows):
        value = rows[:, 0].mean() / rows[:, 1].mean()
        others = [np.delete(rows, i, 0).mean(0) for i in range(6)]
        others = np.array([one / two for one, two in others])
        return value, math.sqrt(5 / 6 * ((others - others.mean()) ** 2).sum())

    value, error = figure_and_error(table)
    drawn = [figure_and_error(np.repeat(table, each, axis=0)) for each in counts]
    statistics = [(found - value) / spread for found, spread in drawn if spread > 0]
    low, high = np.quantile(statistics, [0.025, 0.975])
    assert bootstrap_t_interval(table, ratio, n_resamples=150, seed=5) == pytest.approx(
        (value - high * error, value - low * error)
    )


def test_intervals_over_slides_hold_the_truth_and_those_over_regions_do_not():
    for quantity, n_simulations in ((MAE, 400), (CCC, 200)):
        found = coverages(quantity, 12, n_simulations)
        honest = {name: each.share for name, each in found.items() if " t over" in name}
        assert len(honest) == 1
        assert 0.86 < next(iter(honest.values())) < 0.98
        assert 0.86 < found["bootstrap-t over slides"].share < 0.98
        assert found["percentile bootstrap over regions"].share < 0.5
