"""Ratios and agreement from planted class areas."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from tumor_ratio.metrics.class_ratios import ShareMap, class_ratio, fit_share_map
from tumor_ratio.metrics.section_agreement import section_agreement
from tumor_ratio.schemas import SectionAgreement

AREAS = pd.DataFrame(
    [
        ("a", "background", 900.0),
        ("a", "blue", 60.0),
        ("a", "brown", 20.0),
        ("a", "dark brown", 20.0),
        ("b", "background", 990.0),
        ("b", "blue", 10.0),
        ("b", "brown", 0.0),
        ("b", "dark brown", 0.0),
    ],
    columns=["region_id", "class_name", "area_um2"],
)


def test_a_ratio_is_the_counted_share_of_nuclear_area():
    found = class_ratio(AREAS, ["brown", "dark brown"], ["blue"], min_nuclei_um2=50)
    assert found["region_id"].tolist() == ["a", "b"]
    assert found["ratio"].tolist()[0] == pytest.approx(0.4)
    assert math.isnan(found["ratio"][1])
    assert found["counted_um2"].tolist() == [40, 0]
    assert found["nuclei_um2"].tolist() == [100, 10]


def test_classes_that_no_region_has_count_nothing():
    found = class_ratio(AREAS, ["brown"], ["blue", "green"], min_nuclei_um2=0)
    assert found["ratio"].tolist() == pytest.approx([0.25, 0.0])


def test_no_region_no_ratio():
    found = class_ratio(AREAS.iloc[:0], ["brown"], ["blue"], min_nuclei_um2=0)
    assert found.empty
    assert list(found) == ["region_id", "ratio", "counted_um2", "nuclei_um2"]


@pytest.fixture
def agreement():
    regions = ["a", "b", "c", "d"]
    ratios = pd.DataFrame(
        {
            "he": [0.10, 0.30, math.nan, 0.50],
            "ihc": [0.10, 0.36, 0.2, 0.70],
            "nuclei": [0.20, 0.30, 0.2, math.nan],
        },
        index=regions,
    )
    areas = pd.DataFrame(
        {"he": [1.0, 3, 1, 1], "ihc": [1.0, 1, 2, 1], "nuclei": [1.0, 1, 1, 1]}, index=regions
    )
    places = pd.DataFrame(
        {"tile_id": ["t", "t", "u", "u"], "slide_id": ["one", "one", "other", "other"]},
        index=regions,
    )
    table = section_agreement(ratios, areas, places, {"ihc": 0.2, "nuclei": 0.3})
    return SectionAgreement.validate(table).set_index(["unit", "estimate", "against"])


def test_each_estimate_is_held_against_each_reference_once(agreement):
    pairs = [("he", "ihc"), ("he", "nuclei"), ("ihc", "nuclei")]
    assert agreement.index.tolist() == [(u, *pair) for u in ("patch", "tile") for pair in pairs]


def test_patches_are_compared_one_by_one(agreement):
    row = agreement.loc[("patch", "he", "ihc")]
    assert (row["n_slides"], row["n_regions"], row["n_undefined"]) == (2, 3, 1)
    assert row["mae"] == pytest.approx(((0 + 0.06) / 2 + 0.2) / 2)
    assert row["mse"] == pytest.approx((0.06**2 / 2 + 0.2**2) / 2)
    assert row[["within_0_05", "within_0_1", "within_0_2"]].tolist() == pytest.approx(
        [1 / 4, 1 / 2, 1]
    )
    assert row["mae_of_median"] == pytest.approx(((0.1 + 0.16) / 2 + 0.5) / 2)


def test_tiles_are_weighted_by_nuclear_area(agreement):
    row = agreement.loc[("tile", "he", "ihc")]
    # t: H&E (0.1 + 3 * 0.3) / 4, Ki-67 0.23; u: only region d has both, 0.5 and 0.7.
    errors = np.array([0.25 - 0.23, 0.5 - 0.7])
    assert (row["n_slides"], row["n_regions"], row["n_undefined"]) == (2, 2, 0)
    assert row["mae"] == pytest.approx(np.abs(errors).mean())


def test_the_constant_is_of_the_reference_itself(agreement):
    own = agreement["mae_of_median"]
    assert own["patch", "he", "nuclei"] == pytest.approx((0.1 + 0.0) / 2)
    assert own["tile", "he", "ihc"] == pytest.approx((0.03 + 0.5) / 2)


def test_nothing_compared_is_undefined():
    empty = pd.DataFrame({"he": [], "ihc": []}, dtype=float)
    places = pd.DataFrame({"tile_id": [], "slide_id": []}, dtype=object)
    table = section_agreement(empty, empty, places, {"ihc": math.nan})
    assert table["n_regions"].tolist() == [0, 0]
    assert table["mae"].isna().all()


def planted_shares(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    nuclei = rng.uniform(2000, 8000, n)
    ratio = rng.uniform(0, 1, n)
    return pd.DataFrame({"ratio": ratio, "counted_um2": ratio * nuclei, "nuclei_um2": nuclei})


def test_a_map_of_all_shares_is_recovered_whatever_a_few_outliers_say():
    shares = planted_shares(200, seed=1)
    planted = ShareMap(0.05, (0.2, 2e-5, 3e-5))
    measured = planted.apply(shares)
    measured[::10] = 1.0
    fitted = fit_share_map(shares, measured, np.ones(200))
    unseen = planted_shares(50, seed=2)
    assert np.abs(fitted.apply(unseen) - planted.apply(unseen)).max() < 0.02
    assert ShareMap.from_record(json.loads(json.dumps(fitted.to_record()))) == fitted


def test_shares_that_tell_nothing_give_the_median_not_the_mean():
    shares = planted_shares(300, seed=3)
    measured = np.random.default_rng(4).beta(0.3, 2, 300)
    answers = fit_share_map(shares, measured, np.ones(300)).apply(shares)
    assert np.abs(answers.mean() - np.median(measured)) < 0.03
    assert np.mean(measured) > np.median(measured) + 0.06


def test_an_undefined_ratio_has_no_answer():
    shares = planted_shares(3, seed=5)
    shares.loc[1, "ratio"] = np.nan
    answers = ShareMap(0.1, (0.5, 0.0, 0.0)).apply(shares)
    assert np.isnan(answers).tolist() == [False, True, False]
