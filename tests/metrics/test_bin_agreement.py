import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from tumor_ratio.metrics.agreement import bin_of, confusion_matrix
from tumor_ratio.metrics.bin_agreement import (
    balanced_accuracy_of,
    macro_f1_of,
    quadratic_kappa_of,
)

ratios = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=60)


@settings(max_examples=80, deadline=None)
@given(ratios, st.integers(0, 9))
def test_agrees_with_scikit_learn(pairs, seed):
    predicted, measured = np.array(pairs).T
    weights = np.random.default_rng(seed).uniform(0.1, 2, len(predicted))
    confusion = confusion_matrix(predicted, measured, weights)
    true, said = bin_of(measured), bin_of(predicted)
    assert macro_f1_of(confusion) == pytest.approx(
        sklearn_metrics.f1_score(
            true, said, average="macro", sample_weight=weights, zero_division=0.0,
            labels=np.union1d(true, said),
        )
    )  # fmt: skip
    kappa = float(quadratic_kappa_of(confusion))
    if len(np.unique(true)) == len(np.unique(said)) == 1:
        assert math.isnan(kappa)
    else:
        assert kappa == pytest.approx(
            sklearn_metrics.cohen_kappa_score(
                true, said, labels=[0, 1, 2], weights="quadratic", sample_weight=weights
            ),
            abs=1e-9,
        )


def test_a_bin_without_members_does_not_count():
    confusion = np.array([[6.0, 2, 0], [1, 3, 0], [0, 0, 0]])
    assert balanced_accuracy_of(confusion) == pytest.approx((6 / 8 + 3 / 4) / 2)
    assert macro_f1_of(confusion) == pytest.approx((12 / 15 + 6 / 9) / 2)


def test_a_constant_is_worth_nothing():
    confusion = np.array([[887.0, 0, 0], [290, 0, 0], [23, 0, 0]])
    assert quadratic_kappa_of(confusion) == pytest.approx(0)
    assert balanced_accuracy_of(confusion) == pytest.approx(1 / 3)


def test_far_off_costs_four_times_as_much():
    near, far = np.diag([4.0, 4, 4]), np.diag([4.0, 4, 4])
    near[0, 0], near[0, 1] = 3, 1
    far[0, 0], far[0, 2] = 3, 1
    square = np.square(np.subtract.outer(np.arange(3), np.arange(3)))
    expected = [
        cost * 12 / float(table.sum(1) @ square @ table.sum(0))
        for cost, table in ((1, near), (4, far))
    ]
    np.testing.assert_allclose(1 - quadratic_kappa_of(np.stack([near, far])), expected)


@pytest.mark.parametrize("bins", [(0, 0), (0, 2)])
def test_one_bin_each_tells_nothing_apart(bins):
    confusion = np.zeros((3, 3))
    confusion[bins] = 7
    assert math.isnan(quadratic_kappa_of(confusion))
    rounding = confusion + np.where(confusion > 0, 0, 1e-15)  # what leaving a case out leaves
    assert math.isnan(quadratic_kappa_of(rounding))


def test_nothing_is_undefined():
    for figure in (balanced_accuracy_of, macro_f1_of, quadratic_kappa_of):
        assert math.isnan(figure(np.zeros((3, 3))))
