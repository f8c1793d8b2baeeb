import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tumor_ratio.metrics.aggregation import (
    slide_macro,
    slide_means,
    slide_ratios,
    slide_weights,
    student_interval,
)


def test_every_slide_weighs_the_same():
    values, slides = [1.0, 1.0, 1.0, 4.0], ["b", "b", "b", "a"]
    assert slide_means(values, slides).to_dict() == {"a": 4.0, "b": 1.0}
    assert slide_macro(values, slides) == 2.5
    weights = slide_weights(slides)
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 1])
    assert np.average(values, weights=weights) == pytest.approx(2.5)


def test_undefined_values_are_left_out():
    nan = math.nan
    assert slide_means([nan, 2.0, nan], ["a", "a", "b"]).to_dict() == {"a": 2.0}
    assert math.isnan(slide_macro([], []))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_interval_is_scipys_t_interval(values):
    lower, upper = student_interval(values, 0.9)
    error = stats.sem(values)
    expected = np.mean(values) + np.array([-1, 1]) * stats.t.ppf(0.95, len(values) - 1) * error
    np.testing.assert_allclose([lower, upper], expected, atol=1e-9)


def test_interval_covers_what_it_promises():
    rng = np.random.default_rng(3)
    for slides in (4, 12):
        inside = 0
        for _ in range(2000):
            lower, upper = student_interval(rng.normal(0.3, 0.1, slides))
            inside += lower <= 0.3 <= upper
        assert inside / 2000 == pytest.approx(0.95, abs=0.02)


def test_one_slide_has_no_interval():
    assert all(math.isnan(bound) for bound in student_interval([0.2]))


def test_slide_ratio_is_a_ratio_of_sums():
    ratios = slide_ratios([0.5, 0.1, 0.9, math.nan], [10, 30, 5, 7], ["a", "a", "b", "b"])
    assert ratios["a"] == pytest.approx((0.5 * 10 + 0.1 * 30) / 40)
    assert ratios["b"] == pytest.approx(0.9)


def test_a_slide_without_nuclear_area_is_undefined():
    ratios = slide_ratios([0.5, 0.2], [0.0, math.nan], ["a", "b"])
    assert ratios.index.tolist() == ["a", "b"]
    assert ratios.isna().all()
