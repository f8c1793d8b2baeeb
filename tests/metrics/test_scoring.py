import math
import warnings

import numpy as np
import pytest

from tumor_ratio.metrics.aggregation import Interval, student_interval
from tumor_ratio.metrics.figure_ranges import RANGES, cut_to_range
from tumor_ratio.metrics.resampling import jackknife_interval
from tumor_ratio.metrics.scoring import score_table
from tumor_ratio.metrics.unit_scores import aggregations
from tumor_ratio.reporting.study import STUDY_CONFUSIONS
from tumor_ratio.schemas import Scores

N_SLIDES, N_REGIONS = 30, 200
SLIDES = np.repeat(np.arange(N_SLIDES), N_REGIONS)
NOISE, BIAS = 0.06, 0.02
CORRELATIONS = ("pearson", "spearman", "kendall")


def scored(compared, approaches):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return Scores.validate(score_table(compared, approaches))


def figures(scores, approach="net", unit="region", column="value", **others):
    chosen = scores[(scores["approach"] == approach) & (scores["unit"] == unit)]
    for name, value in {"output": "raw", "regions": "admitted", **others}.items():
        chosen = chosen[chosen[name] == value]
    return chosen.set_index("metric")[column]


@pytest.fixture(scope="module")
def measured():
    """Each slide's regions spread in the same way, so that slides differ in nothing."""
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 0.12, len(SLIDES)).clip(0, 1)


@pytest.fixture(scope="module")
def planted(measured, compared_of, approaches_of):
    rng = np.random.default_rng(1)
    noise = rng.normal(0, NOISE, len(SLIDES))
    shuffled = rng.permutation(measured)
    predictions = {
        "net": measured + BIAS + noise,
        "other": measured,
        "training_mean": np.full(len(SLIDES), 0.5),
        "training_median": np.full(len(SLIDES), 0.5),
        "ridge": shuffled,
    }
    return scored(compared_of(measured, SLIDES, predictions), approaches_of(predictions))


def test_truth_scores_perfectly(planted):
    for unit in ("region", "tile", "slide"):
        found = figures(planted, "other", unit)
        one = [
            "within_0_05", "within_0_1", "within_0_2", "bin_accuracy", "r2", "ccc", "icc_2_1",
            "calibration_slope", *CORRELATIONS,
        ]  # fmt: skip
        zero = ["mae", "mse", "rmse", "bias", "limit_lower", "limit_upper"]
        np.testing.assert_allclose(found[one], 1, atol=1e-9)
        np.testing.assert_allclose(found[zero], 0, atol=1e-9)
        assert found["calibration_intercept"] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(
        figures(planted, "other")[
            ["balanced_accuracy", "macro_f1", "quadratic_kappa", "pearson_within",
             "spearman_within", "kendall_within", "mae_in_0_5_to_1"]
        ],
        [1, 1, 1, 1, 1, 1, 0],
        atol=1e-9,
    )  # fmt: skip


def test_shares_without_spread_have_no_interval(planted):
    shares = ("within_0_05", "within_0_1", "within_0_2", "bin_accuracy")
    for name in (*shares, "balanced_accuracy", "macro_f1", "quadratic_kappa"):
        row = planted[
            (planted["approach"] == "other")
            & (planted["unit"] == "region")
            & (planted["metric"] == name)
        ]
        assert (row["value"] == 1).all()
        assert row[["lower", "upper"]].isna().all(axis=None)


def test_known_noise_and_bias_give_known_figures(planted, measured):
    found, variance = figures(planted), measured.var()
    off = NOISE**2 + BIAS**2
    correlation = math.sqrt(variance / (variance + NOISE**2))
    concordance = 2 * variance / (2 * variance + off)
    expected = {
        "bias": BIAS, "mse": off, "rmse": math.sqrt(off), "r2": 1 - off / variance,
        "pearson": correlation, "pearson_within": correlation,
        "spearman": 6 / math.pi * math.asin(correlation / 2),
        "spearman_within": 6 / math.pi * math.asin(correlation / 2),
        "kendall": 2 / math.pi * math.asin(correlation),
        "kendall_within": 2 / math.pi * math.asin(correlation),
        "ccc": concordance, "icc_2_1": concordance,
        "limit_lower": BIAS - 1.96 * NOISE, "limit_upper": BIAS + 1.96 * NOISE,
        "calibration_slope": correlation**2,
        "calibration_intercept": 0.5 - correlation**2 * (0.5 + BIAS),
    }  # fmt: skip
    np.testing.assert_allclose(found[list(expected)], list(expected.values()), atol=0.012)
    lower, upper = figures(planted, column="lower"), figures(planted, column="upper")
    for name in (*expected, "mae", "balanced_accuracy", "quadratic_kappa", "macro_f1"):
        assert lower[name] < found[name] < upper[name]
        # Few regions lie in the lowest bin, and each weighs much in what averages over bins.
        assert upper[name] - lower[name] < (0.06 if name in expected else 0.2)


def test_a_constant_has_no_correlation_and_no_agreement(planted):
    found = figures(planted, "training_median")
    undefined = (*CORRELATIONS, "pearson_within", "spearman_within", "kendall_within",
                 "calibration_slope")  # fmt: skip
    assert found[list(undefined)].isna().all()
    np.testing.assert_allclose(found[["ccc", "icc_2_1", "quadratic_kappa"]], 0, atol=1e-9)
    assert found["balanced_accuracy"] == pytest.approx(1 / 3)
    assert found["r2"] == pytest.approx(0, abs=1e-3)


def test_shuffled_predictions_agree_by_chance(planted, measured):
    found = figures(planted, "ridge")
    names = [*CORRELATIONS, "ccc", "icc_2_1", "quadratic_kappa", "calibration_slope", "bias"]
    np.testing.assert_allclose(found[names], 0, atol=0.04)
    assert found["r2"] == pytest.approx(-1, abs=0.08)
    assert found["mse"] == pytest.approx(2 * measured.var(), rel=0.05)
    assert found["balanced_accuracy"] == pytest.approx(1 / 3, abs=0.03)


def test_each_metric_says_how_it_is_put_together(planted):
    for unit in ("region", "tile", "slide"):
        stated = figures(planted, unit=unit, column="aggregation").to_dict()
        assert aggregations(unit != "slide").items() <= stated.items()
    assert not figures(planted, unit="slide").index.str.contains("within_slides|_within$").any()


def test_tiles_are_weighed_by_nuclear_area(compared_of, approaches_of):
    compared = compared_of(
        np.array([0.1, 0.3, 0.5, 0.7]), [0, 0, 1, 1], {"net": np.array([0.2, 0.4, 0.5, 0.9])}
    )
    compared["measured_um2"] = [1.0, 3.0, 1.0, 1.0]
    compared["he_um2"] = [2.0, 2.0, 3.0, 1.0]
    scores = scored(compared, approaches_of(["net"]))
    errors = [abs(0.3 - 0.25), abs(0.6 - 0.6)]
    for unit in ("tile", "slide"):
        found = figures(scores, unit=unit)
        assert found["mae"] == pytest.approx(np.mean(errors))
        assert figures(scores, unit=unit, column="n_units")["mae"] == 2


def test_tiles_without_nuclei_on_he_are_left_out_and_counted(compared_of, approaches_of, measured):
    compared = compared_of(measured, SLIDES, {"net": measured})
    tile = compared["tile_id"].iloc[0]
    compared.loc[compared["tile_id"] == tile, "he_um2"] = math.nan
    scores = scored(compared, approaches_of(["net"]))
    tiles = compared["tile_id"].nunique()
    assert figures(scores, unit="tile", column="n_undefined")["mae"] == 1
    assert figures(scores, unit="tile", column="n_units")["mae"] == tiles - 1
    assert figures(scores, unit="tile")["mae"] == pytest.approx(0, abs=1e-12)


def test_slides_of_a_case_count_once(compared_of, approaches_of):
    rng = np.random.default_rng(3)
    slides = np.repeat(np.arange(6), 20)
    cases = np.array([0, 0, 0, 1, 2, 3])[slides]
    truth = rng.uniform(0.3, 0.6, 120)
    predicted = truth + rng.normal(0, 0.05, 6)[slides]
    scores = scored(compared_of(truth, slides, {"net": predicted}, cases), approaches_of(["net"]))
    per_slide = np.array([np.abs(predicted - truth)[slides == s].mean() for s in range(6)])
    per_case = [per_slide[:3].mean(), *per_slide[3:]]
    assert figures(scores)["mae"] == pytest.approx(np.mean(per_case))
    interval = figures(scores, column="lower")["mae"], figures(scores, column="upper")["mae"]
    assert interval == pytest.approx(np.clip(student_interval(per_case), 0, None))
    assert set(figures(scores, column="n_cases")) == {4}
    assert figures(scores)["rmse"] ** 2 == pytest.approx(figures(scores)["mse"])


def test_repeats_are_no_further_slides(compared_of, approaches_of, measured):
    rng = np.random.default_rng(5)
    predicted = measured + rng.normal(0, 0.05, len(measured)) + rng.normal(0, 0.02, 30)[SLIDES]
    once = scored(compared_of(measured, SLIDES, {"net": predicted}), approaches_of(["net"]))
    both = {"net": np.stack([predicted, predicted])}
    twice = scored(compared_of(measured, SLIDES, both, repeats=2), approaches_of(["net"]))
    for column in ("value", "lower", "upper"):
        one, two = figures(once, column=column), figures(twice, column=column)
        np.testing.assert_allclose(one, two, atol=2e-4)
    assert set(figures(twice, column="n_regions")) == {len(SLIDES)}


def test_a_missing_prediction_is_counted_and_costs_all_figures(
    compared_of, approaches_of, measured
):
    compared = compared_of(measured, SLIDES, {"net": measured, "other": measured})
    own = compared.index[compared["approach"] == "net"]
    compared.loc[own[[4, 700, 5000]], "calibrated"] = math.nan
    scores = scored(compared, approaches_of(["net", "other"]))
    for unit in ("region", "tile", "slide"):
        holes = {"unit": unit, "output": "calibrated"}
        assert figures(scores, **holes).isna().all()
        assert set(figures(scores, column="n_undefined", **holes)) == {3}
        assert figures(scores, "other", unit, output="calibrated")["mae"] < 1e-12
        assert set(figures(scores, unit=unit, output="calibrated").index) == set(
            figures(scores, "other", unit).index
        )


def test_one_slide_has_figures_and_no_intervals(compared_of, approaches_of, measured):
    only = SLIDES == 0
    predictions = {"net": measured[only] + 0.03}
    scores = scored(compared_of(measured[only], SLIDES[only], predictions), approaches_of(["net"]))
    assert scores[["lower", "upper"]].isna().all(axis=None)
    assert figures(scores)["bias"] == pytest.approx(0.03)
    assert figures(scores)["pearson"] == pytest.approx(1)
    spread = [
        *CORRELATIONS, "r2", "ccc", "icc_2_1", "quadratic_kappa", "calibration_slope",
        "limit_lower",
    ]  # fmt: skip
    assert figures(scores, unit="slide")[spread].isna().all()


def test_no_interval_leaves_the_range_of_its_figure(compared_of, approaches_of):
    rng = np.random.default_rng(8)
    slides = np.repeat(np.arange(3), 20)
    truth = rng.uniform(0, 1, 60)
    off = np.array([0.0, 0.0, 0.3])[slides] * rng.choice([-1, 1], 60)
    scores = scored(compared_of(truth, slides, {"net": truth + off}), approaches_of(["net"]))
    cut = 0
    for metric in RANGES.keys() & set(scores["metric"]):
        lowest, highest = RANGES[metric]
        own = scores[scores["metric"] == metric].dropna(subset=["lower", "upper"])
        assert own["lower"].min() >= lowest, metric
        assert own["upper"].max() <= highest + 1e-9, metric
        assert (own["lower"] <= own["value"] + 1e-9).all()
        assert (own["value"] <= own["upper"] + 1e-9).all()
        cut += int((own["lower"] == lowest).sum() + (own["upper"] == highest).sum())
    assert cut > 20
    assert figures(scores, column="lower")["mae"] == 0
    assert figures(scores, column="upper")["bin_accuracy"] == 1
    assert figures(scores, column="upper")["ccc"] == 1
    assert figures(scores, column="lower")["bias"] < 0  # no range of its own: left as it is
    named = RANGES.keys() | {
        "bias", "limit_lower", "limit_upper", "calibration_slope", "calibration_intercept",
        "gain_mae", "gain_mse", "skill_mae", "skill_mse",
    }  # fmt: skip
    assert set(scores["metric"]) == named - {"mean_ratio"}


def test_an_interval_holds_its_figure_even_out_of_range():
    assert cut_to_range("icc_2_1", Interval(-4.0, 1.5), -1.2) == (-1.2, 1.0)
    assert cut_to_range("bias", Interval(-4.0, 1.5), 0.0) == (-4.0, 1.5)
    assert np.isnan(cut_to_range("mae", Interval(math.nan, math.nan), 0.1)).all()


def test_errors_of_ratios_end_at_1(compared_of, approaches_of):
    slides = np.repeat(np.arange(2), 20)
    truth = np.full(40, 0.5)
    near, far = np.where(slides == 0, 0.501, 0.95), np.where(slides == 0, 0.501, 1.2)
    scores = scored(
        compared_of(truth, slides, {"net": near, "other": far}), approaches_of(["net", "other"])
    )
    for metric in ("mae", "rmse"):
        assert figures(scores, column="upper")[metric] == 1
        assert figures(scores, "other", column="upper")[metric] > 1


def test_a_bin_without_members(compared_of, approaches_of, measured):
    low = measured * 0.15
    scores = scored(compared_of(low, SLIDES, {"net": low * 0.9}), approaches_of(["net"]))
    found = figures(scores)
    assert found[["mae_in_0_2_to_0_5", "mae_in_0_5_to_1", "quadratic_kappa"]].isna().all()
    assert found["mae_in_0_to_0_2"] == pytest.approx(found["mae"])
    assert found[["macro_f1", "balanced_accuracy"]].tolist() == [1, 1]
    assert figures(scores, column="n_units")["mae_in_0_5_to_1"] == 0


def test_errors_in_a_bin_are_those_of_the_slides_that_have_it(compared_of, approaches_of):
    truth = np.array([0.1, 0.3, 0.3, 0.1, 0.1, 0.4])
    predicted = truth + np.array([0.01, 0.02, 0.04, 0.03, 0.03, 0.19])
    scores = scored(
        compared_of(truth, [0, 0, 0, 1, 1, 2], {"net": predicted}), approaches_of(["net"])
    )
    assert figures(scores)["mae_in_0_2_to_0_5"] == pytest.approx((0.03 + 0.19) / 2)
    assert figures(scores, column="n_slides")["mae_in_0_2_to_0_5"] == 2
    assert figures(scores, column="n_units")["mae_in_0_2_to_0_5"] == 3


def test_no_regions_no_rows_and_no_selected_ones_no_figures(compared_of, approaches_of, measured):
    compared = compared_of(measured, SLIDES, {"net": measured})
    assert scored(compared.iloc[:0], approaches_of(["net"])).empty
    unselected = scored(compared.assign(selected=False), approaches_of(["net"]))
    assert set(unselected["regions"]) == {"admitted"}


@pytest.mark.parametrize(
    ("name", "accuracy", "balanced"), [("ResNet18", 0.7250, 0.335), ("ViT-B/16", 0.7408, 0.336)]
)
def test_the_studys_confusions_give_its_figures(
    name, accuracy, balanced, compared_of, approaches_of
):
    counts, middles = np.ravel(STUDY_CONFUSIONS[name]), np.array([0.1, 0.35, 0.75])
    measured = np.repeat(np.repeat(middles, 3), counts)
    predicted = np.repeat(np.tile(middles, 3), counts)
    compared = compared_of(measured, np.zeros(1200, int), {"net": predicted})
    found = figures(scored(compared, approaches_of(["net"])))
    assert found["bin_accuracy"] == pytest.approx(accuracy, abs=5e-5)
    assert found["balanced_accuracy"] == pytest.approx(balanced, abs=5e-4)


def test_skill_has_an_interval(compared_of, approaches_of):
    rng = np.random.default_rng(6)
    slides = np.repeat(np.arange(10), 30)
    truth = rng.uniform(0.2, 0.7, 300)
    noise = rng.normal(0, 1, 300)
    predictions = {
        "net": truth + 0.06 * noise, "training_median": np.full(300, 0.45),
        "training_mean": np.full(300, 0.45), "oracle": truth + 0.02 * noise,
        "oracle_mean": truth + 0.02 * noise,
    }  # fmt: skip
    scores = scored(compared_of(truth, slides, predictions), approaches_of(predictions))
    loss = {n: np.abs(p - truth).reshape(10, 30).mean(1).mean() for n, p in predictions.items()}
    share = (loss["training_median"] - loss["net"]) / (loss["training_median"] - loss["oracle"])
    lower, value, upper = (
        figures(scores, column=column)["skill_mae"] for column in ("lower", "value", "upper")
    )
    assert value == pytest.approx(share)
    by_slide = {n: np.abs(p - truth).reshape(10, 30).mean(1) for n, p in predictions.items()}
    left_out = []
    for slide in range(10):
        base, own, best = (
            np.delete(by_slide[name], slide).mean() for name in ("training_median", "net", "oracle")
        )
        left_out.append((base - own) / (base - best))
    assert (lower, upper) == pytest.approx(jackknife_interval(value, left_out))
    assert lower < value < upper
    assert figures(scores, "oracle")["skill_mae"] == pytest.approx(1)
