from __future__ import annotations

import math

import numpy as np
import pytest

from tumor_ratio.metrics.calibration import fit_monotone
from tumor_ratio.metrics.rich_scale import area_map, rich_threshold


def test_the_threshold_lies_between_two_planted_groups_of_regions():
    rng = np.random.default_rng(0)
    poor, rich = rng.normal(0.05, 0.02, 900).clip(0), rng.normal(0.55, 0.05, 100)
    ratios = np.concatenate([poor, rich, [np.nan]])
    tau = rich_threshold(ratios, np.arange(1001) % 7)
    assert poor.max() < tau <= rich.min() + 1e-9


def test_a_region_at_the_threshold_is_rich():
    assert rich_threshold([0.1, 0.3], ["a", "b"]) == pytest.approx(0.2, abs=0.005)
    assert 0.1 < rich_threshold([0.1, 0.105], ["a", "b"]) <= 0.105


def test_a_large_slide_does_not_choose_the_threshold_alone():
    # Alone, the large slide would be cut at 0.1 between its own groups.
    large = np.repeat([0.05, 0.15], 5000)
    small = np.repeat([0.1, 0.8], 5)
    ratios = np.concatenate([large, *[small] * 9])
    slides = np.concatenate([np.zeros(10_000), np.repeat(np.arange(1, 10), 10)])
    assert 0.05 < rich_threshold(large, np.zeros(10_000)) <= 0.15
    assert 0.15 < rich_threshold(ratios, slides) <= 0.8


@pytest.mark.parametrize("ratios", [[], [np.nan], [0.2, 0.2]])
def test_without_a_spread_there_is_no_threshold(ratios):
    assert math.isnan(rich_threshold(ratios, ["a"] * len(ratios)))


def test_areas_over_every_threshold_agree_after_the_map():
    rng = np.random.default_rng(1)
    slides = np.repeat(np.arange(5), [1000, 500, 200, 100, 100])
    burden = rng.beta(1.2, 4, 5)[slides]
    measured = np.clip(burden + rng.normal(0, 0.1, len(slides)), 0, 1)
    predicted = 0.5 * measured + 0.1 + rng.normal(0, 0.04, len(slides))
    weights = 1 / np.bincount(slides)[slides] / 5

    def over(ratios, tau):
        return float(weights[ratios >= tau].sum())

    mapped = area_map(predicted, measured, slides).apply(predicted)
    least_squares = fit_monotone(predicted, measured, weights).apply(predicted)
    taus = np.linspace(0.02, 0.9, 45)
    wrong, shrunk = (
        np.array([over(each, tau) - over(measured, tau) for tau in taus])
        for each in (mapped, least_squares)
    )
    assert np.abs(wrong).max() < 0.01
    assert np.abs(shrunk).max() > 0.03


def test_equal_predictions_stay_equal_and_nothing_leaves_the_ratios():
    found = area_map([0.3, 0.3, 0.3, 1.4, np.nan], [0.0, 0.2, 0.4, 1.0, 0.5], ["a"] * 5)
    # Three quarters of the area are tied: they get the middle of their measured ratios.
    np.testing.assert_allclose(found.apply([0.3, 1.4, -1.0, 3.0]), [0.2, 1.0, 0.2, 1.0])
    with pytest.raises(ValueError, match="no finite pair"):
        area_map([np.nan], [0.1], ["a"])
