import math

import numpy as np
import pandas as pd
import pytest

from tumor_ratio.metrics.baseline_predictions import baseline_predictions
from tumor_ratio.metrics.baselines import (
    BASELINES,
    COLOUR,
    RIDGES,
    choose_ridge,
    constant_baselines,
    fit_ridge,
)
from tumor_ratio.metrics.oracle import cross_fitted
from tumor_ratio.schemas import Folds, Predictions


def features(rng, count):
    return pd.DataFrame(
        {
            "mean_red": rng.uniform(100, 200, count),
            "mean_green": rng.uniform(60, 160, count),
            "mean_blue": rng.uniform(100, 220, count),
            "n_he_nuclei": rng.integers(20, 90, count),
            "he_nuclei_um2": rng.uniform(800, 3000, count),
        }
    )


def linear(table):
    return 0.3 + 0.002 * (table["mean_red"] - 150) - 0.001 * (table["mean_green"] - 110)


def test_constants_are_what_they_say():
    found = constant_baselines(np.array([0.0, 0.1, 0.1, 0.6, math.nan]))
    assert found == pytest.approx(
        {"training_mean": 0.2, "training_median": 0.1, "majority_bin": 0.1}
    )


def test_without_labels_the_constants_are_undefined():
    assert all(math.isnan(value) for value in constant_baselines(np.array([math.nan])).values())


def test_ridge_recovers_a_planted_linear_relation():
    rng = np.random.default_rng(0)
    table = features(rng, 400)
    ridge = fit_ridge(COLOUR, table, linear(table).to_numpy(), alpha=0.0)
    np.testing.assert_allclose(ridge.coefficients / ridge.scale, [0.002, -0.001, 0], atol=1e-9)
    fresh = features(rng, 50)
    np.testing.assert_allclose(ridge.predict(fresh), linear(fresh), atol=1e-9)


def test_ridge_equals_scikit_learns():
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(1)
    table = features(rng, 80)
    targets = (linear(table) + rng.normal(0, 0.05, 80)).to_numpy()
    scaled = StandardScaler().fit(table[list(COLOUR)].to_numpy())
    expected = Ridge(alpha=0.3 * 80).fit(scaled.transform(table[list(COLOUR)].to_numpy()), targets)
    ridge = fit_ridge(COLOUR, table, targets, alpha=0.3)
    np.testing.assert_allclose(ridge.coefficients, expected.coef_, rtol=1e-9)


def test_predictions_stay_within_zero_and_one_and_keep_nan():
    rng = np.random.default_rng(2)
    table = features(rng, 30)
    ridge = fit_ridge(COLOUR, table, 5 * linear(table).to_numpy(), alpha=0.0)
    table.loc[0, "mean_red"] = math.nan
    predicted = ridge.predict(table)
    assert math.isnan(predicted[0])
    assert predicted[1:].min() >= 0
    assert predicted[1:].max() <= 1


def test_a_constant_feature_is_harmless():
    table = features(np.random.default_rng(3), 20).assign(mean_red=100.0)
    ridge = fit_ridge(COLOUR, table, np.linspace(0, 1, 20), alpha=0.1)
    assert np.isfinite(ridge.predict(table)).all()


def test_validation_slides_choose_the_penalty():
    rng = np.random.default_rng(4)
    table = features(rng, 300).assign(slide_id="v")
    table["tumor_ratio"] = linear(table)
    assert choose_ridge(COLOUR, table, table, [0.0, 1.0, 100.0]).alpha == 0.0
    noise = table.assign(tumor_ratio=rng.permutation(table["tumor_ratio"]))
    few = noise.iloc[:6]
    assert choose_ridge(COLOUR, few, noise, [0.0, 100.0]).alpha == 100.0


def test_nothing_to_fit_on_is_an_error():
    with pytest.raises(ValueError, match="no training region"):
        fit_ridge(COLOUR, features(np.random.default_rng(0), 3), np.full(3, math.nan), alpha=1.0)


def cohort(rng):
    slides = [f"s{i}" for i in range(6)]
    splits = ["train", "train", "train", "validation", "test", "test"]
    patches = pd.DataFrame(
        {
            "region_id": [f"{slide}_{i}" for slide in slides for i in range(40)],
            "slide_id": np.repeat(slides, 40),
            "tile_id": [f"{slide}_t{i // 20}" for slide in slides for i in range(40)],
        }
    )
    folds = pd.DataFrame(
        {
            "protocol": "holdout", "repeat": 0, "fold": 0, "slide_id": slides, "case_id": slides,
            "split": splits,
        }
    )  # fmt: skip
    seen = features(rng, len(patches)).assign(region_id=patches["region_id"])
    references = pd.DataFrame(
        {
            "region_id": patches["region_id"],
            "reference": "ihc_measured",
            "tumor_ratio": linear(seen).clip(0, 1),
        }
    )
    quality = pd.DataFrame({"region_id": patches["tile_id"].unique(), "kept": True})
    return patches, quality, references, seen, folds


def predicted(parts):
    return baseline_predictions(*parts, reference="ihc_measured", alphas=[1e-6, 1.0])


def test_every_baseline_predicts_validation_and_test_slides():
    parts = cohort(np.random.default_rng(5))
    table = Predictions.validate(predicted(parts))
    assert table["approach"].unique().tolist() == list(BASELINES)
    counts = table.groupby("approach")["region_id"].nunique()
    assert (counts == 3 * 40).all()
    exact = table[table["approach"] == "ridge_colour"].merge(parts[2], on="region_id")
    np.testing.assert_allclose(exact["tumor_ratio_x"], exact["tumor_ratio_y"], atol=1e-4)


def test_labels_of_test_slides_and_of_dropped_tiles_change_nothing():
    patches, quality, references, seen, folds = cohort(np.random.default_rng(6))
    quality["kept"] = [not tile.startswith("s0_t1") for tile in quality["region_id"]]
    first = predicted((patches, quality, references, seen, folds))
    dropped = patches.loc[
        patches["slide_id"].isin(["s4", "s5"]) | (patches["tile_id"] == "s0_t1"), "region_id"
    ]
    other = references.assign(
        tumor_ratio=references["tumor_ratio"].where(~references["region_id"].isin(dropped), 0.99)
    )
    pd.testing.assert_frame_equal(first, predicted((patches, quality, other, seen, folds)))


def test_validation_slides_count_alike_in_a_ridges_calibration():
    """One has 39 regions whose label lies 0.3 above the features' truth, the other one on it."""
    patches, quality, references, seen, folds = cohort(np.random.default_rng(8))
    folds["split"] = ["train", "train", "train", "validation", "validation", "test"]
    own = patches["slide_id"].isin(["s3", "s4"])
    kept = own & (patches["slide_id"].eq("s3") | patches["region_id"].eq("s4_0"))
    patches = patches[~own | kept].reset_index(drop=True)
    for column in seen.columns.drop("region_id"):  # all alike there: the map is one mean
        seen.loc[own, column] = seen.loc[own, column].iloc[0]
    truth = float(linear(seen[own]).clip(0, 1).iloc[0])
    above = references["region_id"].str.startswith("s3_")
    references.loc[own, "tumor_ratio"] = truth
    references.loc[above, "tumor_ratio"] = truth + 0.3
    table = predicted((patches, quality, references, seen, folds))
    row = table[(table["approach"] == "ridge_colour") & (table["region_id"] == "s4_0")].iloc[0]
    assert row["tumor_ratio"] == pytest.approx(truth, abs=1e-3)
    assert row["tumor_ratio_calibrated"] == pytest.approx(truth + 0.15, abs=1e-3)


def test_without_folds_or_features_nothing_breaks():
    patches, quality, references, seen, folds = cohort(np.random.default_rng(7))
    assert predicted((patches, quality, references, seen, Folds.empty())).empty
    table = predicted((patches, quality, references, seen.iloc[:0], folds))
    ridges = table[table["approach"].isin(RIDGES)]
    assert ridges["tumor_ratio"].isna().all()
    assert table.loc[table["approach"] == "training_mean", "tumor_ratio"].notna().all()


def oracle_world(rng, count=600):
    cases = np.repeat([f"c{i}" for i in range(10)], count // 10)
    truth = rng.uniform(0, 1, count)
    around = np.clip(truth + rng.normal(0, 0.02, count), 0, 1)
    truths = pd.DataFrame(
        {"he_true": truth, "he_true_around": around, "he_n_nuclei": 40, "he_n_around": 300}
    )
    return truths, truth, cases


def test_the_oracle_finds_what_the_truth_says_of_the_label():
    rng = np.random.default_rng(8)
    truths, truth, cases = oracle_world(rng)
    measured = np.clip(0.8 * truth**2 + rng.normal(0, 0.02, truth.size), 0, 1)
    estimates = cross_fitted(truths, measured, cases, loss="absolute_error", groups=5, seed=0)
    assert np.abs(estimates - measured).mean() < 0.035


def test_the_oracle_never_sees_the_case_it_estimates():
    rng = np.random.default_rng(9)
    truths, truth, cases = oracle_world(rng)
    measured = truth.copy()
    measured[cases == "c3"] = 0.0  # a case that contradicts all others cannot be learned from them
    estimates = cross_fitted(truths, measured, cases, loss="squared_error", groups=10, seed=0)
    np.testing.assert_allclose(estimates[cases == "c3"], truth[cases == "c3"], atol=0.1)


def test_the_oracle_needs_some_labels():
    truths, truth, cases = oracle_world(np.random.default_rng(10), count=10)
    estimates = cross_fitted(truths, truth, cases, loss="absolute_error", groups=5, seed=0)
    assert np.isnan(estimates).all()
