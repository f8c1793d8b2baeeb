from __future__ import annotations

import math

import numpy as np
import pytest

from tumor_ratio.metrics.tumor_share import (
    Labellings,
    ShareRange,
    tumor_share,
    tumor_share_bounds,
)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.75, 1.0])
def test_the_planted_share_is_recovered(share):
    ratio = share * 0.6 + (1 - share) * 0.1
    assert tumor_share(ratio, 0.6, 0.1) == pytest.approx(share)


def test_a_share_is_not_cut_so_that_it_holds_for_means():
    ratios = np.array([0.0, 0.05, 0.3, 0.9])
    each = [tumor_share(ratio, 0.6, 0.1) for ratio in ratios]
    assert each[0] < 0
    assert each[-1] > 1
    assert np.mean(each) == pytest.approx(tumor_share(ratios.mean(), 0.6, 0.1))
    assert math.isnan(tumor_share(math.nan, 0.6, 0.1))


@pytest.mark.parametrize("ratio", [0.0, 0.04, 0.1, 0.3, 0.45, 0.7, 1.0])
def test_no_labelling_within_the_ranges_gives_a_share_beyond_the_bounds(ratio):
    labellings = Labellings(ShareRange(0.5, 0.4, 0.6), ShareRange(0.05, 0.02, 0.2))
    lower, upper = tumor_share_bounds(ratio, labellings)
    tumor, other = np.meshgrid(np.linspace(0.4, 0.6, 41), np.linspace(0.02, 0.2, 41))
    shares = (ratio - other) / (tumor - other)
    assert (lower, upper) == pytest.approx((shares.min(), shares.max()))
    assert lower <= tumor_share(ratio, 0.5, 0.05) <= upper


@pytest.mark.parametrize(
    ("tumor", "other", "said"),
    [
        ((0.5, 0.6, 0.7), (0.1, 0.0, 0.2), "tumor nuclei, 0.5, must lie in its range, 0.6 to 0.7"),
        ((0.5, 0.4, 1.1), (0.1, 0.0, 0.2), "within 0 to 1"),
        ((0.5, 0.4, 0.6), (0.1, -0.1, 0.2), "other nuclei, 0.1"),
        ((0.5, 0.4, math.nan), (0.1, 0.0, 0.2), "within 0 to 1"),
        ((0.5, 0.4, 0.6), (0.1, 0.0, 0.4), "0.4 is not above 0.4"),
    ],
)
def test_ranges_that_tell_nothing_apart_are_refused(tumor, other, said):
    with pytest.raises(ValueError, match=said):
        Labellings(ShareRange(*tumor), ShareRange(*other))
