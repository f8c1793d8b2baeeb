"""Stress from a finished run's tables and two untrained networks, on tiny phantoms."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from tumor_ratio import schemas
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.fingerprint import fingerprint
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError, SlideError
from tumor_ratio.labelling.params import NucleiModelParams, SegmentationParams
from tumor_ratio.models.model_folder import write_model
from tumor_ratio.models.normalisation import Normalisation
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions
from tumor_ratio.models.segmenter import locate_segmenter
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.pipeline_registry import DEFAULT_APPROACHES, register_pipelines
from tumor_ratio.pipelines.stress import create_pipeline, nodes
from tumor_ratio.pipelines.stress.params import StressParams
from tumor_ratio.pipelines.stress.slide_step import (
    LabelOptions,
    RegionSize,
    measure_stressed_slide,
)
from tumor_ratio.reporting.stamps import CIRCULAR, RESEARCH_USE, SYNTHETIC_TRAINING

NOBODY = Cohort((), "phantom")
SMALL = PhantomParams(family="final", n_slides=2, width_um=260, height_um=260, seed=9)
ESTIMATES = ["label", "training_median", "ridge_colour", "one", "two"]


class Part:
    """A finished slide's result, as the partition dataset hands it on."""

    def __init__(self, value: pd.DataFrame) -> None:
        self.value = value

    def load(self) -> pd.DataFrame:
        return self.value


def make_model(folder: Path, start: float, side: int = 64, kind: str = "phantom") -> ModelRef:
    """An untrained network that answers about `start`."""
    network = build_regressor(Architecture("test_resnet", side), BackboneOptions(), seed=0)
    network.start_at(start)
    normalisation = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "training_patches")
    description = {"approach": folder.name, "mpp": 1.0, "training_data": kind}
    card = write_model(folder, network.eval(), normalisation, description)
    return ModelRef(folder, {**card, "fingerprint": f"{start:064}"})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelRef]:
    folder = tmp_path_factory.mktemp("models")
    return {name: make_model(folder / name, start) for name, start in (("one", 0.1), ("two", 0.8))}


def tables() -> dict[str, pd.DataFrame]:
    """A finished run: labels rise with redness on training slides."""
    rng = np.random.default_rng(0)
    n = 60
    slide = np.repeat(["t1", "t2", "v1"], n // 3)
    region = [f"r{index}" for index in range(n)]
    red = rng.uniform(100, 200, n)
    ratio = 0.2 + 0.004 * (red - 100)
    common = {"region_id": region, "slide_id": slide}
    return {
        "patches": pd.DataFrame({**common, "tile_id": slide}),
        "pair_quality": pd.DataFrame({"region_id": ["t1", "t2", "v1"], "kept": True}),
        "references": pd.DataFrame(
            {"region_id": region, "reference": "ihc_measured", "tumor_ratio": ratio}
        ),
        "patch_features": pd.DataFrame(
            {"region_id": region, "mean_red": red, "mean_green": 90.0, "mean_blue": 120.0}
        ),
        "folds": pd.DataFrame(
            {
                "protocol": "holdout",
                "repeat": 0,
                "fold": 0,
                "slide_id": ["t1", "t2", "v1"],
                "split": ["train", "train", "validation"],
            }
        ),
    }


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> StressParams:
    return StressParams(
        factors=("background_dab", "defocus", "tears"),
        strength=2.0,
        phantoms=SMALL,
        other_families=("shifted",),
        min_nuclei=5,
        folder=str(tmp_path_factory.mktemp("kept")),
        compute={"device": "cpu", "precision": "float32", "threads": 1},
    )


@pytest.fixture(scope="module")
def measured(params: StressParams, models: dict[str, ModelRef]) -> dict[str, Part]:
    tasks = nodes.measure_stress(
        nodes.plan_stress(NOBODY, params),
        nodes.fit_stress_baselines(**tables(), params=params),
        NucleiModelParams(),
        SegmentationParams(),
        params,
        **models,
    )
    return {name: Part(pickle.loads(pickle.dumps(task))()) for name, task in tasks.items()}


@pytest.fixture(scope="module")
def scored(measured, params, models):
    return nodes.score_stress(measured, params, **models)


def of(measured: dict[str, Part], stress: str, approach: str) -> pd.DataFrame:
    parts = [part.load() for name, part in measured.items() if name.startswith(f"final_{stress}_")]
    table = pd.concat(parts, ignore_index=True)
    return table[table["approach"] == approach].set_index("region_id")


# --- which slides


def test_every_slide_is_measured_without_stress_and_with_each_factor(params):
    plan = nodes.plan_stress(NOBODY, params)
    names = [f"final_{each}_p0{number}" for each in ("none", *params.factors) for number in (1, 2)]
    assert list(plan) == [*names, "shifted_none_p01", "shifted_none_p02"]
    assert type(plan["shifted_none_p01"]) is PhantomSlide
    assert plan["final_tears_p02"].key == plan["final_none_p02"].key
    assert plan["final_tears_p02"].stress.strength == 2.0


def test_slides_that_models_may_have_seen_are_refused(params, measured):
    truth_dir = Path(params.folder) / "final_seed9" / "truth" / "p02"
    cohort = [SimpleNamespace(truth_dir=None), SimpleNamespace(truth_dir=truth_dir)]
    with pytest.raises(ConfigurationError, match="seed 9 gives slides that the models may"):
        nodes.plan_stress(cohort, params)
    other = params.model_copy(update={"phantoms": SMALL.model_copy(update={"seed": 10})})
    assert nodes.plan_stress(cohort, other)


def test_phantoms_whose_truth_is_gone_are_named(params, tmp_path):
    cohort = [SimpleNamespace(slide_id="p07", truth_dir=tmp_path / "gone")]
    with pytest.raises(SlideError, match="slide p07: has no truth"):
        nodes.plan_stress(cohort, params)


def test_wrong_parameters_are_refused():
    with pytest.raises(ValidationError, match=r"leave phantoms\.stress at 'none'"):
        StressParams(phantoms=PhantomParams(stress="tears"))
    with pytest.raises(ValidationError, match="factors names something twice"):
        StressParams(factors=("tears", "tears"))
    with pytest.raises(ValidationError, match="holds the phantoms' own, final"):
        StressParams(other_families=("final",))
    with pytest.raises(ValidationError, match="'necrosis', 'crush'"):
        StressParams(factors=("fog",))


def test_models_of_different_regions_are_refused(params, models, tmp_path):
    small = make_model(tmp_path / "small", 0.5, side=32)
    with pytest.raises(ConfigurationError, match=r"different sizes \(small 32 px at 1, one 64"):
        nodes.measure_stress(
            {}, None, NucleiModelParams(), SegmentationParams(), params, small=small, **models
        )


def test_a_command_line_lists_factors_and_families_between_spaces():
    params = StressParams(factors="tears pigment", other_families="shifted")
    assert params.factors == ("tears", "pigment")
    assert params.other_families == ("shifted",)


# --- baselines


def test_baselines_are_those_of_the_training_slides(params):
    fitted = nodes.fit_stress_baselines(**tables(), params=params)
    training = tables()["references"]["tumor_ratio"][:40]
    assert fitted.median == pytest.approx(np.median(training))
    features = pd.DataFrame({"mean_red": [150.0], "mean_green": 90.0, "mean_blue": 120.0})
    assert fitted.ridge.predict(features)[0] == pytest.approx(0.4, abs=0.005)


def test_a_run_without_what_baselines_need_is_refused(params):
    with pytest.raises(ConfigurationError, match="no protocol 'grouped'"):
        nodes.fit_stress_baselines(
            **tables(), params=params.model_copy(update={"protocol": "grouped"})
        )
    unlabelled = tables()
    unlabelled["references"] = unlabelled["references"].assign(tumor_ratio=np.nan)
    with pytest.raises(ConfigurationError, match="no labelled training region"):
        nodes.fit_stress_baselines(**unlabelled, params=params)


# --- what is measured


def test_all_estimates_of_all_regions_are_there(measured):
    for part in measured.values():
        table = schemas.StressRegions.validate(part.load())
        assert list(dict.fromkeys(table["approach"])) == ESTIMATES
        assert table.groupby("approach").size().nunique() == 1
        assert (table.loc[table["approach"] == "label", "reference"] == "ihc_true").all()
        assert (table.loc[table["approach"] != "label", "reference"] == "he_true").all()


def test_h_and_e_estimates_do_not_feel_what_happens_to_ihc(measured):
    for approach in ESTIMATES[1:]:
        plain, under = (of(measured, name, approach) for name in ("none", "background_dab"))
        assert plain[["true_ratio", "tumor_ratio"]].equals(under[["true_ratio", "tumor_ratio"]])
    plain, under = (of(measured, name, "one")["tumor_ratio"] for name in ("none", "defocus"))
    assert not np.allclose(plain, under)


def test_strong_background_makes_the_label_call_more_nuclei_positive(measured, scored):
    plain, under = (of(measured, name, "label") for name in ("none", "background_dab"))
    assert plain["true_ratio"].equals(under["true_ratio"])
    both = plain["tumor_ratio"].notna() & under["tumor_ratio"].notna()
    rise = (under["tumor_ratio"] - plain["tumor_ratio"])[both]
    assert both.sum() >= 6
    assert rise.mean() > 0.02
    row = (
        scored[0]
        .set_index(["family", "stress", "approach"])
        .loc[("final", "background_dab", "label")]
    )
    assert row["change"] > 0


def test_torn_regions_have_other_truths(measured):
    plain, under = (of(measured, name, "label")["true_ratio"] for name in ("none", "tears"))
    assert not plain.equals(under)


def test_a_slide_that_labelling_refuses_has_no_label_and_says_why(params):
    planned = nodes.plan_stress(NOBODY, params)["final_none_p01"]
    fitted = nodes.fit_stress_baselines(**tables(), params=params)
    blocks = SegmentationParams.model_construct(**{**dict(SegmentationParams()), "block_px": 40})
    label = LabelOptions(locate_segmenter("shipped"), blocks, 5)
    size = RegionSize(64, 1.0)
    table = measure_stressed_slide(planned, size, {}, fitted, label, params.compute, params.folder)
    own = table[table["approach"] == "label"]
    assert own["tumor_ratio"].isna().all()
    assert own["reason"].str.contains("raise segmentation.block_px").all()
    assert (table.loc[table["approach"] != "label", "reason"] == "").all()


def test_a_slide_that_an_approach_refuses_has_no_ratio_by_it_and_says_why(
    params, models, monkeypatch, caplog
):
    def refuse(*_: object) -> None:
        raise SlideError("p01", "no nuclei can be told", "")

    monkeypatch.setattr("tumor_ratio.inference.slide_model.SlideModel.answer", refuse)
    planned = nodes.plan_stress(NOBODY, params)["final_tears_p01"]
    fitted = nodes.fit_stress_baselines(**tables(), params=params)
    label = LabelOptions(locate_segmenter("shipped"), SegmentationParams(), 5)
    only = {"one": models["one"]}
    args = (RegionSize(64, 1.0), only, fitted, label, params.compute, params.folder)
    table = measure_stressed_slide(planned, *args)
    own = table[table["approach"] == "one"]
    assert own["tumor_ratio"].isna().all()
    assert own["reason"].str.contains("no nuclei can be told").all()
    assert (table.loc[table["approach"] != "one", "reason"] == "").all()
    nodes.score_stress({"p01": Part(table)}, params, **only)
    assert "slide p01 under tears has no ratio by one: slide p01: no nuclei" in caplog.text


def test_networks_answer_as_they_are_evaluated(params, models, measured):
    """The regions of an unstressed slide get what the model gives for their patches."""
    from tumor_ratio.imaging.patches import PatchReader
    from tumor_ratio.imaging.regions import Region
    from tumor_ratio.imaging.slide import open_slide
    from tumor_ratio.models.model_folder import load_regressor

    path = next((Path(params.folder) / "final_seed9").rglob("*p01*he*.tif*"))
    slide = open_slide(path, slide_id="p01", mpp=SMALL.mpp)
    table = of(measured, "none", "one").query("slide_id == 'p01'")
    places = table.index.str.extract(r"_x(\d+)_y(\d+)_").astype(int).to_numpy()
    regions = [Region("p01", "", "patch", x, y, 64, 1.0) for x, y in places]
    reader = PatchReader({"p01": slide}, regions, cache_mb=64)
    expected = load_regressor(models["one"].folder, params.compute).predict_source(reader)
    assert np.allclose(table["tumor_ratio"], expected, atol=1e-6)


def test_slides_are_kept_where_a_folder_is_named_and_nowhere_else(params, models, measured):
    kept = {path.name for path in Path(params.folder).iterdir()}
    assert kept == {"final_seed9", "shifted_seed9"} | {
        f"final_seed9_{name}_2" for name in params.factors
    }


def test_tasks_have_fingerprints_that_tell_factors_and_models_apart(params, models, tmp_path):
    plan = nodes.plan_stress(NOBODY, params)
    fitted = nodes.fit_stress_baselines(**tables(), params=params)
    others = {**models, "two": make_model(tmp_path / "two", 0.3)}
    prints = [
        fingerprint(task, tmp_path)
        for each in (models, others)
        for task in nodes.measure_stress(
            plan, fitted, NucleiModelParams(), SegmentationParams(), params, **each
        ).values()
    ]
    assert len(set(prints)) == 2 * len(plan)


# --- what comes out


def test_scores_rankings_and_metrics(scored, params):
    scores, rankings, metrics = scored
    schemas.StressScores.validate(scores)
    schemas.StressRankings.validate(rankings)
    assert len(scores) == len(ESTIMATES) * (1 + 3 + 1)
    conditions = list(zip(rankings["family"], rankings["stress"], strict=True))
    assert conditions == [("final", each) for each in ("none", *params.factors)] + [
        ("shifted", "none")
    ]
    assert (rankings["n_approaches"] == 4).all()
    assert rankings.loc[0, "kendall_tau"] == pytest.approx(1)
    assert {"stress_largest_change_label", "stress_smallest_tau"} <= set(metrics)
    for table in (scores, rankings):
        assert table.attrs["stamp"][0] == RESEARCH_USE
        assert {SYNTHETIC_TRAINING, CIRCULAR} <= set(table.attrs["stamp"])


def test_models_of_real_slides_are_not_circular_evidence(tmp_path, measured, params):
    real = make_model(tmp_path / "one", 0.1, kind="real")
    scores, _, _ = nodes.score_stress(measured, params, one=real)
    assert CIRCULAR not in scores.attrs["stamp"]


def test_the_figure_shows_every_factor_for_label_and_estimates(scored, models, params):
    figure = nodes.draw_stress(scored[0], **models)
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == [
        name.replace("_", " ") for name in params.factors
    ]
    dots = {
        line.get_label(): line.get_xdata() for line in right.lines if len(line.get_xdata()) == 3
    }
    assert set(dots) == set(ESTIMATES[1:])
    own = scored[0].query("approach == 'one' and stress != 'none'")["change"]
    assert np.allclose(dots["one"], own)
    assert CIRCULAR.split(":")[0] in figure.get_supxlabel()


def test_a_figure_without_pairs_says_so(scored, models):
    figure = nodes.draw_stress(scored[0].query("stress == 'none'"), **models)
    assert "both with and without stress" in figure.texts[0].get_text()


def test_every_approach_of_the_main_job_is_put_under_stress():
    wanted = {f"{name}.first_model" for name in DEFAULT_APPROACHES}
    assert wanted <= register_pipelines()["stress"].inputs()


def test_the_pipeline_reads_the_models_of_all_approaches():
    pipeline = create_pipeline(("a", "b"))
    assert {"a.first_model", "b.first_model", "cohort", "params:stress"} <= pipeline.inputs()
    assert pipeline.outputs() == {"stress_rankings", "stress_metrics", "stress_changes"}
