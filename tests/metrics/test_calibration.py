import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.isotonic import IsotonicRegression

from tumor_ratio.metrics.calibration import MonotoneMap, fit_monotone

ratios = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1, width=16))


@settings(max_examples=60, deadline=None)
@given(ratios, st.integers(0, 2**16))
def test_equals_scikit_learns_isotonic_regression(predicted, seed):
    rng = np.random.default_rng(seed)
    measured = rng.uniform(size=predicted.size)
    weights = rng.uniform(0.1, 2.0, size=predicted.size)
    expected = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1)
    expected.fit(predicted, measured, sample_weight=weights)
    grid = np.linspace(-0.2, 1.2, 57)
    fitted = fit_monotone(predicted, measured, weights)
    np.testing.assert_allclose(fitted.apply(grid), expected.predict(grid), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(ratios, st.integers(0, 2**16))
def test_monotone_bounded_and_through_its_record(predicted, seed):
    measured = np.random.default_rng(seed).uniform(size=predicted.size)
    fitted = fit_monotone(predicted, measured)
    values = fitted.apply(np.linspace(-1, 2, 101))
    assert (np.diff(values) >= 0).all()
    assert values.min() >= 0
    assert values.max() <= 1
    record = json.loads(json.dumps(fitted.to_record()))
    assert MonotoneMap.from_record(record) == fitted


def test_undoes_a_known_monotone_distortion():
    truth = np.linspace(0, 1, 200)
    fitted = fit_monotone(0.4 * truth**2 + 0.1, truth)
    np.testing.assert_allclose(fitted.apply(0.4 * truth**2 + 0.1), truth, atol=1e-12)


def test_a_constant_prediction_gives_the_weighted_mean():
    fitted = fit_monotone([0.5, 0.5, 0.5], [0.1, 0.2, 0.6], weights=[1, 1, 2])
    np.testing.assert_allclose(fitted.apply([0.0, 0.5, 1.0]), 0.375)


def test_nan_rows_are_left_out_of_the_fit_and_kept_in_the_result():
    nan = float("nan")
    fitted = fit_monotone([0.1, nan, 0.9, 0.5], [0.2, 0.3, 0.8, nan], weights=[1, 1, 1, 1])
    np.testing.assert_allclose(fitted.apply([0.1, nan, 0.9]), [0.2, nan, 0.8])


def test_nothing_to_fit_on_is_an_error():
    with pytest.raises(ValueError, match="no finite pair"):
        fit_monotone([float("nan")], [0.5])
    with pytest.raises(ValueError, match="one length"):
        fit_monotone([0.1, 0.2], [0.5])


@pytest.mark.parametrize(
    ("knots", "values", "message"),
    [
        ((), (), "at least one knot"),
        ((0.0, 0.0), (0.1, 0.2), "knots increase"),
        ((0.0, 1.0), (0.3, 0.2), "never decrease"),
        ((0.0, 1.0), (0.3, 1.2), "lie in"),
        ((0.0, float("nan")), (0.3, 0.4), "finite"),
    ],
)
def test_a_broken_record_is_refused(knots, values, message):
    with pytest.raises(ValueError, match=message):
        MonotoneMap(knots, values)
