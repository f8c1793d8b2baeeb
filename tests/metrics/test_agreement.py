import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from tumor_ratio.metrics.agreement import (
    REGION_METRICS,
    balanced_accuracy,
    bin_of,
    confusion_matrix,
    spearman,
)

ratios = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60)


def mean_of(name, predicted, measured):
    return REGION_METRICS[name](np.array(predicted), np.array(measured)).mean()


def test_a_hand_worked_example():
    predicted, measured = [0.1, 0.3, 0.6, 0.45], [0.1, 0.4, 0.42, 0.5]
    assert mean_of("mae", predicted, measured) == pytest.approx((0 + 0.1 + 0.18 + 0.05) / 4)
    assert mean_of("mse", predicted, measured) == pytest.approx((0.01 + 0.0324 + 0.0025) / 4)
    assert mean_of("within_0_05", predicted, measured) == 0.5
    assert mean_of("within_0_1", predicted, measured) == 0.75
    assert mean_of("within_0_2", predicted, measured) == 1.0
    assert mean_of("bin_accuracy", predicted, measured) == 0.5
    np.testing.assert_array_equal(
        confusion_matrix(predicted, measured), [[1, 0, 0], [0, 1, 1], [0, 1, 0]]
    )
    assert balanced_accuracy(predicted, measured) == pytest.approx((1 + 0.5 + 0) / 3)


def test_an_edge_belongs_to_the_upper_bin_and_values_beyond_count_in_the_outer_bins():
    assert bin_of([-0.1, 0.0, 0.199, 0.2, 0.5, 1.0, 1.2]).tolist() == [0, 0, 0, 1, 2, 2, 2]


def test_rounding_does_not_decide_what_is_within():
    assert mean_of("within_0_1", [0.4], [0.3]) == 1.0


def test_an_undefined_ratio_has_no_bin():
    with pytest.raises(ValueError, match="no bin"):
        bin_of([0.1, float("nan")])


@settings(max_examples=60, deadline=None)
@given(ratios)
def test_agrees_with_scikit_learn(pairs):
    predicted, measured = np.array(pairs).T
    assert mean_of("mae", predicted, measured) == pytest.approx(
        sklearn_metrics.mean_absolute_error(measured, predicted)
    )
    assert mean_of("mse", predicted, measured) == pytest.approx(
        sklearn_metrics.mean_squared_error(measured, predicted)
    )
    true_bin, said_bin = bin_of(measured), bin_of(predicted)
    np.testing.assert_array_equal(
        confusion_matrix(predicted, measured),
        sklearn_metrics.confusion_matrix(true_bin, said_bin, labels=[0, 1, 2]),
    )
    recalls = sklearn_metrics.recall_score(
        true_bin, said_bin, labels=np.unique(true_bin), average="macro", zero_division=0
    )
    assert balanced_accuracy(predicted, measured) == pytest.approx(recalls)


@settings(max_examples=40, deadline=None)
@given(ratios)
def test_tolerances_are_nested_and_a_constant_is_balanced_chance(pairs):
    predicted, measured = np.array(pairs).T
    within = [mean_of(f"within_0_{digits}", predicted, measured) for digits in ("05", "1", "2")]
    assert within == sorted(within)
    constant = balanced_accuracy(np.zeros(len(measured)), measured)
    bins = np.unique(bin_of(measured))
    assert constant == pytest.approx((0 in bins) / len(bins))


def test_the_studys_matrix_gives_the_studys_figures():
    counts = np.array([[859, 28, 0], [279, 11, 0], [23, 0, 0]])
    middles = np.array([0.1, 0.3, 0.7])
    measured = np.repeat(np.repeat(middles, 3), counts.ravel())
    predicted = np.repeat(np.tile(middles, 3), counts.ravel())
    assert mean_of("bin_accuracy", predicted, measured) == pytest.approx(0.725)
    assert balanced_accuracy(predicted, measured) == pytest.approx(0.335, abs=5e-4)
    lowest = np.full(len(measured), 0.1)
    assert mean_of("bin_accuracy", lowest, measured) == pytest.approx(0.739, abs=5e-4)


few_values = st.integers(-3, 3).map(float)  # so that there are ties
ranked = st.lists(st.tuples(few_values, few_values), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(ranked)
def test_the_rank_correlation_is_scipys_ties_included(pairs):
    first, second = np.array(pairs).T
    found = spearman(first, second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(stats.spearmanr(first, second).statistic)
        assert spearman(np.exp(first), -second) == pytest.approx(-found)


def test_pairs_without_either_value_are_left_out_of_the_rank_correlation():
    first, second = [0.1, math.nan, 0.3, 0.2, 0.9], [1.0, 9.0, 2.0, math.nan, 0.5]
    expected = stats.spearmanr([0.1, 0.3, 0.9], [1.0, 2.0, 0.5]).statistic
    assert spearman(first, second) == pytest.approx(expected)
    assert spearman([0.0, 1.0, math.inf], [1.0, 2.0, 3.0]) == pytest.approx(1)
    assert spearman([0.0, 1.0, math.inf], [1.0, 2.0, 0.0]) == pytest.approx(-0.5)


def test_a_rank_correlation_without_ranks_is_undefined():
    for first, second in (
        ([], []),
        ([1.0], [2.0]),
        ([1.0, math.nan], [2.0, 3.0]),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, math.nan], [4.0, 4.0, 5.0]),
    ):
        assert math.isnan(spearman(first, second))
