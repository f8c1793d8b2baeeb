import numpy as np
import pytest

from tumor_ratio.metrics.paired_comparison import compare_pairs
from tumor_ratio.metrics.sign_flips import holm, sign_flip_test
from tumor_ratio.schemas import PairedComparisons

SLIDES = np.repeat(np.arange(8), 12)


@pytest.fixture(scope="module")
def planted():
    """Measured ratios, and predictions that are off by a known distance on each slide."""
    rng = np.random.default_rng(4)
    measured = rng.uniform(0.3, 0.6, len(SLIDES))
    sign = rng.choice([-1, 1], len(SLIDES))
    distance = {
        "net": np.linspace(0.02, 0.06, 8), "other": np.linspace(0.06, 0.05, 8),
        "training_median": np.linspace(0.1, 0.2, 8), "ridge": np.linspace(0.05, 0.09, 8),
    }  # fmt: skip
    return measured, distance, {k: measured + sign * d[SLIDES] for k, d in distance.items()}


def pair(table, a, b, output="raw", regions="admitted"):
    chosen = table[(table["approach_a"] == a) & (table["approach_b"] == b)]
    return chosen[(chosen["output"] == output) & (chosen["regions"] == regions)].iloc[0]


def test_models_among_themselves_and_against_the_baselines(planted, compared_of, approaches_of):
    measured, distance, predictions = planted
    compared = compared_of(measured, SLIDES, predictions)
    table = compare_pairs(compared, approaches_of(predictions))
    PairedComparisons.validate(table)
    one = table[(table["output"] == "raw") & (table["regions"] == "selected")]
    assert list(zip(one["approach_a"], one["approach_b"], strict=True)) == [
        ("net", "other"), ("net", "training_median"), ("net", "ridge"),
        ("other", "training_median"), ("other", "ridge"),
    ]  # fmt: skip
    np.testing.assert_allclose(one["p_holm"], holm(one["p_value"]))
    row = pair(table, "net", "ridge")
    difference = distance["net"] - distance["ridge"]
    assert row["effect"] == pytest.approx(difference.mean())
    assert row["effect"] < 0  # a is better
    assert row["lower"] < row["effect"] < row["upper"] < 0
    assert row["p_value"] == sign_flip_test(difference).p_value == 2 / 2**8
    assert (row["n_slides"], row["n_cases"], row["exact"]) == (8, 8, True)


def test_slides_of_a_case_are_one(planted, compared_of, approaches_of):
    measured, distance, predictions = planted
    compared = compared_of(measured, SLIDES, predictions, cases=SLIDES // 2)
    row = pair(compare_pairs(compared, approaches_of(predictions)), "net", "ridge")
    assert (row["n_slides"], row["n_cases"]) == (8, 4)
    assert row["p_value"] == 2 / 2**4
    assert row["effect"] == pytest.approx((distance["net"] - distance["ridge"]).mean())


def test_repeats_are_averaged_before_they_are_compared(planted, compared_of, approaches_of):
    measured, _, predictions = planted
    shifted = {name: np.stack([p, 2 * p - measured]) for name, p in predictions.items()}
    compared = compared_of(measured, SLIDES, shifted, repeats=2)
    row = pair(compare_pairs(compared, approaches_of(predictions)), "net", "ridge")
    once = compare_pairs(compared_of(measured, SLIDES, predictions), approaches_of(predictions))
    assert row["effect"] == pytest.approx(1.5 * pair(once, "net", "ridge")["effect"])
    assert row["p_value"] == 2 / 2**8


def test_one_slide_has_an_effect_and_no_test(planted, compared_of, approaches_of):
    measured, _, predictions = planted
    only = SLIDES == 3
    own = {name: values[only] for name, values in predictions.items()}
    compared = compared_of(measured[only], SLIDES[only], own)
    table = compare_pairs(compared, approaches_of(own))
    PairedComparisons.validate(table)
    assert table["effect"].notna().all()
    assert table[["lower", "upper", "p_value", "p_holm"]].isna().all(axis=None)


def test_a_missing_prediction_leaves_its_pairs_undefined(planted, compared_of, approaches_of):
    measured, _, predictions = planted
    compared = compared_of(measured, SLIDES, predictions)
    hole = compared.index[(compared["approach"] == "other")][5]
    compared.loc[hole, "calibrated"] = np.nan
    table = compare_pairs(compared, approaches_of(predictions))
    assert np.isnan(pair(table, "net", "other", "calibrated")["effect"])
    own = table[(table["output"] == "calibrated") & (table["regions"] == "admitted")]
    assert own["p_holm"].notna().sum() == 2  # the pairs without it, adjusted for two
    assert pair(table, "net", "ridge", "calibrated")["p_holm"] == 2 * 2 / 2**8
    assert pair(table, "net", "other")["effect"] < 0


def test_without_models_there_are_no_pairs(planted, compared_of, approaches_of):
    measured, _, predictions = planted
    own = {"ridge": predictions["ridge"]}
    table = compare_pairs(compared_of(measured, SLIDES, own), approaches_of(own))
    assert table.empty
    PairedComparisons.validate(table)
