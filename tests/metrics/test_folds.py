import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.metrics.folds import (
    FoldKey,
    assign_folds,
    check_folds,
    cross_validation_folds,
    keys_of,
)
from tumor_ratio.metrics.folds import slides_of as slides_in
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


# --- cross-validation


def crossed(slides: pd.DataFrame, folds: int = 4, repeats: int = 1, **options) -> pd.DataFrame:
    options = {"validation_share": 0.1, "seed": 0, **options}
    return cross_validation_folds(slides, folds=folds, repeats=repeats, **options)


@settings(max_examples=60, deadline=None)
@given(cohorts, st.integers(2, 5), st.integers(1, 3), st.floats(0.05, 0.4), st.integers(0, 9))
def test_a_case_is_in_one_part_of_a_fold_and_tested_once_a_repeat(rows, n, repeats, share, seed):
    slides = slides_of([f"c{case}" for case, _ in rows], [burden for _, burden in rows])
    cases = slides["case_id"].nunique()
    if cases < n or cases - -(-cases // n) < 2:
        with pytest.raises(ConfigurationError, match=rf"{cases} case.* into {n} folds"):
            crossed(slides, n, repeats, validation_share=share, seed=seed)
        return
    folds = crossed(slides, n, repeats, validation_share=share, seed=seed)
    Folds.validate(folds)
    check_folds(folds)
    runs = folds.groupby(["repeat", "fold"])
    assert runs.ngroups == n * repeats == len(keys_of(folds, "cross_validation"))
    for _, fold in runs:
        assert fold["slide_id"].tolist() == slides["slide_id"].tolist()
        assert (fold.groupby("case_id")["split"].nunique() == 1).all()
        assert set(fold["split"]) == {"train", "validation", "test"}
    tested = folds[folds["split"] == "test"].groupby("repeat")["slide_id"]
    assert tested.apply(sorted).tolist() == [sorted(slides["slide_id"])] * repeats
    sizes = folds[folds["split"] == "test"].groupby(["repeat", "fold"])["case_id"].nunique()
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("seed", range(4))
def test_every_part_of_every_fold_spans_low_to_high_burden(seed):
    slides = slides_of([f"c{i}" for i in range(40)], np.linspace(0, 1, 40).tolist())
    folds = crossed(slides, 4, 2, validation_share=0.2, seed=seed)
    joined = folds.merge(slides, on="slide_id")
    for _, part in joined.groupby(["repeat", "fold", "split"]):
        assert part["burden"].min() < 0.25
        assert part["burden"].max() > 0.75
        assert part["burden"].mean() == pytest.approx(0.5, abs=0.1)


def test_repeats_differ_and_do_not_depend_on_their_number():
    slides = slides_of([f"c{i}" for i in range(20)], np.linspace(0, 1, 20).tolist())
    three = crossed(slides, 4, 3, seed=1)
    pd.testing.assert_frame_equal(three, crossed(slides, 4, 3, seed=1))
    tests = [
        {frozenset(slides_in(three, "cross_validation", "test", key=FoldKey(repeat, fold)))
         for fold in range(4)}
        for repeat in range(3)
    ]  # fmt: skip
    assert not tests[0] & tests[1]
    assert not tests[1] & tests[2]
    one = crossed(slides, 4, 1, seed=1)
    pd.testing.assert_frame_equal(three[three["repeat"] == 0], one)
    assert not one["split"].equals(crossed(slides, 4, 1, seed=2)["split"])
    validates = one[one["split"] == "validation"].groupby("fold").size()
    assert validates.tolist() == [2, 2, 2, 2]  # a tenth of all cases


def test_impossible_numbers_of_folds_are_refused():
    slides = slides_of(["a", "b", "c"], [0.1, 0.2, 0.3])
    with pytest.raises(ConfigurationError, match=r"3 case.*into 4 folds.*lower `split\.folds`"):
        crossed(slides, 4)
    with pytest.raises(ConfigurationError, match="one to train and one to validate"):
        crossed(slides, 2)  # a fold of two leaves one case
    for wrong in ({"folds": 1}, {"repeats": 0}, {"folds": 2, "validation_share": 0.5}):
        with pytest.raises(ValueError, match="at least 2 folds"):
            crossed(slides, **wrong)


def test_slides_of_takes_the_first_fold_unless_told():
    slides = slides_of([f"c{i}" for i in range(9)], np.linspace(0, 1, 9).tolist())
    folds = crossed(slides, 3)
    parts = [
        slides_in(folds, "cross_validation", "test", key=key)
        for key in keys_of(folds, "cross_validation")
    ]
    assert slides_in(folds, "cross_validation", "test") == parts[0]
    assert set.union(*parts) == set(slides["slide_id"])
    assert slides_in(folds, "holdout", "test") == set()
    assert keys_of(folds, "holdout") == []


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        (["s0", "c0", 0, "train"], r"slide s0 is in test and train of one fold .*repeat 0, fold 0"),
        (["s9", "c0", 0, "train"], "case c0 is in test and train of one fold"),
        (["s1", "c1", 0, "train"], "slide s1 stands twice in one fold"),
        (["s0", "c0", 1, "test"], "case c0 is tested in 2 folds of cross_validation, repeat 0"),
    ],
)
def test_a_damaged_table_is_refused(planted, message):
    rows = [["s0", "c0", 0, "test"], ["s1", "c1", 0, "train"], ["s2", "c2", 0, "validation"]]
    columns = ["slide_id", "case_id", "fold", "split"]
    table = pd.DataFrame(rows, columns=columns).assign(protocol="cross_validation", repeat=0)
    check_folds(table)
    check_folds(Folds.empty())
    bad = pd.DataFrame([planted], columns=columns).assign(protocol="cross_validation", repeat=0)
    with pytest.raises(ConfigurationError, match=message):
        check_folds(Folds.validate(pd.concat([table, bad], ignore_index=True)))


def test_a_slide_in_two_parts_is_refused_wherever_slides_are_asked_for():
    table = pd.DataFrame({"slide_id": "s", "case_id": "c", "split": ["train", "test"]})
    folds = table.assign(protocol="holdout", repeat=0, fold=0)
    with pytest.raises(ConfigurationError, match=r"slide s is in test and train.*ground_truth"):
        slides_in(folds, "holdout", "train")
