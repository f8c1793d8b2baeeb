import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumor_ratio.metrics.consistency import consistency
from tumor_ratio.metrics.skill import gain, skill

SLIDES = ["a", "b", "c", "d"]
BASELINE = pd.Series([0.20, 0.22, 0.18, 0.24], index=SLIDES)
CEILING = pd.Series([0.05, 0.06, 0.05, 0.06], index=SLIDES)

losses = st.lists(st.floats(0.01, 0.5), min_size=4, max_size=4).map(
    lambda values: pd.Series(values, index=SLIDES)
)


def test_the_constant_has_no_skill_and_the_oracle_all_of_it():
    assert skill(BASELINE, BASELINE, CEILING) == 0
    assert skill(BASELINE, CEILING, CEILING) == pytest.approx(1)


def test_half_of_the_possible_gain_is_a_skill_of_one_half():
    assert skill(BASELINE, (BASELINE + CEILING) / 2, CEILING) == pytest.approx(0.5)


@settings(max_examples=40, deadline=None)
@given(losses)
def test_skill_is_not_clipped(approach):
    expected = (BASELINE.mean() - approach.mean()) / (BASELINE.mean() - CEILING.mean())
    assert skill(BASELINE, approach, CEILING) == pytest.approx(expected)


def test_undefined_where_the_oracles_gain_may_be_nothing():
    unsure = pd.Series([0.30, 0.10, 0.25, 0.12], index=SLIDES)
    _, interval = gain(BASELINE, unsure)
    assert interval.lower < 0 < interval.upper
    assert math.isnan(skill(BASELINE, CEILING, unsure))


def test_undefined_where_the_oracle_is_worse_than_the_constant():
    worse = BASELINE + 0.05
    assert gain(BASELINE, worse)[1].upper < 0
    assert math.isnan(skill(BASELINE, BASELINE + 0.01, worse))


def test_undefined_with_one_slide():
    assert math.isnan(skill(BASELINE[:1], CEILING[:1], CEILING[:1]))


def test_gain_is_paired_by_slide():
    shuffled = (BASELINE - 0.1).sample(frac=1, random_state=0)
    value, interval = gain(BASELINE, shuffled)
    assert value == pytest.approx(0.1)
    assert interval.upper - interval.lower == pytest.approx(0, abs=1e-9)


def test_other_slides_are_refused():
    with pytest.raises(ValueError, match="same slides"):
        gain(BASELINE, CEILING[:3])


def test_consistency_of_two_sections():
    found = consistency([0.1, 0.3, 0.5, math.nan], [0.2, 0.3, 0.2, 0.4], ["a", "a", "b", "b"])
    assert found.mae == pytest.approx((0.05 + 0.3) / 2)
    assert found.mse == pytest.approx((0.005 + 0.09) / 2)
    assert (found.n_slides, found.n_regions) == (2, 3)
    assert found.interval.lower == 0  # Student's is below
    assert found.interval.upper > 1


def test_the_interval_of_a_consistency_has_the_confidence_asked_for():
    pair = ([0.1, 0.3, 0.5, 0.2], [0.2, 0.3, 0.2, 0.4], ["a", "a", "b", "c"])
    half, most = (consistency(*pair, confidence).interval for confidence in (0.5, 0.95))
    assert most.lower < half.lower < half.upper < most.upper
    assert consistency(*pair).interval == most


def test_consistency_of_nothing_is_undefined():
    found = consistency([math.nan], [0.1], ["a"])
    assert math.isnan(found.mae)
    assert found.n_regions == 0
