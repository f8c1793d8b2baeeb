import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tumor_ratio.metrics.sign_flips import holm, sign_flip_test, smallest_p


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=9))
def test_all_patterns_are_counted(differences):
    sums = [
        abs(sum(sign * each for sign, each in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = np.mean([each >= abs(sum(differences)) for each in sums])
    assert sign_flip_test(differences) == (pytest.approx(expected), True)


def test_agrees_with_scipys_permutation_test():
    differences = np.random.default_rng(0).normal(0.4, 1, 11)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_test(differences).p_value == pytest.approx(expected)


def test_the_smallest_p_is_two_of_all_patterns():
    assert sign_flip_test([0.1, 0.2, 0.3, 0.4]).p_value == 2 / 16
    assert sign_flip_test(np.arange(1, 21.0)).p_value == 2 / 2**20
    assert sign_flip_test([0.0, 0.0, 0.0]).p_value == 1


def test_beyond_the_exact_patterns_are_drawn_and_said_so():
    differences = np.random.default_rng(1).normal(0.5, 1, 14)
    exact = sign_flip_test(differences)
    drawn = sign_flip_test(differences, most_exact=10)
    assert (exact.exact, drawn.exact) == (True, False)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.005)
    assert drawn == sign_flip_test(differences, most_exact=10)
    far = sign_flip_test(np.ones(40), n_draws=999)
    assert far == (1 / 1000, False)  # never 0: the observed pattern is one of them


@pytest.mark.parametrize("n", [2, 12, 32, 33, 64])
def test_the_smallest_p_is_what_equal_differences_give(n):
    assert sign_flip_test(np.ones(n)).p_value == pytest.approx(smallest_p(n))


def test_one_slide_is_not_tested():
    assert math.isnan(sign_flip_test([0.3]).p_value)
    assert math.isnan(sign_flip_test([]).p_value)


def test_the_test_keeps_its_level():
    rng = np.random.default_rng(2)
    p_values = [sign_flip_test(rng.normal(size=8)).p_value for _ in range(1500)]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.047, abs=0.015)  # 12 / 256


def test_holm():
    # p.adjust(..., "holm") of R
    np.testing.assert_allclose(holm([0.01, 0.02, 0.03, 0.04]), [0.04, 0.06, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.04, 0.001, 0.9, 0.03]), [0.09, 0.004, 0.9, 0.09])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1, 1])


def test_what_was_not_tested_costs_nothing():
    np.testing.assert_allclose(holm([math.nan, 0.02, 0.03]), [math.nan, 0.04, 0.04])
    assert holm([]).size == 0
