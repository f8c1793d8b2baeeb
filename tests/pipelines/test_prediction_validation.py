"""Predictions of tiny phantoms beside their truth, and tables whose truth is planted."""

from __future__ import annotations

import json
import math
import pickle
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.fingerprint import fingerprint
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError, SlideError
from tumor_ratio.imaging.appearance import Appearance, slide_appearance
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.inference.domain import TrainedDomain
from tumor_ratio.inference.fields import RatioField
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.labelling.params import NucleiModelParams, SegmentationParams
from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.models.model_folder import write_model
from tumor_ratio.models.normalisation import Normalisation
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.truth import truth_nuclei, truth_tumor_mask
from tumor_ratio.pipelines.prediction_validation import create_pipeline, nodes, scores
from tumor_ratio.pipelines.prediction_validation.params import PredictionValidationParams
from tumor_ratio.pipelines.prediction_validation.true_areas import (
    TrueField,
    nuclei_areas_mm2,
    true_field,
    true_tissue,
    true_tissue_ratio,
)
from tumor_ratio.pipelines.prediction_validation.tumor_areas import tumor_errors, with_tumor_areas
from tumor_ratio.pipelines.prediction_validation.validation_text import validation_text
from tumor_ratio.reporting.stamps import CIRCULAR, RESEARCH_USE, SYNTHETIC_TRAINING

NOBODY = Cohort((), "phantom")
TAU = 0.2
PARAMS = PredictionValidationParams(
    phantoms=PhantomParams(family="development", n_slides=2, width_um=300, height_um=300, seed=12),
    labellings=(0.9,),
    min_nuclei=5,
    burden_edges=(0.2,),
    diameter_edges_um=(200.0,),
    compute={"device": "cpu", "precision": "float32", "threads": 1},
)
NAMES = ["as drawn, p01", "as drawn, p02", "labelling 0.9, p01", "labelling 0.9, p02"]


class Part:
    """A finished slide's result, as the partition dataset hands it on."""

    def __init__(self, value: dict) -> None:
        self.value = json.loads(json.dumps(value, allow_nan=False))

    def load(self) -> dict:
        return self.value


def look_of(name: str, folder: Path) -> Appearance:
    planned = nodes.plan_validation(NOBODY, PARAMS)[name]
    files = render_pair(planned, folder)
    return slide_appearance(open_slide(files.he_path, slide_id="s", mpp=planned.mpp))


def make_model(folder: Path, *, calibrated: bool) -> ModelRef:
    """An untrained network that answers about 0.3, which its map makes 0.27; its training slides
    looked like those that it is asked about."""
    network = build_regressor(Architecture("test_resnet", 64), BackboneOptions(), seed=0)
    network.start_at(0.3)
    normalisation = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "training_patches")
    card = write_model(
        folder,
        network.eval(),
        normalisation,
        {"approach": "mine", "mpp": 1.0, "training_data": "phantom", "fingerprint": "f" * 64},
    )
    card["calibration"] = {"knots": [0.0, 1.0], "values": [0.0, 0.9]}
    (folder / "card.json").write_text(json.dumps(card))
    if calibrated:
        looks = [look_of(name, folder / "drawn") for name in NAMES[:2]]
        calibration = NewSlideCalibration(
            model="f" * 64,
            approach="mine",
            stamps=(),
            slides=tuple("abcdefghijkl"),
            n_cases=12,
            n_regions=600,
            rank=12,
            region_quantile=1.0,
            slide_quantile=1.0,
            reason="",
            tau=TAU,
            tau_reason="",
            area_map=MonotoneMap((0.0, 1.0), (0.0, 1.0)),
            area_reason="",
            domain=TrainedDomain(
                {name: ["phantom"] for name in ("species", "organ", "stain")}, (*looks * 3,)
            ),
        )
        (folder / "calibration.json").write_text(json.dumps(calibration.to_record()))
    return ModelRef(folder, card)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("model"), calibrated=True)


def tasks_of(model: ModelRef):
    plan = nodes.plan_validation(NOBODY, PARAMS)
    return nodes.validate_slides(plan, model, NucleiModelParams(), SegmentationParams(), PARAMS)


@pytest.fixture(scope="module")
def validated(model: ModelRef) -> dict[str, Part]:
    return {name: Part(pickle.loads(pickle.dumps(t))()) for name, t in tasks_of(model).items()}


# --- which slides


def test_only_labelling_differs_between_conditions():
    plan = nodes.plan_validation(NOBODY, PARAMS)
    assert list(plan) == NAMES
    drawn, other = (plan[f"{name}, p02"].to_record() for name in ("as drawn", "labelling 0.9"))
    differing = {name for name in drawn if drawn[name] != other[name]}
    assert differing == {"tumor_labelling", "expected_ratio"}
    assert other["tumor_labelling"] == 0.9
    assert plan["as drawn, p02"].key == plan["labelling 0.9, p02"].key


def test_slides_that_the_model_may_have_seen_are_refused(tmp_path):
    plan = nodes.plan_validation(NOBODY, PARAMS)["as drawn, p02"]
    (tmp_path / "plan.json").write_text(json.dumps({"plan": plan.to_record()}))
    cohort = [SimpleNamespace(truth_dir=None), SimpleNamespace(truth_dir=tmp_path)]
    with pytest.raises(ConfigurationError, match="seed 12 gives slides that the model may"):
        nodes.plan_validation(cohort, PARAMS)
    other = PARAMS.model_copy(update={"phantoms": PARAMS.phantoms.model_copy(update={"seed": 13})})
    assert nodes.plan_validation(cohort, other)
    gone = [SimpleNamespace(slide_id="p07", truth_dir=tmp_path / "gone")]
    with pytest.raises(SlideError, match="slide p07: has no truth"):
        nodes.plan_validation(gone, PARAMS)


def test_wrong_parameters_are_refused():
    with pytest.raises(ValidationError, match=r"leave phantoms\.stress at 'none'"):
        PredictionValidationParams(phantoms=PhantomParams(stress="tears"))
    with pytest.raises(ValidationError, match="labellings names something twice"):
        PredictionValidationParams(labellings=(0.1, 0.1))
    with pytest.raises(ValidationError, match="burden_edges must ascend"):
        PredictionValidationParams(burden_edges=(0.2, 0.1))
    with pytest.raises(ValidationError, match="less than 1"):
        PredictionValidationParams(labellings=(1.0,))


# --- the truth


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhantomSlide, Path]:
    plan = nodes.plan_validation(NOBODY, PARAMS)["as drawn, p02"]
    return plan, render_pair(plan, tmp_path_factory.mktemp("drawn")).truth_dir


def test_the_true_field_counts_every_nucleus_and_all_tumor_once(drawn):
    plan, truth_dir = drawn
    empty = np.full((6, 6), np.nan)
    cells = RatioField("p02", 55.0, 110.0, empty, empty, empty, empty, empty, empty.astype(object))
    truth = true_field(plan, truth_dir, cells, 5)
    nuclei = truth_nuclei(truth_dir, "he")
    row, column = np.unravel_index(np.nanargmax(truth.ratio), truth.ratio.shape)
    here = (nuclei["x_px"] // 110 == column) & (nuclei["y_px"] // 110 == row)
    own = nuclei[here]
    expected = own.loc[own["positive"], "area_um2"].sum() / own["area_um2"].sum()
    assert truth.ratio[row, column] == pytest.approx(expected)
    counts = np.histogram2d(nuclei["y_px"], nuclei["x_px"], 6, [[0, 660], [0, 660]])[0]
    assert (np.isfinite(truth.ratio) == (counts >= 5)).all()
    assert (truth.tissue * 55.0**2).sum() == pytest.approx(truth.stained_um2, rel=1e-3)
    mask, step_um = truth_tumor_mask(truth_dir)
    assert truth.tumor_um2.sum() == pytest.approx(mask.sum() * step_um**2, rel=1e-6)
    place = np.arange(mask.shape[0]) * step_um // 55
    for row, column in ((1, 4), (4, 1), (2, 3)):
        own = mask[np.ix_(place == row, place == column)].sum() * step_um**2
        assert truth.tumor_um2[row, column] == pytest.approx(own)
    assert not np.allclose(truth.tumor_um2, truth.tumor_um2.T)


def test_nuclei_are_summed_by_kind_and_state(drawn):
    _, truth_dir = drawn
    found, nuclei = nuclei_areas_mm2(truth_dir), truth_nuclei(truth_dir, "he")
    area = nuclei["area_um2"] / 1e6
    assert found["tumor_nuclei_mm2"] + found["other_nuclei_mm2"] == pytest.approx(area.sum())
    positive = found["tumor_positive_mm2"] + found["other_positive_mm2"]
    assert positive == pytest.approx(area[nuclei["positive"]].sum())
    kind = nuclei["cell_type"] == "tumor"
    assert found["tumor_positive_mm2"] == pytest.approx(area[kind & nuclei["positive"]].sum())
    assert 0 < found["other_positive_mm2"] < found["other_nuclei_mm2"]


def test_true_ratios_count_by_tissue_where_a_ratio_was_predicted():
    ratio = np.array([[0.5, 0.5, 0.5, np.nan]])
    tissue = np.array([[1.0, 0.5, 1.0, 1.0]])
    empty = np.full(ratio.shape, np.nan)
    field = RatioField("s", 50.0, 50.0, ratio, empty, empty, empty, tissue, empty.astype(object))
    truth = TrueField(np.array([[0.2, 0.8, np.nan, 0.9]]), tissue, empty, 0.0)
    assert true_tissue_ratio(field, truth) == pytest.approx((0.2 + 0.5 * 0.8) / 1.5)


def test_true_tissue_has_the_planned_share_without_large_lumens(drawn):
    plan, _ = drawn
    share = true_tissue(plan).mean()
    assert plan.tissue_share - 0.12 < share < plan.tissue_share + 0.005


# --- one slide


def test_a_slide_is_predicted_and_held_against_its_truth(validated):
    for name, part in validated.items():
        slide, regions = part.value["slide"], pd.DataFrame(part.value["regions"])
        assert slide["stained_mm2"] == pytest.approx(slide["true_stained_mm2"], rel=0.06)
        assert len(regions) == slide["n_regions"] >= 8
        # The network answers about 0.3 everywhere: all scored tissue is rich.
        assert slide["reported_rich_mm2"] >= slide["rich_mm2"] > 0.8 * slide["stained_mm2"] - 0.01
        assert 0 <= slide["true_rich_mm2"] <= slide["rich_mm2"]
        assert 0.7 * slide["tumor_mm2"] < slide["tumor_in_rich_mm2"] <= slide["tumor_mm2"]
        assert slide["interval"] == ""
        assert 0.8 * slide["stained_mm2"] < slide["scored_mm2"] <= slide["stained_mm2"] + 1e-9
        assert 0.2 < slide["tissue_ratio"] < 0.35
        assert slide["lower"] < slide["tumor_ratio"] < slide["upper"]
        assert not np.allclose(regions["ihc_true"], regions["he_true"], equal_nan=True)
        # What is held against references is the calibrated ratio, with its own bounds.
        low, high = regions["tumor_ratio"].min(), regions["tumor_ratio"].max()
        assert low - 1e-9 <= slide["tumor_ratio"] <= high + 1e-9
        assert ((regions["lower"] < low) & (regions["upper"] > high)).all()
        curve = pd.DataFrame(part.value["curve"]).set_index("tau")
        assert curve.loc[TAU].tolist() == pytest.approx([slide["rich_mm2"], slide["true_rich_mm2"]])
        known = regions["ihc_true"].notna()
        expected = np.average(
            regions.loc[known, "ihc_true"], weights=regions.loc[known, "ihc_true_um2"]
        )
        assert slide["ihc_true"] == pytest.approx(expected)
        assert ("ihc_measured" in regions and regions["ihc_measured"].notna().any()) == (
            name.startswith("as drawn")
        )


def test_labelling_raises_the_truth_and_leaves_the_tumor(validated):
    for slide_id in ("p01", "p02"):
        drawn, high = (
            validated[f"{name}, {slide_id}"].value["slide"]
            for name in ("as drawn", "labelling 0.9")
        )
        assert drawn["tumor_mm2"] == high["tumor_mm2"]
        assert drawn["true_stained_mm2"] == high["true_stained_mm2"]
        assert high["he_true"] > drawn["he_true"]
        low_l, high_l = (s["tumor_positive_mm2"] / s["tumor_nuclei_mm2"] for s in (drawn, high))
        assert low_l < 0.85 < high_l <= 1
    # Nearly half of the tissue of p02 is tumor. (Positive nuclei are larger: fewer of them fit.)
    assert high["he_true"] > drawn["he_true"] + 0.03
    assert high["true_tissue_ratio"] > drawn["true_tissue_ratio"] + 0.03


def test_fingerprints_tell_conditions_and_calibrations_apart(model, tmp_path):
    plain = make_model(tmp_path, calibrated=False)
    prints = [fingerprint(t, tmp_path) for m in (model, plain) for t in tasks_of(m).values()]
    assert len(set(prints)) == 2 * len(NAMES)


def test_without_a_calibration_areas_are_undefined_and_the_text_says_so(tmp_path):
    plain = make_model(tmp_path, calibrated=False)
    tasks = tasks_of(plain)
    parts = {NAMES[2]: Part(tasks[NAMES[2]]())}
    with pytest.raises(ConfigurationError, match="no slide could be predicted as it was drawn"):
        nodes.score_validation(parts, plain, PARAMS)
    parts = {NAMES[0]: parts[NAMES[2]]}
    slides, areas, curves, foci, intervals, metrics = nodes.score_validation(parts, plain, PARAMS)
    assert math.isnan(areas["rich_error"][0])
    assert not len(foci)
    assert not {"validation_rich_error", "validation_coverage_slide_ihc_true"} & set(metrics)
    assert metrics["validation_largest_stained_error"] < 0.06
    text = nodes.tell_validation(slides, areas, foci, intervals, plain)
    assert "none: there is no tau" in text
    assert "slides without an interval: interval withheld" in text
    read_back = slides.assign(
        interval=math.nan
    )  # where none is withheld, the table's texts are empty
    assert "slides without" not in nodes.tell_validation(read_back, areas, foci, intervals, plain)
    figure = nodes.draw_validation(slides, areas, curves, intervals, plain)
    assert "without tau" in figure.texts[0].get_text()


# --- tables


def planted(condition: str, slide_id: str, burden: float, **other) -> dict:
    slide = {
        "tumor_labelling": 0.5,
        "burden": burden,
        "lower": 0.1,
        "upper": 0.3,
        "interval": "",
        "tau": TAU,
        "tumor_ratio": 0.2,
        "ihc_measured": 0.25,
        "ihc_true": 0.35,
        "he_true": 0.3,
        "label_reason": "",
        "n_regions": 2,
        "n_left_out": 1,
        "stained_mm2": 1.02,
        "true_stained_mm2": 1.0,
        "smallest_detectable_um": 144.0,
        "tumor_mm2": 0.25,
        "n_cells": 2,
        "n_cells_without_truth": 0,
        "rich_mm2": 0.3,
        "true_rich_mm2": 0.4,
        "reported_rich_mm2": 0.5,
        "true_rich_all_mm2": 0.75,
        "tumor_in_rich_mm2": 0.2,
        "tumor_nuclei_mm2": 0.1,
        "tumor_positive_mm2": 0.05,
        "other_nuclei_mm2": 0.2,
        "other_positive_mm2": 0.02,
        "scored_mm2": 1.0,
        "tissue_ratio": 0.2,
        "true_tissue_ratio": 0.25,
        **other,
    }
    bounds = {"lower": 0.1, "upper": 0.4}
    return {
        "slide": slide,
        "regions": [
            {**bounds, "ihc_measured": 0.4, "ihc_true": 0.5},
            {**bounds, "ihc_measured": None, "ihc_true": 0.1},
        ],
        "curve": [{"tau": TAU, "rich_mm2": slide["rich_mm2"], "true_rich_mm2": 0.4}],
        "foci": [
            {
                "from_um": 0.0,
                "to_um": to,
                "n_truth": 3,
                "n_found": 1,
                "n_predicted": 0,
                "n_right": 0,
            }
            for to in (200.0, None)
        ],
    }


@pytest.fixture(scope="module")
def tables():
    results = {
        ("as drawn", "p01"): planted("as drawn", "p01", 0.1),
        ("as drawn", "p02"): planted(
            "as drawn", "p02", 0.3, rich_mm2=0.6, stained_mm2=0.94, lower=None, upper=None,
            interval="interval withheld: organ undeclared", tumor_positive_mm2=0.03,
            tissue_ratio=0.05,
        ),
        ("labelling 0.9", "p01"): planted(
            "labelling 0.9", "p01", 0.1, reported_rich_mm2=1.0, tumor_positive_mm2=0.095
        ),
    }  # fmt: skip
    results["as drawn", "p02"]["regions"] = [
        {"lower": None, "upper": None, "ihc_measured": 0.4, "ihc_true": 0.5}
    ]
    parts = {", ".join(name): Part(result) for name, result in results.items()}
    model = SimpleNamespace(card={"training_data": "phantom"})
    return nodes.score_validation(parts, model, PARAMS)


def test_areas_are_compared_as_sums_over_slides(tables):
    own = tables[1].set_index("condition").loc["as drawn"]
    assert own["stained_error"] == pytest.approx(1.96 / 2 - 1)
    assert own["largest_stained_error"] == pytest.approx(0.06)
    assert own["rich_error"] == pytest.approx(0.9 / 0.8 - 1)
    assert own["rich_error_by_slide"] == pytest.approx((0.1 + 0.2) / 0.8)
    assert own["rich_error_lower"] < own["rich_error"] < own["rich_error_upper"]
    assert own["rich_over_tumor"] == pytest.approx(1.0 / 0.5)
    assert own["true_rich_over_tumor"] == pytest.approx(1.5 / 0.5)
    assert own["tumor_found"] == pytest.approx(0.4 / 0.5)
    assert own["tumor_in_rich"] == pytest.approx(0.4 / 1.0)
    curve = tables[2].set_index("condition").loc["as drawn"]
    assert curve[["rich_mm2", "true_rich_mm2"]].tolist() == pytest.approx([0.9, 0.8])


def test_tumor_areas_follow_from_the_labelling_of_all_slides_together(tables):
    slides = tables[0].set_index(["condition", "slide_id"])
    own = tables[1].set_index("condition").loc["as drawn"]
    # l = (0.05 + 0.03) / 0.2 and b = 0.04 / 0.4, of both slides.
    assert own[["l_by_area", "b_by_area"]].tolist() == pytest.approx([0.4, 0.1])
    first, second = slides.loc["as drawn", "p01"], slides.loc["as drawn", "p02"]
    assert first["tumor_area_mm2"] == pytest.approx((0.2 - 0.1) / 0.3)
    assert (second["tumor_area_mm2"], second["tumor_area_uncut_mm2"]) == pytest.approx((0, -1 / 6))
    assert own["tumor_mm2"] == pytest.approx(0.5)
    errors = ["", "_uncut", "_true_ratio", "_l_low", "_l_high"]
    assert [own[f"tumor_area{name}_error"] for name in errors] == pytest.approx(
        [-1 / 3, -2 / 3, 1.0, 0.0, -0.5]
    )
    assert own["tumor_area_error_by_slide"] == pytest.approx((1 / 3 - 0.25 + 0.25) / 0.5)
    other = tables[1].set_index("condition").loc["labelling 0.9"]
    assert other["tumor_area_mm2"] == pytest.approx((0.2 - 0.1) / 0.85)
    assert math.isnan(other["tumor_area_l_high_error"])  # no labelling is over 1


def test_a_labelling_that_tells_nothing_apart_gives_no_tumor_area():
    row = planted("x", "p01", 0.1, tumor_positive_mm2=0.015)["slide"]  # l 0.15, b 0.1
    table = pd.DataFrame([{"condition": "x", **row}])
    found = with_tumor_areas(table).iloc[0]
    assert found["tumor_area_mm2"] == 1.0  # 0.2 is above l: all of it
    assert found["tumor_area_uncut_mm2"] == pytest.approx(2.0)
    assert math.isnan(found["tumor_area_l_low_mm2"])
    none = table.assign(tumor_nuclei_mm2=0.0, tumor_positive_mm2=0.0, tumor_mm2=0.0)
    without = with_tumor_areas(none)
    assert math.isnan(without["tumor_area_mm2"][0])
    assert all(math.isnan(value) for value in tumor_errors(without).values())


def test_the_interval_of_a_ratio_of_sums_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(1000):
        wholes = rng.gamma(2.0, 0.1, 24)
        parts = np.maximum(0.9 * wholes + rng.normal(0, 0.03, 24), 0)
        lower, upper = scores.ratio_of_sums_interval(parts, wholes)
        held.append(lower <= 0.9 <= upper)
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)
    assert np.isnan(scores.ratio_of_sums_interval(np.array([1.0]), np.array([1.0]))).all()
    # Two slides: R = 2 / 4, residuals 0.5 and -0.5, standard error 0.25; no mean of ratios.
    found = scores.ratio_of_sums_interval(np.array([1.0, 1.0]), np.array([1.0, 3.0]))
    assert found == pytest.approx((0.5 - 12.706 * 0.25, 0.5 + 12.706 * 0.25), abs=1e-3)


def test_foci_are_pooled_over_slides(tables):
    foci = tables[3]
    own = foci[(foci["condition"] == "as drawn") & np.isinf(foci["to_um"])].iloc[0]
    assert (own["n_truth"], own["n_found"]) == (6, 2)
    assert own["recall"] == pytest.approx(1 / 3)
    assert math.isnan(own["precision"])  # nothing was predicted


def test_intervals_hold_what_lies_on_their_bounds_and_nothing_else(tables):
    found = tables[4].set_index(["condition", "level", "reference", "burden"])
    region = found.loc[("as drawn", "region", "ihc_measured", "all")]
    assert region[["coverage", "width", "n", "n_slides", "n_withheld"]].tolist() == pytest.approx(
        [1.0, 0.3, 1, 1, 1]
    )
    assert found.loc[("as drawn", "region", "ihc_true", "all"), "coverage"] == 0.5
    assert found.loc[("as drawn", "slide", "ihc_measured", "all"), "coverage"] == 1.0
    assert found.loc[("as drawn", "slide", "ihc_true", "under 0.2"), "coverage"] == 0.0
    much = found.loc[("as drawn", "slide", "ihc_true", "0.2 and more")]
    assert math.isnan(much["coverage"])
    assert much["n_withheld"] == 1


def test_metrics_are_of_slides_as_drawn_and_the_text_says_what_was_asked(tables):
    slides, areas, curves, foci, intervals, metrics = tables
    assert metrics["validation_rich_error"] == pytest.approx(0.125)
    assert metrics["validation_focus_recall"] == pytest.approx(1 / 3)
    assert metrics["validation_coverage_region_ihc_true"] == 0.5
    assert metrics["validation_rich_over_tumor_labelling_0.9"] == pytest.approx(4.0)
    assert "validation_focus_precision" not in metrics
    text = validation_text(slides, areas, foci, intervals, ["STAMP"])
    assert "+12.5% in sum (asked: within 10%, NOT met)" in text
    assert re.search("make 3[78]% of the true area", text)
    close = areas.assign(rich_error=0.05)
    text_of = partial(validation_text, slides, foci=foci, intervals=intervals, stamps=[])
    assert "10%, met by these slides, not shown for others)" in text_of(close)
    sure = close.assign(rich_error_lower=0.01, rich_error_upper=0.09)
    assert "10%, met)" in text_of(sure)
    assert "at most 6.0% on a slide (asked: within 3%, NOT met)" in text
    assert "is not the tumor's area" in text
    assert "l 0.40, b 0.10: 0.33 mm2 of 0.50 mm2 tumor: -33.3% in sum; the slides' own" in text
    assert re.search(r"errors make 67%\n .* cut to 0 to 1 -66.7%; from true ratios \+100.0%", text)
    assert "higher -50.0%" in text
    assert "higher undefined" in text
    assert metrics["validation_tumor_area_error_as_drawn"] == pytest.approx(-1 / 3)
    assert metrics["validation_tumor_area_l_high_error_as_drawn"] == pytest.approx(-0.5)
    assert "validation_tumor_area_l_high_error_labelling_0.9" not in metrics
    assert "(4.00 times the tumor)" in text
    assert text.endswith("STAMP\n")
    assert {RESEARCH_USE, SYNTHETIC_TRAINING, CIRCULAR} <= set(areas.attrs["stamp"])
    model = SimpleNamespace(card={"training_data": "phantom"})
    figure = nodes.draw_validation(slides, areas, curves, intervals, model)
    dots = figure.axes[0].lines[1]
    assert dots.get_ydata().tolist() == [0.3, 0.6]
    assert figure.axes[2].lines[2].get_ydata().tolist() == [4.0]
    assert CIRCULAR.split(":")[0] in figure.get_supxlabel()


def test_slides_without_tumor_belong_to_all_and_to_the_first_group():
    results = {("as drawn", "p01"): planted("as drawn", "p01", 0.0)}
    rows = scores.interval_rows(results, scores.slide_rows(results), (0.2,))
    counted = rows.groupby("burden")["n_slides"].sum()
    assert counted.to_dict() == {"all": 4, "under 0.2": 4, "0.2 and more": 0}


def test_without_burden_groups_there_is_one():
    assert scores._groups(()) == [("all", 0.0, math.inf)]


def test_the_pipeline_needs_a_model_and_the_cohort_it_may_not_repeat():
    pipeline = create_pipeline()
    assert pipeline.inputs() == {
        "cohort",
        "prediction_model",
        "params:nuclei_model",
        "params:segmentation",
        "params:prediction_validation",
    }
