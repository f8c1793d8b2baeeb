import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from tumor_ratio.metrics.moments import (
    LIMITS_SD,
    MOMENT_FIGURES,
    case_moments,
    mean_square_icc,
    moments_of,
    pearson_within,
    within_slides,
)
from tumor_ratio.metrics.paired_values import PairedValues

JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)
"""Shrout and Fleiss 1979, table 2: six targets, four judges."""

WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
"""Bland and Altman 1986: peak flow in l/min, first readings of two meters."""


def mean_squares(table):
    n, k = table.shape
    rows = k * table.mean(axis=1).var(ddof=1)
    columns = n * table.mean(axis=0).var(ddof=1)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    return rows, columns, (rest**2).sum() / ((n - 1) * (k - 1)), n, k


def alone(predicted, measured):
    """Each row its own slide and case."""
    place = np.arange(len(predicted))
    return PairedValues(np.array(predicted, float), np.array(measured, float), place, place)


def figures(values):
    table = case_moments(values)
    moments = moments_of(table.mean(axis=0), len(table))
    return {name: float(figure(moments)) for name, figure in MOMENT_FIGURES.items()}


def test_shrout_and_fleiss():
    rows, columns, error, n, k = mean_squares(JUDGES)
    assert (rows, columns, error) == pytest.approx((11.24, 32.49, 1.02), abs=0.005)
    assert mean_square_icc(rows, columns, error, n, k) == pytest.approx(0.29, abs=0.005)


@pytest.mark.parametrize("pair", [(0, 1), (0, 3), (1, 2)])
def test_icc_of_two_judges_is_that_of_their_mean_squares(pair):
    table = JUDGES[:, pair]
    assert figures(alone(*table.T))["icc_2_1"] == pytest.approx(
        mean_square_icc(*mean_squares(table))
    )


def test_bland_and_altman():
    found = figures(alone(WRIGHT, MINI))
    bias = (found["limit_lower"] + found["limit_upper"]) / 2
    deviation = (found["limit_upper"] - found["limit_lower"]) / 2 / LIMITS_SD
    assert bias == pytest.approx(-2.1, abs=0.05)
    assert deviation == pytest.approx(38.8, abs=0.05)
    # The paper takes two standard deviations.
    assert bias - 2 * deviation == pytest.approx(-79.7, abs=0.1)
    assert bias + 2 * deviation == pytest.approx(75.5, abs=0.1)


values = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=40).filter(
    lambda pairs: np.std(pairs, axis=0).min() > 1e-3
)


@settings(max_examples=60, deadline=None)
@given(values)
def test_rows_that_weigh_the_same_give_the_libraries_figures(pairs):
    predicted, measured = np.array(pairs).T
    found = figures(alone(predicted, measured))
    assert found["rmse"] == pytest.approx(
        sklearn_metrics.root_mean_squared_error(measured, predicted)
    )
    assert found["r2"] == pytest.approx(sklearn_metrics.r2_score(measured, predicted), rel=1e-6)
    correlation = stats.pearsonr(predicted, measured).statistic
    assert found["pearson"] == pytest.approx(correlation, abs=1e-6)
    line = stats.linregress(predicted, measured)
    assert found["calibration_slope"] == pytest.approx(line.slope, rel=1e-5, abs=1e-6)
    assert found["calibration_intercept"] == pytest.approx(line.intercept, rel=1e-5, abs=1e-6)
    covariance = np.cov(predicted, measured, ddof=0)
    by_formula = 2 * covariance[0, 1] / (np.trace(covariance) + np.mean(predicted - measured) ** 2)
    assert found["ccc"] == pytest.approx(by_formula, abs=1e-6)


def test_a_slide_of_many_regions_weighs_as_one_of_few():
    few = PairedValues(
        np.array([0.1, 0.3, 0.5, 0.2]), np.array([0.2, 0.3, 0.4, 0.1]),
        np.array([0, 0, 1, 2]), np.arange(3),
    )  # fmt: skip
    again = np.array([0, 1, 2, 2, 2, 2, 2, 3])
    many = PairedValues(few.predicted[again], few.measured[again], few.slide[again], np.arange(3))
    assert few.weights.tolist() == [0.5, 0.5, 1, 1]
    one, two = figures(few), figures(many)
    for name in ("rmse", "r2", "pearson", "ccc", "calibration_slope", "calibration_intercept"):
        assert one[name] == pytest.approx(two[name])


def test_correlation_within_slides_ignores_what_lies_between_them():
    rng = np.random.default_rng(0)
    slides = np.repeat(np.arange(20), 50)
    burden = rng.uniform(0, 1, 20)[slides]
    noise = rng.normal(0, 0.05, (2, 1000))
    values = PairedValues(burden + noise[0], burden + noise[1], slides, np.arange(20))
    assert figures(values)["pearson"] > 0.95
    assert float(pearson_within(within_slides(values).mean(axis=0))) == pytest.approx(0, abs=0.1)
    opposed = PairedValues(burden - noise[1], burden + noise[1], slides, np.arange(20))
    assert float(pearson_within(within_slides(opposed).mean(axis=0))) == pytest.approx(-1)


def test_constants_have_no_correlation():
    rng = np.random.default_rng(0)
    measured = rng.uniform(0, 1, 30)
    found = figures(alone(np.full(30, 0.3), measured))
    assert math.isnan(found["pearson"])
    assert math.isnan(found["calibration_slope"])
    assert found["ccc"] == pytest.approx(0)
    assert found["icc_2_1"] == pytest.approx(0)
    assert math.isnan(figures(alone(measured, np.full(30, 0.3)))["r2"])


@pytest.mark.parametrize("n", [1, 2, 30])
def test_two_constants_have_an_error_and_no_agreement_to_speak_of(n):
    found = figures(alone(np.full(n, 0.3), np.full(n, 0.5)))
    assert found.pop("rmse") == pytest.approx(0.2)
    defined = {name for name, value in found.items() if math.isfinite(value)}
    assert defined == ({"limit_lower", "limit_upper"} if n > 1 else set())


def test_a_constant_reference_has_no_r2_and_no_agreement():
    predicted = np.linspace(0.1, 0.7, 13)
    found = figures(alone(predicted, np.full(13, 0.4)))
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {"r2", "pearson"}
    assert [found[name] for name in ("ccc", "icc_2_1", "calibration_slope")] == pytest.approx(
        [0, 0, 0], abs=1e-12
    )


def test_of_two_pairs_every_figure_is_defined():
    found = figures(alone([0.2, 0.6], [0.3, 0.5]))
    assert np.isfinite(list(found.values())).all()
    assert found["ccc"] == pytest.approx(2 * 0.02 / (0.04 + 0.01))
    table = np.array([[0.2, 0.3], [0.6, 0.5]])
    assert found["icc_2_1"] == pytest.approx(mean_square_icc(*mean_squares(table)))
