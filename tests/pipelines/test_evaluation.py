"""Evaluation on a small cohort whose fields, labels and errors are planted."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from tumor_ratio import schemas
from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.fingerprint import table_hash
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.outlines import pack_outlines
from tumor_ratio.imaging.regions import Region, regions_of, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.label_methods import TITLES
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.phantom.region_truths import measure_slide_truths, widened
from tumor_ratio.phantom.truth import truth_nuclei
from tumor_ratio.pipelines.evaluation import (
    agreement_figures,
    create_pipeline,
    figures,
    nodes,
    pairs,
    report,
)
from tumor_ratio.pipelines.evaluation.examples import BEST, WORST, pick_examples
from tumor_ratio.pipelines.evaluation.params import EvaluationParams
from tumor_ratio.pipelines.stress.params import StressParams
from tumor_ratio.reporting.results_text import WIDTH
from tumor_ratio.reporting.stamps import TRUE_TRANSFORM

SIDE_PX, MPP, SLIDE_PX, TILE_PX = 56, 1.0, 448, 224
SPLITS = ["train"] * 5 + ["validation"] * 2 + ["test"] * 4
PARAMS = EvaluationParams(examples=3)
PLAN = {
    "source": "phantom",
    "pairs": [
        {"slide_id": f"s{i:02d}", "family": "development", "seed": 77, "path": "/hidden/place"}
        for i in range(11)
    ],
}


class Loaded:
    def __init__(self, value):
        self.value = value

    def load(self):
        return self.value


MIN_NUCLEI = 20


def outlined_nuclei() -> pd.DataFrame:
    """A nucleus every 20 um, each fourth positive."""
    y, x = np.mgrid[10:SLIDE_PX:20, 10:SLIDE_PX:20].reshape(2, -1) * 1.0
    circles = pack_outlines(np.zeros((len(x), 2)), np.full((len(x), 32), 4.0))
    return pd.DataFrame(
        {
            "x_px": x, "y_px": y, "x_he_px": x, "y_he_px": y,
            "area_um2": 50.0, "positive": np.arange(len(x)) % 4 == 0,
            "outline": circles,
        }
    )  # fmt: skip


def field(x: np.ndarray, y: np.ndarray, burden: float, phase: float) -> np.ndarray:
    waves = np.sin(x / 70 + phase) * np.cos(y / 60 - phase)
    return np.clip(burden * (1 + 0.9 * waves), 0.01, 0.95)


def section_nuclei(rng: np.random.Generator, burden: float, phase: float) -> pd.DataFrame:
    count = 2400
    x, y = rng.uniform(0, SLIDE_PX, (2, count))
    return pd.DataFrame(
        {
            "x_he_px": x,
            "y_he_px": y,
            "area_um2": rng.uniform(20, 60, count),
            "positive": rng.uniform(size=count) < field(x, y, burden, phase),
        }
    )


def slide_patches(slide_id: str) -> pd.DataFrame:
    corners = [(x, y) for y in range(0, SLIDE_PX, TILE_PX) for x in range(0, SLIDE_PX, TILE_PX)]
    regions = []
    for left, top in corners:
        tile = Region(slide_id, "", "tile", left, top, TILE_PX, MPP)
        offsets = range(0, TILE_PX, SIDE_PX)
        regions += [
            Region(slide_id, tile.tile_id, "patch", left + x, top + y, SIDE_PX, MPP)
            for y in offsets
            for x in offsets
        ]
    return regions_table(regions)


def make_world(folder, *, real: bool = False) -> SimpleNamespace:
    rng = np.random.default_rng(7)
    burdens = np.array([0.06, 0.1, 0.15, 0.2, 0.5, 0.08, 0.4, 0.3, 0.4, 0.45, 0.5])
    pairs, tables = [], {"patches": [], "labels": [], "features": [], "network": []}
    for index, (burden, split) in enumerate(zip(burdens, SPLITS, strict=True)):
        slide_id, phase = f"s{index:02d}", float(rng.uniform(0, 6))
        truth_dir = folder / slide_id
        truth_dir.mkdir(parents=True)
        nuclei = {section: section_nuclei(rng, burden, phase) for section in ("he", "ihc")}
        for section, table in nuclei.items():
            table.to_parquet(truth_dir / f"nuclei_{section}.parquet")
            pixels = rng.integers(120, 250, (SLIDE_PX, SLIDE_PX, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(truth_dir / f"{section}.png")
        he, ihc = (
            open_slide(truth_dir / f"{section}.png", slide_id=slide_id, mpp=MPP)
            for section in ("he", "ihc")
        )
        pairs.append(
            SlidePair(
                slide_id, f"c{index:02d}", he, ihc,
                data_kind="real" if real else "phantom",
                truth_dir=None if real else truth_dir,
            )
        )  # fmt: skip
        patches = slide_patches(slide_id)
        label = region_ratios(patches, nuclei["ihc"], MPP)
        seen = region_ratios(patches, nuclei["he"], MPP, min_nuclei=1)
        tables["patches"].append(patches)
        tables["labels"].append(label)
        for method in ("study", "recolor", "otsu"):
            other = label.assign(label_method=method, tumor_ratio=label["tumor_ratio"] * 0.9)
            # The study's method finds too few nuclei where the others still have pixels.
            other.loc[:3, "tumor_ratio"] = np.nan if method == "study" else 0.5
            tables["labels"].append(other)
        tables["features"].append(
            pd.DataFrame(
                {
                    "region_id": patches["region_id"],
                    "mean_red": 200 - 30 * seen["tumor_ratio"] + rng.normal(0, 14, len(patches)),
                    "mean_green": rng.uniform(100, 200, len(patches)),
                    "mean_blue": rng.uniform(100, 200, len(patches)),
                    "n_he_nuclei": seen["n_nuclei"],
                    "he_nuclei_um2": seen["nuclei_um2"],
                }
            )
        )
        if split != "train":
            near = seen["tumor_ratio"] + rng.normal(0, 0.03, len(patches))
            tables["network"].append(
                schemas.Predictions.validate(
                    pd.DataFrame(
                        {
                            "approach": "resnet18", "protocol": "holdout", "repeat": 0, "fold": 0,
                            "region_id": patches["region_id"], "reference": "ihc_measured",
                            "tumor_ratio": near, "tumor_ratio_calibrated": near.clip(0, 1),
                            "lower": np.nan, "upper": np.nan,
                        }
                    )
                )
            )  # fmt: skip
    patches = pd.concat(tables["patches"], ignore_index=True)
    tiles = patches.drop_duplicates("tile_id")
    kept = np.arange(len(tiles)) % 4 != 3
    reason = np.where(kept, "", "structure 0.21 <= 0.40")
    return SimpleNamespace(
        cohort=Cohort(tuple(pairs), "manifest" if real else "phantom"),
        patches=patches,
        labels=pd.concat(tables["labels"], ignore_index=True),
        features=pd.concat(tables["features"], ignore_index=True),
        network=pd.concat(tables["network"], ignore_index=True),
        tile_quality=pd.DataFrame(
            {
                "region_id": tiles["tile_id"], "slide_id": tiles["slide_id"], "admitted": True,
                "kept": kept, "reason": reason,
            }
        ),
        pair_quality=pd.DataFrame(
            {
                "region_id": tiles["tile_id"], "slide_id": tiles["slide_id"], "weight": 1.0,
                "kept": kept, "reason": reason,
            }
        ),
        folds=pd.DataFrame(
            {
                "protocol": "holdout", "repeat": 0, "fold": 0,
                "slide_id": [pair.slide_id for pair in pairs],
                "case_id": [pair.case_id for pair in pairs], "split": SPLITS,
            }
        ),
        tiles=regions_table(
            Region(pair.slide_id, "", "tile", x, y, TILE_PX, MPP)
            for pair in pairs
            for y in range(0, SLIDE_PX, TILE_PX)
            for x in range(0, SLIDE_PX, TILE_PX)
        ),
        staining=schemas.StainingQuality.validate(
            pd.DataFrame(
                {
                    "slide_id": [pair.slide_id for pair in pairs], "n_nuclei": 2400,
                    "n_negative": 2000, "median_diameter_um": 7.0, "mean_diameter_um": 8.0,
                    "white_od": 0.02, "dab_between_od": 0.01, "has_glass": True,
                    "h_score": 30.0, "tumor_ratio": burdens,
                    **{f"ratio_at_{od:03d}": burdens - od / 2000 for od in (10, 15, 20, 25, 30)},
                    "trusted": [True] * (len(pairs) - 1) + [False],
                    "reason": [""] * (len(pairs) - 1) + ["DAB between the nuclei as well"],
                }
            )
        ),
        ihc_nuclei={pair.slide_id: Loaded(outlined_nuclei()) for pair in pairs},
        failures=pd.DataFrame(
            [["s99", "prepare_slides", "SlideError", "slide s99: not an image; check the file"]],
            columns=["slide_id", "step", "error", "message"],
        ),
    )  # fmt: skip


def evaluate(world, params=PARAMS, **networks):
    tasks = nodes.measure_truths(world.cohort, world.patches, params)
    truths = nodes.gather_truths({name: Loaded(task()) for name, task in tasks.items()})
    truths = schemas.RegionTruths.validate(truths)
    references = schemas.References.validate(
        nodes.gather_references(world.patches, world.labels, truths, MIN_NUCLEI, params)
    )
    common = (world.patches, world.pair_quality, references, world.features, world.folds, params)
    baselines = schemas.Predictions.validate(nodes.predict_baselines(*common))
    oracles = schemas.Predictions.validate(
        nodes.predict_oracle(truths, references, world.folds, params)
    )
    predictions, listed = nodes.collect_predictions(baselines, oracles, truths, **networks)
    compared, approaches = nodes.compare_approaches(
        predictions, listed, references, world.patches, world.pair_quality, world.features,
        world.folds, params,
    )  # fmt: skip
    compared = schemas.ComparedRegions.validate(compared)
    approaches = schemas.Approaches.validate(approaches)
    scores = schemas.Scores.validate(nodes.score_approaches(compared, approaches, params))
    paired = pairs.compare_in_pairs(world.cohort, compared, approaches, params)
    return SimpleNamespace(
        truths=truths, references=references, predictions=predictions, compared=compared,
        approaches=approaches, scores=scores, paired=paired,
    )  # fmt: skip


def page_of(world, found, params=PARAMS) -> str:
    return report.write_report(
        world.cohort, PLAN, world.tiles, world.patches, world.tile_quality, world.pair_quality,
        world.labels, world.staining, world.ihc_nuclei, found.truths, found.references, world.folds,
        found.compared, found.approaches, found.scores, found.paired, world.failures,
        MIN_NUCLEI, params,
    )  # fmt: skip


def text_of(world, found, params=PARAMS) -> str:
    return report.write_results_table(
        world.cohort, world.patches, found.scores, found.approaches, found.compared, found.paired,
        params,
    )  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(scope="module")
def found(world):
    return evaluate(world, resnet18=world.network, levit_128s=schemas.Predictions.empty())


@pytest.fixture(scope="module")
def real_world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("real"), real=True)


def test_truths_are_the_ratios_of_the_sections_nuclei(world):
    pair = world.cohort["s09"]
    regions = regions_of(world.patches, "s09").head(5)
    truths = measure_slide_truths(pair.truth_dir, MPP, regions, 3.0)
    he = truth_nuclei(pair.truth_dir, "he")
    row, region = truths.iloc[0], regions.iloc[0]
    inside = he["x_he_px"].between(region.x_px, region.x_px + SIDE_PX, inclusive="left") & he[
        "y_he_px"
    ].between(region.y_px, region.y_px + SIDE_PX, inclusive="left")
    area = he.loc[inside, "area_um2"]
    assert row["he_n_nuclei"] == inside.sum()
    assert row["he_true"] == pytest.approx(area[he["positive"]].sum() / area.sum())
    assert row["he_n_around"] > row["he_n_nuclei"]


def test_the_report_shows_nuclei_doubts_and_other_methods(world, found):
    page = page_of(world, found)
    assert "Nuclei on Ki-67 tiles" in page
    assert "Low confidence: s10: DAB between the nuclei as well" in page
    assert "Had the threshold been another" in page
    rows = dict(
        re.findall(r"<td[^>]*>([^<]*that truth|… on the regions[^<]*)</td>(.*?)</tr>", page, re.S)
    )
    regions = {name: re.findall(r">(\d+)</td>\s*$", row.strip()) for name, row in rows.items()}
    assert len(regions) == 4
    assert len({tuple(count) for count in regions.values()}) == 1  # all on the same regions


def test_another_label_method_is_held_against_the_rest_and_an_unknown_one_refused(world, found):
    params = PARAMS.model_copy(update={"label_method": "study"})
    page = page_of(world, found, params)
    rows = re.findall(r"<td[^>]*>([^<]*)</td>", section_of(page, "Ground truth"))
    against = [row for row in rows if row.startswith("measured label against")]
    titles = {TITLES["nucleus"], TITLES["recolor"], TITLES["otsu"]}
    assert {row.removeprefix("measured label against ") for row in against} >= titles
    assert f"measured label against {TITLES['study']}" not in rows
    unknown = PARAMS.model_copy(update={"label_method": "nuclues"})
    with pytest.raises(ConfigurationError, match="one of those measured: nucleus, otsu, recolor"):
        nodes.gather_references(world.patches, world.labels, found.truths, MIN_NUCLEI, unknown)


def test_one_number_of_nuclei_holds_for_labels_truths_and_report(world, found):
    few = nodes.gather_references(world.patches, world.labels, found.truths, 1, PARAMS)
    many = nodes.gather_references(world.patches, world.labels, found.truths, 10**6, PARAMS)
    true = few["reference"].isin(["he_true", "ihc_true"])
    assert few.loc[true, "tumor_ratio"].notna().all()
    assert many.loc[true, "tumor_ratio"].isna().all()
    asked = {name for node in create_pipeline(["resnet18"]).nodes for name in node.inputs}
    assert "params:ratio_labels.min_nuclei" in asked


def test_surroundings_keep_the_centre():
    regions = regions_table([Region("s", "", "patch", 100, 40, 56, 0.5)])
    wide = widened(regions, 0.25, 3.0)
    side = wide["size_px"].iloc[0] * 0.5 / 0.25
    assert wide["x_px"].iloc[0] + side / 2 == 100 + 56
    assert wide["y_px"].iloc[0] + side / 2 == 40 + 56


def test_all_scored_approaches_share_their_regions(found):
    counts = found.compared.groupby(["approach", "reference"])["region_id"].apply(frozenset)
    for reference in ("ihc_measured", "ihc_true", "he_true"):
        assert counts.xs(reference, level="reference").nunique() == 1
    own = found.scores[found.scores["reference"] == "ihc_measured"]
    assert own.groupby(["regions"])["n_regions"].nunique().eq(1).all()
    assert set(found.compared["slide_id"]) == {"s07", "s08", "s09", "s10"}


def test_a_network_that_did_not_run_is_named_and_not_scored(world, found):
    row = found.approaches.set_index("approach").loc["levit_128s"]
    assert not row["scored"]
    assert row["reason"] == "no predictions: it did not run"
    assert "levit_128s" not in set(found.scores["approach"])
    assert "not scored: levit_128s: no predictions: it did not run" in text_of(world, found)
    assert "levit_128s was not scored" in page_of(world, found)


def test_the_order_of_merit_is_the_planted_one(found):
    metrics = nodes.collect_run_metrics(found.scores, found.approaches, PARAMS)
    mae = {name: values["region_mae"] for name, values in metrics.items()}
    assert mae["oracle"] < mae["training_median"]
    assert mae["resnet18"] < mae["ridge"] < mae["training_mean"]
    assert 0.3 < metrics["resnet18"]["region_skill_mae"] < 1.3
    assert metrics["training_median"]["region_skill_mae"] == 0
    assert metrics["oracle"]["region_skill_mae"] == pytest.approx(1)


def test_every_approach_has_the_same_metric_names(found):
    metrics = nodes.collect_run_metrics(found.scores, found.approaches, PARAMS)
    names = {frozenset(values) for values in metrics.values()}
    assert len(names) == 1
    assert {
        "region_mae", "region_mse", "region_within_0_05", "region_within_0_1", "region_within_0_2",
        "region_bin_accuracy", "region_balanced_accuracy", "region_gain_mae", "slide_mae",
        "region_mae_calibrated", "region_mae_admitted",
    } <= names.pop()  # fmt: skip


def test_selected_regions_are_a_part_of_the_admitted(found):
    counts = found.scores.groupby("regions")["n_regions"].max()
    assert counts["selected"] < counts["admitted"]


def test_results_text_stands_on_its_own(world, found):
    text = text_of(world, found)
    assert "4 test slides" in text
    assert "compared on the same regions" in text
    assert "56 um wide" in text
    assert "TRAINED ON SYNTHETIC IMAGES" in text
    assert "Circular evidence" in text
    assert text.index("resnet18  ") < text.index("training_median  ") < text.index("oracle  ")
    assert text.startswith("The approach: resnet18 estimates the ratio measured on")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_text_and_report_say_no_share_against_the_median_without_its_interval_or_p(world, found):
    for told in (text_of(world, found), page_of(world, found)):
        shares = re.findall(r"\d+% (?:less|more)(.{12})", " ".join(told.split()))
        assert shares
        assert all("difference" in after or ", p " in after for after in shares)
        assert "below the training median" not in told


def test_pairs_of_phantoms_lie_by_the_true_transform_and_that_is_said(world, found, real_world):
    for told in (text_of(world, found), page_of(world, found)):
        assert TRUE_TRANSFORM in " ".join(told.split())
    real = evaluate(real_world, resnet18=real_world.network)
    for told in (text_of(real_world, real), page_of(real_world, real)):
        assert "true transform" not in told
        assert "synthetic" not in told


def test_report_carries_its_stamps_and_asks_for_nothing_outside(world, found):
    page = page_of(world, found)
    for sentence in figures.stamps_of(world.cohort):
        assert sentence in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert str(world.cohort["s00"].truth_dir) not in page
    assert "slide s99: not an image; check the file" in page
    assert "structure &lt;= 0.40" in page
    assert BEST in page
    assert WORST in page
    assert "lost to the comparison" not in page
    assert "-0.000" not in page


def test_on_real_slides_there_is_no_oracle_and_the_reason_is_given(real_world):
    found = evaluate(real_world, resnet18=real_world.network)
    row = found.approaches.set_index("approach").loc["oracle"]
    assert row["reason"] == nodes.NO_TRUTH
    assert set(found.scores["reference"]) == {"ihc_measured"}
    metrics = nodes.collect_run_metrics(found.scores, found.approaches, PARAMS)
    assert "region_skill_mae" not in metrics["resnet18"]
    assert "region_gain_mae" in metrics["resnet18"]
    page = page_of(real_world, found)
    assert nodes.NO_TRUTH in page
    assert "SYNTHETIC" not in page


def test_an_approach_of_nan_costs_nobody_else_a_region(world, found):
    nothing = world.network.assign(approach="levit_128s", tumor_ratio=np.nan)
    again = evaluate(world, resnet18=world.network, levit_128s=nothing)
    row = again.approaches.set_index("approach").loc["levit_128s"]
    assert row["reason"] == "no finite prediction for any test region"
    assert len(again.compared) == len(found.compared)


def test_regions_that_one_approach_costs_all_are_named_with_it(world, found):
    holes = world.network.assign(approach="levit_128s")
    tested = world.folds.loc[world.folds["split"] == "test", "slide_id"]
    own = world.patches.loc[world.patches["slide_id"].isin(tested), "region_id"]
    known = found.references.dropna(subset=["tumor_ratio"]).query("reference == 'ihc_measured'")
    lost = own[own.isin(known["region_id"])].iloc[[3, 60, 90]]
    holes.loc[holes["region_id"].isin(lost), "tumor_ratio"] = np.nan
    again = evaluate(world, resnet18=world.network, levit_128s=holes)
    asked = again.approaches.set_index("approach").at["levit_128s", "n_asked"]
    said = f"3 of {asked} admitted test regions with a label are compared for no approach"
    own_loss = "levit_128s lacks 3 (3 of them alone) and loses 0 to others"
    page = page_of(world, again)
    for text in (text_of(world, again), page):
        words = " ".join(text.split())
        assert said in words
        assert own_loss in words
    section = section_of(page, "Results")
    cells = re.search(
        r"Regions lost to the comparison.*?<td>resnet18</td>(.*?)</tr>", section, re.S
    )
    assert re.findall(r">(\d+)<", cells[1]) == [str(n) for n in (asked, 0, 0, 3, asked - 3)]


def test_an_approach_that_predicts_half_the_regions_is_named(world):
    half = world.network.assign(approach="levit_128s").iloc[::2]
    again = evaluate(world, resnet18=world.network, levit_128s=half)
    assert "predicted only 50%" in again.approaches.set_index("approach").at["levit_128s", "reason"]


def test_without_folds_everything_still_writes(world):
    empty = SimpleNamespace(**{**vars(world), "folds": schemas.Folds.empty()})
    found = evaluate(empty, resnet18=schemas.Predictions.empty())
    assert found.scores.empty
    assert nodes.collect_run_metrics(found.scores, found.approaches, PARAMS) == {}
    assert "No approach could be compared" in text_of(empty, found)
    page = page_of(empty, found)
    assert "No model could be scored" in page
    assert "Predicted by" not in page


def test_folds_are_compared_as_one_and_the_first_folds_approach_is_named(world):
    first = world.folds.assign(protocol="cross_validation")
    swap = {"test": "train", "train": "test", "validation": "validation"}
    second = first.assign(fold=1, split=first["split"].map(swap))
    folds = pd.concat([first, second], ignore_index=True)
    crossed = SimpleNamespace(**{**vars(world), "folds": folds})
    net = world.network.assign(protocol="cross_validation")
    label = world.labels[world.labels["label_method"] == "nucleus"].set_index("region_id")
    held_out = folds[(folds["fold"] == 1) & (folds["split"] != "train")]
    asked = world.patches[world.patches["slide_id"].isin(held_out["slide_id"])]["region_id"]
    again = pd.DataFrame({"region_id": asked}).assign(
        approach="resnet18", protocol="cross_validation", repeat=0, fold=1,
        reference="ihc_measured", lower=np.nan, upper=np.nan,
        tumor_ratio=label["tumor_ratio"].reindex(asked).fillna(0.1).to_numpy() + 0.01,
    )  # fmt: skip
    again["tumor_ratio_calibrated"] = again["tumor_ratio"]
    both = pd.concat([net, again], ignore_index=True)
    params = EvaluationParams(examples=1, headline={"protocol": "cross_validation"})
    found = evaluate(crossed, params, resnet18=both, cyclegan=net.assign(approach="cyclegan"))
    assert set(found.compared["slide_id"]) == set(folds.loc[folds["split"] == "test", "slide_id"])
    assert found.approaches.set_index("approach").at["resnet18", "scored"]
    page = page_of(crossed, found, params)
    assert "cyclegan was not scored: ran in 1 of 2 folds only" in page
    assert "split 2 times" in page


def test_one_test_slide_has_figures_but_no_intervals(world):
    folds = world.folds.copy()
    folds.loc[folds["slide_id"].isin(["s07", "s08", "s10"]), "split"] = "train"
    found = evaluate(SimpleNamespace(**{**vars(world), "folds": folds}), resnet18=world.network)
    mae = found.scores.query("metric == 'mae' and unit == 'region' and approach == 'resnet18'")
    assert mae["value"].notna().all()
    assert mae["lower"].isna().all()
    assert "only 1 test slide" in text_of(world, found)


def test_figures_draw(world, found):
    drawn = (world.cohort, found.compared, found.approaches, PARAMS)
    for figure in (
        figures.draw_predicted_versus_measured(*drawn),
        figures.draw_confusion_matrices(*drawn),
        figures.draw_mae(world.cohort, found.scores, found.approaches, PARAMS),
        figures.draw_labels(world.cohort, world.patches, found.references, world.folds),
    ):
        assert len(figure.axes) >= 1
    interactive = figures.draw_interactive(*drawn)
    assert [trace.name for trace in interactive.data][:1] == ["resnet18"]


def test_more_figures_draw_what_was_scored(world, found):
    drawn = (world.cohort, found.compared, found.scores, found.approaches, PARAMS)
    limits = agreement_figures.draw_limits(*drawn)
    row = found.scores.query(
        "approach == 'resnet18' and metric == 'bias' and unit == 'region' and regions == 'selected'"
        " and output == 'raw' and reference == 'ihc_measured'"
    )
    panel = next(axes for axes in limits.axes if axes.get_title(loc="left") == "resnet18")
    bias = next(line for line in panel.lines if line.get_gid() == "bias")
    assert bias.get_ydata()[0] == pytest.approx(row["value"].item())
    scored = (found.scores, found.approaches, PARAMS)
    for figure in (
        limits,
        agreement_figures.draw_calibration_lines(*drawn),
        agreement_figures.draw_mae_differences(world.cohort, found.paired, *scored),
        agreement_figures.draw_bin_errors(world.cohort, *scored),
    ):
        assert "TRAINED ON SYNTHETIC IMAGES" in figure.get_supxlabel()


def test_pairs_are_compared_and_stamped(world, found):
    schemas.PairedComparisons.validate(found.paired)
    assert found.paired.attrs["stamp"] == list(figures.stamps_of(world.cohort))
    row = found.paired.query(
        "approach_a == 'resnet18' and approach_b == 'training_median' and regions == 'selected'"
        " and output == 'raw' and reference == 'ihc_measured'"
    ).iloc[0]
    mae = nodes.collect_run_metrics(found.scores, found.approaches, PARAMS)
    difference = mae["resnet18"]["region_mae"] - mae["training_median"]["region_mae"]
    assert row["effect"] == pytest.approx(difference)
    assert row["p_value"] >= 2 / 2**4
    page = page_of(world, found)
    assert f">{row['effect']:.3f}<" in page
    assert f">{row['p_holm']:.4f}<" in page
    assert "4 cases cannot give a p below 0.12" in page


def section_of(page: str, title: str) -> str:
    """A section's HTML by its heading."""
    parts = [part for part in page.split("<section ") if f"<h2>{title}</h2>" in part]
    assert len(parts) == 1
    return parts[0]


def test_each_model_has_its_section_with_its_numbers(world):
    other = world.network.assign(
        approach="cyclegan", tumor_ratio=world.network["tumor_ratio"] + 0.125
    )
    both = evaluate(world, resnet18=world.network, cyclegan=other)
    page = page_of(world, both)
    scores = both.scores.query("reference == 'ihc_measured' and output == 'raw'")
    for name in ("resnet18", "cyclegan"):
        section = section_of(page, name)
        assert section.count('<figure class="example">') == 2 * PARAMS.examples
        assert section.count("data:image/jpeg") == 3 * 2 * PARAMS.examples
        own = scores[(scores["approach"] == name) & (scores["unit"] == "region")]
        for regions in ("selected", "admitted"):
            for metric in ("mae", "bias", "ccc", "pearson_within", "mae_in_0_to_0_2"):
                row = own[(own["regions"] == regions) & (own["metric"] == metric)].iloc[0]
                if regions == "selected" or metric in ("mae", "bias", "ccc"):
                    text = f"{row['value']:.3f} [{row['lower']:.3f}, {row['upper']:.3f}]"
                    assert text in section, (name, regions, metric)
    bias = scores.query("metric == 'bias' and unit == 'region' and regions == 'selected'")
    shift = bias.set_index("approach")["value"]
    assert shift["cyclegan"] - shift["resnet18"] == pytest.approx(0.125)


def test_data_and_software_are_named_without_a_path(world, found):
    section = section_of(page_of(world, found), "Data and software")
    assert "/hidden/place" not in section
    for said in (
        ">development<",
        ">77<",
        "11 of 11 planned",
        ">numpy<",
        table_hash(found.scores)[:12],
    ):
        assert said in section


def test_names_from_outside_are_escaped_and_pictures_lie_in_the_page(world):
    name = "<img src=x onerror=alert(1)>"
    hostile = world.network.assign(approach=name)
    accounts = {f"{nodes.ACCOUNT_OF}{name}": {"supervision": "<script>1</script>"}}
    found = evaluate(world, **{name: hostile}, **accounts)
    page = page_of(world, found)
    assert "<img src=x" not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    sources = re.findall(r'<[^>]*\ssrc="([^"]*)"', page)
    assert len(sources) > 10
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"(?:https?:|url\(|<link|@import)", page)


def test_the_page_of_one_test_slide_has_numbers_without_intervals(world):
    folds = world.folds.copy()
    moved = ["s07", "s08", "s10"]
    folds.loc[folds["slide_id"].isin(moved), "split"] = "train"
    alone = SimpleNamespace(**{**vars(world), "folds": folds})
    stale = evaluate(alone, resnet18=world.network).approaches.set_index("approach")
    assert "held out then and trains now" in stale.loc["resnet18", "reason"]
    slide = world.network["region_id"].map(world.patches.set_index("region_id")["slide_id"])
    found = evaluate(alone, resnet18=world.network[~slide.isin(moved)])
    section = section_of(page_of(alone, found), "resnet18")
    assert not re.search(r"\[-?\d", section.replace("[0, 1]", ""))
    assert re.search(r">0\.\d{3}<", section)
    row = re.search(r"<td>CCC \(Lin\)</td>(.*?)</tr>", section, re.S)
    cells = re.findall(r">([^<]+)</td>", row[1])
    assert cells[-1] == "-"  # of one slide ratio
    assert "-" not in cells[:-1]
    assert re.search(
        r"slides, selected: .*CCC \(Lin\), .* \(one value alone has no spread\)", section
    )
    assert "here are 8" in section
    assert "between slides: every figure (one value alone" in section


def test_answers_that_are_no_ratios_are_counted(world):
    near = world.network.assign(tumor_ratio=world.network["tumor_ratio"].clip(0, 1))
    far = near.copy()
    test = far["region_id"].str.startswith("s07")
    far.loc[test, "tumor_ratio"] += 2
    text = " ".join(text_of(world, evaluate(world, resnet18=far)).split())
    n, of = re.search(r"(\d+) of (\d+) answers of resnet18 are outside \[0, 1\]", text).groups()
    assert 0 < int(n) < int(of)
    assert "outside" not in text_of(world, evaluate(world, resnet18=near))


def test_examples_span_the_ratios_and_come_from_different_tiles():
    rng = np.random.default_rng(0)
    own = pd.DataFrame(
        {"region_id": [f"r{i}" for i in range(40)], "measured": np.linspace(0, 1, 40)}
    )
    own["raw"] = own["measured"] + rng.normal(0, 0.1, 40)
    tile_of = pd.Series({f"r{i}": f"t{i // 4}" for i in range(40)})
    chosen = pick_examples(own, tile_of, "raw", 4)
    best, worst = chosen[chosen["group"] == BEST], chosen[chosen["group"] == WORST]
    assert len(best) == len(worst) == 4
    assert best["measured"].is_monotonic_increasing
    assert best["measured"].max() - best["measured"].min() > 0.4
    assert worst["tile_id"].nunique() == 4
    assert best["error"].max() < worst["error"].min()


def test_an_unreadable_slide_costs_its_pictures_only(world, found, tmp_path):
    image = tmp_path / "gone.png"
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(image)
    gone = open_slide(image, slide_id="x", mpp=MPP)
    image.unlink()
    pairs = tuple(
        SlidePair(p.slide_id, p.case_id, gone, gone, data_kind="phantom", truth_dir=p.truth_dir)
        for p in world.cohort
    )
    broken = SimpleNamespace(**{**vars(world), "cohort": Cohort(pairs, "phantom")})
    assert "no picture" in page_of(broken, found)


def test_the_pipeline_reads_each_approach_and_writes_the_report():
    pipeline = create_pipeline(("resnet18", "vit_b16"))
    assert {"resnet18.predictions", "vit_b16.predictions"} <= pipeline.inputs()
    assert {"report", "results_table", "run_metrics", "scores"} <= pipeline.all_outputs()


@pytest.mark.parametrize("alphas", [(), (-1.0,)])
@pytest.mark.parametrize("params", [EvaluationParams, StressParams])
def test_penalties_are_some_and_not_negative(params, alphas):
    with pytest.raises(ValidationError, match="ridge_alphas"):
        params(ridge_alphas=alphas)


def test_a_misspelt_parameter_names_the_valid_ones():
    with pytest.raises(ValueError, match="did you mean 'min_coverage'"):
        EvaluationParams(min_coverge=0.5)


def test_side_of_no_regions_is_undefined():
    assert math.isnan(report.region_side_um(schemas.Regions.empty()))
