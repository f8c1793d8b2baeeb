import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tumor_ratio.metrics.paired_values import PairedValues
from tumor_ratio.metrics.rank_agreement import pooled_ranks, ranked_sample, ranks_within

few_values = st.integers(0, 6).map(lambda value: value / 6)
pairs_with_ties = st.lists(st.tuples(few_values, few_values), min_size=3, max_size=40).filter(
    lambda pairs: np.ptp(pairs, axis=0).min() > 0
)


def slides_of(predicted, measured, slides):
    slides = np.asarray(slides)
    return PairedValues.of_codes(np.asarray(predicted), np.asarray(measured), slides, slides)


def weighted_tau_b(x, y, weights):
    """By all pairs."""
    mass = np.outer(weights, weights)
    one, two = np.sign(np.subtract.outer(x, x)), np.sign(np.subtract.outer(y, y))
    return (mass * one * two).sum() / math.sqrt((mass * one**2).sum() * (mass * two**2).sum())


@settings(max_examples=60, deadline=None)
@given(pairs_with_ties)
def test_rows_that_weigh_the_same_give_scipys_correlations(pairs):
    predicted, measured = np.array(pairs).T
    found = pooled_ranks(slides_of(predicted, measured, np.arange(len(predicted))))
    assert found.spearman == pytest.approx(stats.spearmanr(predicted, measured).statistic)
    assert found.kendall == pytest.approx(stats.kendalltau(predicted, measured).statistic)


def test_leaving_a_case_out_is_doing_without_it():
    rng = np.random.default_rng(0)
    slides = np.repeat(np.arange(5), [3, 8, 1, 6, 4])
    measured = np.round(rng.uniform(size=22), 1)
    predicted = np.round(measured + rng.normal(0, 0.2, 22), 1)
    found = pooled_ranks(slides_of(predicted, measured, slides))
    for case in range(5):
        rest = slides != case
        again = pooled_ranks(slides_of(predicted[rest], measured[rest], slides[rest]))
        assert found.spearman_without[case] == pytest.approx(again.spearman)
        assert found.kendall_without[case] == pytest.approx(again.kendall)


def test_many_distinct_values_are_left_out_nearly_as_exactly():
    rng = np.random.default_rng(0)
    slides = np.repeat(np.arange(6), 200)
    measured = rng.uniform(size=1200)
    predicted = measured + rng.normal(0, 0.2, 1200)
    found = pooled_ranks(slides_of(predicted, measured, slides))
    rest = slides != 2
    again = pooled_ranks(slides_of(predicted[rest], measured[rest], slides[rest]))
    assert found.spearman_without[2] == pytest.approx(again.spearman, abs=0.003)
    assert found.kendall_without[2] == pytest.approx(again.kendall, abs=0.015)
    spread = [np.ptp(each) for each in (found.spearman_without, found.kendall_without)]
    assert max(spread) < 0.05


def test_pairs_weigh_the_product_of_their_weights():
    rng = np.random.default_rng(1)
    slides = np.repeat([0, 1, 2], [2, 20, 5])
    predicted, measured = np.round(rng.uniform(size=(2, 27)), 1)
    values = slides_of(predicted, measured, slides)
    found = pooled_ranks(values)
    assert found.kendall == pytest.approx(weighted_tau_b(predicted, measured, values.weights))
    repeated = np.concatenate([np.arange(27), *[np.arange(2)] * 9])
    again = pooled_ranks(slides_of(predicted[repeated], measured[repeated], slides[repeated]))
    assert again.spearman == pytest.approx(found.spearman)
    assert again.kendall == pytest.approx(found.kendall)


def test_within_slides():
    slides = [1, 0, 1, 0, 1, 0, 2, 2]
    predicted = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.5, 0.5]
    measured = [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.6]
    spearman, kendall = ranks_within(slides_of(predicted, measured, slides))
    np.testing.assert_allclose(spearman, [-1, 1, math.nan])
    np.testing.assert_allclose(kendall, [-1, 1, math.nan])


def test_two_regions_of_a_slide_agree_or_do_not():
    spearman, kendall = ranks_within(
        slides_of([0.1, 0.2, 0.4, 0.3], [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1])
    )
    assert spearman.tolist() == pytest.approx([1, -1])
    assert kendall.tolist() == pytest.approx([1, -1])


def test_constants_are_undefined_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pooled_ranks(slides_of(np.full(6, 0.2), np.arange(6) / 6, [0, 0, 1, 1, 2, 2]))
        within = ranks_within(slides_of(np.full(6, 0.2), np.arange(6) / 6, [0, 0, 1, 1, 2, 2]))
    assert np.isnan([found.spearman, found.kendall, *np.ravel(within)]).all()


def test_a_sample_takes_equal_parts_and_is_the_same_each_time():
    slides = np.repeat([0, 1, 2], [9000, 1000, 50])
    values = slides_of(np.linspace(0, 1, 10050), np.linspace(0, 1, 10050), slides)
    assert ranked_sample(values, most=10050) is values
    sample = ranked_sample(values, most=1200)
    assert sample.rows.tolist() == pytest.approx([400, 400, 50], rel=0.15)
    assert sample.rows[2] == 50
    np.testing.assert_array_equal(sample.predicted, ranked_sample(values, most=1200).predicted)
