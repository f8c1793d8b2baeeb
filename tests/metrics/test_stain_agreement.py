import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tumor_ratio.metrics.stain_agreement import evenly_spread, soft_dice

amount = st.floats(0, 1e3).map(lambda value: round(value, 3))
cells = st.lists(st.tuples(amount, amount), max_size=40).map(
    lambda pairs: np.array(pairs, dtype=float).reshape(-1, 2).T
)


def test_a_hand_worked_example():
    assert soft_dice([0.0, 0.2, 0.5], [0.1, 0.4, 0.3]) == pytest.approx(2 * 0.5 / 1.5)


def test_it_is_dices_coefficient_of_masks():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 500)) < 0.3
    assert soft_dice(a, b) == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))


@settings(max_examples=60, deadline=None)
@given(cells)
def test_it_is_symmetric_and_lies_in_0_to_1(pair):
    a, b = pair
    assume(a.sum() + b.sum() > 0)
    assert 0 <= soft_dice(a, b) <= 1 + 1e-12
    assert soft_dice(a, b) == pytest.approx(soft_dice(b, a))
    assert soft_dice(pair.ravel(), pair.ravel()) == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(cells, st.floats(0.01, 100))
def test_a_common_scale_changes_nothing_and_a_scale_of_one_side_costs(pair, scale):
    a, b = pair
    assume(a.sum() > 0)
    assert soft_dice(scale * a, scale * b) == pytest.approx(soft_dice(a, b))
    assert soft_dice(a, scale * a) == pytest.approx(2 * min(1, scale) / (1 + scale))


def test_stain_in_other_cells_is_0_and_no_stain_at_all_is_undefined():
    assert soft_dice([1, 0, 2], [0, 3, 0]) == 0
    assert soft_dice([1, 2], [0, 0]) == 0
    assert math.isnan(soft_dice([0, 0], [0, 0]))
    assert math.isnan(soft_dice([], []))


@settings(max_examples=60, deadline=None)
@given(cells)
def test_spreading_keeps_the_sum_and_the_proportions(pair):
    stain, tissue = pair
    assume(tissue.sum() > 0)
    spread = evenly_spread(stain, tissue)
    assert spread.shape == tissue.shape
    assert spread.sum() == pytest.approx(stain.sum())
    assert spread * tissue.sum() == pytest.approx(tissue * stain.sum())


def test_spread_over_nothing_is_nothing():
    assert evenly_spread([1, 2, 3], [0, 0, 0]).tolist() == [0, 0, 0]
    assert evenly_spread([], []).tolist() == []
    assert evenly_spread([4, 0, 0, 0], [1, 1, 2, 0]).tolist() == [1, 1, 2, 0]


def test_a_place_that_is_known_is_worth_more_than_an_amount():
    rng = np.random.default_rng(0)
    tissue = rng.uniform(0.5, 1, 100)
    stain = np.where(np.arange(100) < 20, tissue, 0)
    near = stain * rng.uniform(0.7, 1.3, 100)
    assert soft_dice(near, stain) > 0.8
    assert soft_dice(evenly_spread(near, tissue), stain) < 0.5
