import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.metrics.folds import assign_folds
from tumor_ratio.schemas import Folds


def slides_of(cases: list[str], burden: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"slide_id": [f"s{i:02d}" for i in range(len(cases))], "case_id": cases, "burden": burden}
    )


cohorts = st.lists(
    st.tuples(st.integers(0, 12), st.floats(0, 1) | st.just(float("nan"))), min_size=3, max_size=40
).filter(lambda rows: len({case for case, _ in rows}) >= 3)


@settings(max_examples=60, deadline=None)
@given(cohorts, st.floats(0.05, 0.45), st.floats(0.05, 0.45), st.integers(0, 9))
def test_each_slide_once_no_case_in_two_splits_and_no_empty_split(rows, validation, test, seed):
    slides = slides_of([f"c{case}" for case, _ in rows], [burden for _, burden in rows])
    folds = assign_folds(slides, validation_share=validation, test_share=test, seed=seed)
    Folds.validate(folds)
    assert folds["slide_id"].tolist() == slides["slide_id"].tolist()
    assert (folds.groupby("case_id")["split"].nunique() == 1).all()
    assert set(folds["split"]) == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(5))
def test_every_part_spans_low_to_high_burden(seed):
    burden = np.linspace(0, 1, 40)
    slides = slides_of([f"c{i}" for i in range(40)], burden.tolist())
    folds = assign_folds(slides, validation_share=0.2, test_share=0.2, seed=seed)
    joined = folds.merge(slides, on="slide_id")
    for _, part in joined.groupby("split"):
        assert part["burden"].min() < 0.2
        assert part["burden"].max() > 0.8
        assert part["burden"].mean() == pytest.approx(0.5, abs=0.1)


def test_the_shares_are_met_and_the_seed_decides():
    slides = slides_of([f"c{i}" for i in range(20)], np.linspace(0, 1, 20).tolist())
    first = assign_folds(slides, validation_share=0.2, test_share=0.25, seed=1)
    assert first["split"].value_counts().to_dict() == {"train": 11, "test": 5, "validation": 4}
    again = assign_folds(slides, validation_share=0.2, test_share=0.25, seed=1)
    pd.testing.assert_frame_equal(first, again)
    other = assign_folds(slides, validation_share=0.2, test_share=0.25, seed=2)
    assert not first["split"].equals(other["split"])


def test_too_few_cases_says_how_many_are_needed():
    slides = slides_of(["a", "a", "b"], [0.1, 0.2, 0.3])
    with pytest.raises(ConfigurationError, match=r"2 case.*at least 3 cases are needed"):
        assign_folds(slides, validation_share=0.2, test_share=0.2, seed=0)


def test_shares_leave_a_training_part():
    with pytest.raises(ValueError, match="together below 1"):
        assign_folds(slides_of(["a"], [0.1]), validation_share=0.5, test_share=0.5, seed=0)


def test_a_slide_twice_is_refused():
    slides = slides_of(["a", "b", "c"], [0.1, 0.2, 0.3]).assign(slide_id="s")
    with pytest.raises(ValueError, match="twice"):
        assign_folds(slides, validation_share=0.2, test_share=0.2, seed=0)
