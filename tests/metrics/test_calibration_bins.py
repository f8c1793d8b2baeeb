import numpy as np
import pandas as pd
import pytest

from tumor_ratio.metrics.calibration_bins import calibration_bins, equal_groups


def compared(slides: dict[str, tuple[list[float], list[float]]], approach="net") -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {"approach": approach, "slide_id": name, "case_id": name, "tile_id": f"{name}t",
             "raw": predicted, "measured": measured}
        )
        for name, (predicted, measured) in slides.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_groups_hold_the_planted_means_with_each_slide_weighing_the_same():
    # Low predictions: one region of a, four of b, so b's regions weigh a quarter of a's.
    table = compared(
        {"a": ([0.1, 0.8], [0.2, 0.7]), "b": ([0.1] * 4 + [0.8] * 4, [0.4] * 4 + [0.9] * 4)}
    )
    found = calibration_bins(table, "raw", groups=2)
    assert found["predicted"].tolist() == pytest.approx([0.1, 0.8])
    assert found["measured"].tolist() == pytest.approx([(0.2 + 0.4) / 2, (0.7 + 0.9) / 2])
    assert found["n_regions"].tolist() == [5, 5]
    assert found["n_slides"].tolist() == [2, 2]
    assert (found["lower"] < found["measured"]).all()
    assert (found["measured"] < found["upper"]).all()


def test_the_interval_is_students_t_where_cases_weigh_the_same():
    table = compared({name: ([0.3], [y]) for name, y in zip("abc", (0.4, 0.5, 0.6), strict=True)})
    row = calibration_bins(table, "raw").iloc[0]
    half = 4.302653 * np.std([0.4, 0.5, 0.6], ddof=1) / np.sqrt(3)
    assert row["lower"] == pytest.approx(0.5 - half, abs=1e-5)
    assert row["upper"] == pytest.approx(0.5 + half, abs=1e-5)
    wide = compared({name: ([0.3], [y]) for name, y in zip("abc", (0.0, 0.1, 0.9), strict=True)})
    assert calibration_bins(wide, "raw").iloc[0]["lower"] == 0  # no mean ratio is below


def test_a_constant_has_one_group_and_a_group_of_one_case_no_interval():
    table = compared({"a": ([0.3] * 5, [0.1] * 5), "b": ([0.3] * 2, [0.5] * 2)})
    assert len(calibration_bins(table, "raw")) == 1
    apart = compared({"a": ([0.1] * 3, [0.1] * 3), "b": ([0.9] * 3, [0.5] * 3)})
    found = calibration_bins(apart, "raw", groups=2)
    assert len(found) == 2
    assert found[["lower", "upper"]].isna().all().all()
    alone = calibration_bins(apart[apart["slide_id"] == "a"], "raw")
    assert alone[["lower", "upper"]].isna().all().all()


def test_an_approach_that_lacks_a_prediction_is_left_out():
    good = compared({"a": ([0.1, 0.2], [0.1, 0.2])})
    bad = compared({"a": ([0.1, np.nan], [0.1, 0.2])}, "bad")
    assert set(calibration_bins(pd.concat([good, bad]), "raw")["approach"]) == {"net"}
    assert calibration_bins(bad, "raw").empty


def test_groups_are_of_equal_weight_and_never_part_ties():
    rng = np.random.default_rng(1)
    values = rng.integers(0, 40, 2000) / 40
    place = equal_groups(values, np.ones(2000), 4)
    assert np.bincount(place).max() < 2 * np.bincount(place).min()
    assert all(len(set(place[values == value])) == 1 for value in np.unique(values))
    assert (np.diff(place[np.argsort(values)]) >= 0).all()
