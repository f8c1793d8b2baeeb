import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from tumor_ratio.metrics.nuclei_matching import NucleiMatch, match_nuclei

NOTHING = np.empty((0, 2))


def test_planted_nuclei_are_found_again():
    rng = np.random.default_rng(0)
    first = np.stack(np.meshgrid(np.arange(20), np.arange(15)), -1).reshape(-1, 2) * 12.0
    moved = first + rng.uniform(-2, 2, first.shape)
    kept, extra = moved[rng.permutation(300)[:240]], rng.uniform(500, 900, (60, 2))
    found = match_nuclei(first, np.concatenate([extra, kept]), within_um=3)
    assert found == NucleiMatch(300, 300, 240)
    assert (found.recall, found.precision, found.f1) == pytest.approx((0.8, 0.8, 0.8))


def test_the_ratios_are_those_of_the_counts():
    match = NucleiMatch(n_first=10, n_second=5, n_both=4)
    assert (match.recall, match.precision) == (0.4, 0.8)
    assert match.f1 == pytest.approx(2 * 0.4 * 0.8 / (0.4 + 0.8))


def test_a_nucleus_is_matched_once_however_many_are_near():
    pair = [[0.0, 0.0], [1.0, 0.0]]
    assert match_nuclei([[0.4, 0.0]], pair, within_um=5).n_both == 1
    assert match_nuclei(pair, [[0.4, 0.0]], within_um=5).n_both == 1
    assert match_nuclei(np.zeros((7, 2)), np.zeros((4, 2)), within_um=1).n_both == 4


def test_as_many_pairs_as_can_be_also_where_the_nearest_first_would_lose_one():
    first, second = [[0.0, 0.0], [3.0, 0.0]], [[2.0, 0.0], [5.0, 0.0]]
    nearest = np.unravel_index(cdist(first, second).argmin(), (2, 2))
    assert nearest == (1, 0)  # which leaves two that are 5 um apart
    assert match_nuclei(first, second, within_um=2.5).n_both == 2


@pytest.mark.parametrize("seed", range(10))
def test_the_number_is_the_greatest_symmetric_bounded_and_grows_with_the_distance(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(0, 40, (60, 2)), rng.uniform(0, 40, (45, 2))
    counts = []
    for within in (0.5, 2.0, 4.0, 100.0):
        found = match_nuclei(first, second, within_um=within)
        near = cdist(first, second) <= within
        assert found.n_both == near[linear_sum_assignment(near, maximize=True)].sum()
        assert match_nuclei(second, first, within_um=within) == NucleiMatch(45, 60, found.n_both)
        counts.append(found.n_both)
    assert counts == sorted(counts)
    assert counts[-1] == 45


def test_a_pair_as_far_apart_as_allowed_counts():
    assert match_nuclei([[0.0, 0.0]], [[3.0, 4.0]], within_um=5).n_both == 1
    assert match_nuclei([[0.0, 0.0]], [[3.0, 4.0]], within_um=4.999).n_both == 0


def test_without_nuclei_the_ratios_are_undefined_and_never_0():
    one = [[1.0, 2.0]]
    missed, invented, empty = (
        match_nuclei(a, b, within_um=3) for a, b in ((one, NOTHING), (NOTHING, one), ([], []))
    )
    assert (missed.recall, missed.f1, missed.n_first) == (0, 0, 1)
    assert math.isnan(missed.precision)
    assert (invented.precision, invented.f1, invented.n_second) == (0, 0, 1)
    assert math.isnan(invented.recall)
    assert empty == NucleiMatch(0, 0, 0)
    assert all(map(math.isnan, (empty.recall, empty.precision, empty.f1)))


@pytest.mark.parametrize("within", [0, -1, math.nan])
def test_a_distance_that_is_not_above_0_is_refused(within):
    with pytest.raises(ValueError, match=f"within_um must be above 0, not {within}"):
        match_nuclei([[0, 0]], [[0, 0]], within_um=within)
