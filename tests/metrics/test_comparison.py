import numpy as np
import pandas as pd
import pytest

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.metrics.baseline_predictions import baseline_predictions
from tumor_ratio.metrics.comparison import (
    draw_regions,
    match_approaches,
    of_another_split,
    regions_of_test_slides,
)
from tumor_ratio.metrics.folds import assign_folds, cross_validation_folds
from tumor_ratio.metrics.scoring import score_table
from tumor_ratio.schemas import Approaches, ComparedRegions, Predictions, References

N_SLIDES, PER_SLIDE, FOLDS = 8, 5, 4
SLIDES = [f"s{index}" for index in range(N_SLIDES)]
REGIONS = pd.DataFrame(
    [
        {"region_id": f"{s}_{i}", "slide_id": s, "selected": i < 3}
        for s in SLIDES
        for i in range(PER_SLIDE)
    ]
)
CASES = pd.DataFrame(
    {"slide_id": SLIDES, "case_id": SLIDES, "burden": np.linspace(0.1, 0.8, N_SLIDES)}
)
LABELS = pd.Series(np.linspace(0.0, 0.9, len(REGIONS)), index=REGIONS["region_id"])


def crossed(repeats: int = 1) -> pd.DataFrame:
    return cross_validation_folds(
        CASES, folds=FOLDS, repeats=repeats, validation_share=0.125, seed=0
    )


def placed(folds: pd.DataFrame) -> pd.DataFrame:
    patches = REGIONS.assign(tile_id=REGIONS["slide_id"] + REGIONS["selected"].astype(str))
    tiles = patches.drop_duplicates("tile_id")
    quality = pd.DataFrame({"region_id": tiles["tile_id"], "kept": tiles["selected"]})
    return regions_of_test_slides(patches, quality, folds)


def references(known: pd.Series = LABELS) -> pd.DataFrame:
    return References.validate(
        pd.DataFrame(
            {
                "region_id": known.index, "reference": "ihc_measured", "tumor_ratio": known.values,
                "nuclei_um2": 100.0, "n_nuclei": 30,
            }
        )
    )  # fmt: skip


def predicted(approach: str, regions: pd.DataFrame, error: float = 0.1) -> pd.DataFrame:
    ratio = LABELS.reindex(regions["region_id"]).to_numpy() + error
    return Predictions.validate(
        regions[["protocol", "repeat", "fold", "region_id"]].assign(
            approach=approach, reference="ihc_measured", tumor_ratio=ratio,
            tumor_ratio_calibrated=ratio, lower=np.nan, upper=np.nan,
        )[list(Predictions.to_schema().columns)]
    )  # fmt: skip


def match(tables: list[pd.DataFrame], regions: pd.DataFrame, protocol: str = "cross_validation"):
    names = sorted({name for table in tables for name in table["approach"]})
    listed = pd.DataFrame(
        {"approach": names, "role": "model", "supervision": "ratios", "reason": ""}
    )
    weights = pd.Series(50.0, index=REGIONS["region_id"])
    compared, approaches = match_approaches(
        pd.concat(tables, ignore_index=True), listed, references(), regions, weights,
        protocol=protocol, reference="ihc_measured", min_coverage=0.9,
    )  # fmt: skip
    return (
        ComparedRegions.validate(compared),
        Approaches.validate(approaches).set_index("approach"),
    )


def test_every_region_is_compared_once_a_repeat():
    regions = placed(crossed(repeats=2))
    compared, approaches = match([predicted("a", regions), predicted("b", regions)], regions)
    assert approaches["scored"].all()
    counts = compared.groupby(["approach", "repeat"])["region_id"].agg(["nunique", "size"])
    assert (counts == len(REGIONS)).all(axis=None)


def test_an_approach_of_the_first_fold_is_named_and_costs_nobody_a_region():
    regions = placed(crossed())
    first = regions[regions["fold"] == 0]
    alone, _ = match([predicted("net", regions)], regions)
    compared, approaches = match([predicted("net", regions), predicted("gan", first)], regions)
    assert approaches.loc["gan", "reason"] == (
        "ran in 1 of 4 folds only; `protocol: holdout` scores it"
    )
    assert approaches.loc["gan", "coverage"] == pytest.approx(1 / FOLDS)
    assert approaches.loc["net", "scored"]
    pd.testing.assert_frame_equal(compared, alone)


def test_what_is_missing_is_counted_by_approach_and_alone():
    regions = placed(crossed())
    full = predicted("net", regions)
    holes = {"gan": full["region_id"].iloc[[0, 1, 2]], "tree": full["region_id"].iloc[[2]]}
    tables = [full, predicted("late", regions).iloc[:4]]
    for name, lost in holes.items():
        table = predicted(name, regions)
        table.loc[table["region_id"].isin(lost), "tumor_ratio"] = np.nan
        tables.append(table.iloc[:-1] if name == "tree" else table)  # or not even a row
    compared, approaches = match(tables, regions)
    counts = approaches[["n_asked", "n_missing", "n_missing_alone"]].T.to_dict("list")
    n = len(REGIONS)
    assert counts == {"gan": [n, 3, 2], "late": [n, n - 4, 0], "net": [n, 0, 0], "tree": [n, 2, 1]}
    assert (compared.groupby("approach").size() == n - 4).all()
    _, alone = match([tables[2]], regions)
    assert alone.loc["gan", ["n_missing", "n_missing_alone"]].tolist() == [3, 3]


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_answer_is_none(value):
    regions = placed(crossed())
    one, every = predicted("one", regions), predicted("every", regions)
    one.loc[0, "tumor_ratio"] = value
    every["tumor_ratio"] = value
    half = predicted("half", regions)
    half.loc[1, "tumor_ratio_calibrated"] = value
    compared, approaches = match([one, every, half], regions)
    assert approaches["n_missing"].to_dict() == {"every": len(REGIONS), "half": 0, "one": 1}
    assert approaches.loc["every", "reason"] == "no finite prediction for any test region"
    assert compared["calibrated"].isna().sum() == 1
    scores = score_table(compared, approaches.reset_index())
    assert np.isfinite(scores.loc[scores["metric"] == "mae", "value"]).any()


def test_predictions_of_another_split_are_named():
    folds = assign_folds(CASES, validation_share=0.25, test_share=0.25, seed=1)
    held_out = folds[folds["split"] != "train"].merge(REGIONS, on="slide_id")
    slide_of = REGIONS.set_index("region_id")["slide_id"]
    tables = pd.concat([predicted("net", held_out), predicted("gan", held_out)])
    assert of_another_split(tables, slide_of, folds) == {}
    dealt_anew = assign_folds(CASES, validation_share=0.25, test_share=0.25, seed=2)
    trains = set(dealt_anew.loc[dealt_anew["split"] == "train", "slide_id"])
    assert trains & set(held_out["slide_id"])
    found = of_another_split(tables, slide_of, dealt_anew)
    assert set(found) == {"net", "gan"}
    assert any(f"{slide} was held out then and trains now" in found["net"] for slide in trains)
    every = predicted("net", REGIONS.assign(protocol="holdout", repeat=0, fold=0))
    assert of_another_split(every, slide_of, dealt_anew) == {}  # it answered for all slides
    crossed_only = dealt_anew.assign(protocol="cross_validation")
    assert of_another_split(tables, slide_of, crossed_only) == {}  # no training of theirs


def test_coverage_counts_within_each_protocol():
    holdout = assign_folds(CASES, validation_share=0.25, test_share=0.25, seed=1)
    both = placed(pd.concat([crossed(), holdout], ignore_index=True))
    of = dict(iter(both.groupby("protocol")))
    tables = [predicted("net", both), predicted("gan", of["holdout"])]
    compared, judged = match(tables, both, "holdout")
    assert judged["coverage"].tolist() == [1.0, 1.0]
    assert judged["scored"].all()
    _, crossed_judged = match(tables, both)
    assert crossed_judged.loc["gan", "reason"] == "no predictions: it did not run"
    sizes = compared.groupby(["protocol", "approach"]).size()
    assert sizes.to_dict() == {
        ("cross_validation", "net"): len(REGIONS),
        ("holdout", "net"): len(of["holdout"]),
        ("holdout", "gan"): len(of["holdout"]),
    }


def test_repeats_average_within_the_slide_before_slides_are_counted():
    regions = placed(crossed(repeats=2))
    table = predicted("net", regions)
    error = np.where(table["repeat"] == 0, 0.02, 0.06) * np.where(
        table["region_id"].str.startswith("s0"), 4, 1
    )
    table["tumor_ratio"] = LABELS.reindex(table["region_id"]).to_numpy() + error
    compared, approaches = match([table], regions)
    scores = score_table(compared, approaches.reset_index())
    row = scores.query(
        "metric == 'mae' and unit == 'region' and regions == 'admitted' and output == 'raw'"
    ).iloc[0]
    slides = np.array([0.16] + [0.04] * (N_SLIDES - 1))  # the mean of the repeats' errors
    assert row["value"] == pytest.approx(slides.mean())
    assert row["n_slides"] == N_SLIDES
    half = 2.3646 * slides.std(ddof=1) / np.sqrt(N_SLIDES)  # of slides, not of rows
    assert row["upper"] - row["value"] == pytest.approx(half, rel=1e-3)


def test_a_drawn_test_set_is_labelled_and_the_same_in_every_fold():
    regions = placed(crossed(repeats=2))
    labelled = LABELS.index[~LABELS.index.str.endswith("_1")]
    drawn = draw_regions(regions, pd.Series(labelled), 1)
    counts = drawn.groupby(["repeat", "slide_id", "selected"]).size()
    assert (counts == 1).all()
    assert len(counts) == 2 * 2 * N_SLIDES
    assert not drawn["region_id"].str.endswith("_1").any()
    by_repeat = drawn.groupby("repeat")["region_id"].agg(set)
    assert by_repeat[0] == by_repeat[1]
    everything = draw_regions(regions, pd.Series(LABELS.index), 300)
    pd.testing.assert_frame_equal(everything, regions)


def test_a_slide_that_trains_and_tests_is_refused_before_anything_is_compared():
    folds = crossed()
    slide = folds.query("fold == 2 and split == 'train'").head(1).assign(split="test")
    damaged = pd.concat([folds, slide], ignore_index=True)
    name = slide["slide_id"].iloc[0]
    message = rf"slide {name} is in test and train of one fold .*fold 2.*ground_truth"
    with pytest.raises(ConfigurationError, match=message):
        placed(damaged)
    with pytest.raises(ConfigurationError, match=message):
        baseline_predictions(
            REGIONS.assign(tile_id="t"), pd.DataFrame({"region_id": ["t"], "kept": [True]}),
            references(), pd.DataFrame({"region_id": []}, dtype=str), damaged,
            reference="ihc_measured", alphas=(1.0,),
        )  # fmt: skip
