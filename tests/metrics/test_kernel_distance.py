"""The unbiased kernel distance: by its definition, 0 for equals, growing with a planted shift."""

import math

import numpy as np
import pytest

from tumor_ratio.metrics.kernel_distance import kernel_distance, kernel_distance_of_subsets


def plainly(first, second):
    """The definition, vector by vector."""

    def kernel(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    n, m = len(first), len(second)
    within_first = sum(kernel(first[i], first[j]) for i in range(n) for j in range(n) if i != j) / (
        n * (n - 1)
    )
    within_second = sum(
        kernel(second[i], second[j]) for i in range(m) for j in range(m) if i != j
    ) / (m * (m - 1))
    between = sum(kernel(x, y) for x in first for y in second) / (n * m)
    return within_first + within_second - 2 * between


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (7, 4, 3), (5, 11, 8)])
def test_it_is_its_definition(n, m, d):
    rng = np.random.default_rng(n)
    first, second = rng.normal(size=(n, d)), rng.normal(0.5, 2, size=(m, d))
    assert kernel_distance(first, second) == pytest.approx(plainly(first, second), rel=1e-12)
    assert kernel_distance(second, first) == pytest.approx(kernel_distance(first, second))


def test_its_mean_is_zero_for_samples_of_one_distribution():
    """Where the biased estimate, which counts each vector with itself, is far above 0."""
    rng = np.random.default_rng(0)
    found = [kernel_distance(*rng.normal(size=(2, 20, 6))) for _ in range(2000)]
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert np.mean(np.array(found) < 0) > 0.3
    assert error < 0.01


def test_it_grows_with_a_planted_shift():
    first, second = np.random.default_rng(1).normal(size=(2, 400, 8))
    found = [kernel_distance(first, second + shift) for shift in (0, 0.25, 0.5, 1)]
    assert found == sorted(found)
    assert found[1] > 10 * abs(found[0])


def test_a_change_of_spread_alone_is_seen():
    first, second = np.random.default_rng(2).normal(size=(2, 400, 8))
    assert kernel_distance(first, 1.5 * second) > 10 * abs(kernel_distance(first, second))


def test_the_mean_over_subsets_is_that_of_all():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(60, 5)), rng.normal(0.4, 1, size=(90, 5))
    found = kernel_distance_of_subsets(first, second, subsets=3000, subset_size=20, seed=0)
    error = found.sd / math.sqrt(3000)
    assert found.mean == pytest.approx(kernel_distance(first, second), abs=4 * error)
    assert found.sd > 0


def test_subsets_follow_the_seed_and_are_half_of_a_set_at_most():
    first, second = np.random.default_rng(4).normal(size=(2, 30, 5))

    def of(seed, size=10):
        return kernel_distance_of_subsets(first, second, subsets=20, subset_size=size, seed=seed)

    assert of(1) == of(1) != of(2)
    assert of(1, 15) == of(1, 1000)
    assert of(1, 1000).sd > 0


def test_what_is_undefined_is_nan():
    x = np.random.default_rng(5).normal(size=(10, 3))
    assert math.isnan(kernel_distance(x[:1], x))
    few = kernel_distance_of_subsets(x[:3], x, subsets=5, subset_size=2, seed=0)
    assert few.mean == pytest.approx(kernel_distance(x[:3], x))
    assert math.isnan(few.sd)
    single = kernel_distance_of_subsets(x, x, subsets=1, subset_size=4, seed=0)
    assert math.isfinite(single.mean)
    assert math.isnan(single.sd)
    none = kernel_distance_of_subsets(x[:1], x, subsets=5, subset_size=2, seed=0)
    assert math.isnan(none.mean)


@pytest.mark.parametrize("other", [np.zeros((4, 2)), np.zeros(3), np.zeros((4, 0))])
def test_sets_that_cannot_be_compared_are_refused(other):
    with pytest.raises(ValueError, match=r"features are \(N, d\) and \(M, d\)"):
        kernel_distance(np.zeros((4, 3)), other)


def test_subsets_of_nothing_are_refused():
    x = np.zeros((9, 3))
    for subsets, size in ((0, 3), (3, 1)):
        with pytest.raises(ValueError, match="at least 1 of 2 are needed"):
            kernel_distance_of_subsets(x, x, subsets=subsets, subset_size=size, seed=0)
