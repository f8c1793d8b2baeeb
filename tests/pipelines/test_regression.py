from __future__ import annotations

import json
import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from tumor_ratio.approaches.network import DESCRIBED, architecture_of
from tumor_ratio.approaches.tail import describe_approach
from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.fingerprint import fingerprint
from tumor_ratio.datasets.trained_folds import TrainedFoldsDataset
from tumor_ratio.datasets.trained_model import ModelRef, TrainedModelDataset
from tumor_ratio.errors import ConfigurationError, ModelUnavailableError, SlideError
from tumor_ratio.imaging.patches import PatchReader
from tumor_ratio.imaging.regions import Region, iter_regions, regions_of, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.pipelines.regression import create_pipeline, nodes
from tumor_ratio.pipelines.regression.params import RegressionParams, SamplingParams
from tumor_ratio.pipelines.regression.prediction_step import predict_slide
from tumor_ratio.pipelines.regression.sampling import (
    labelled_patches,
    parts_of_patches,
    sample_patches,
)
from tumor_ratio.pipelines.regression.training_step import (
    CHECKPOINTS,
    label_intervals,
    patch_parts,
)
from tumor_ratio.reporting.stamps import SYNTHETIC_TRAINING
from tumor_ratio.schemas import (
    Folds,
    PairQuality,
    Predictions,
    RatioLabels,
    TrainingParts,
    TrainingPatches,
)

SIDE = 32
SPLITS = {"a": "train", "b": "train", "c": "validation", "d": "test"}
FAST = {
    "backbone": {"name": "test_resnet"},
    "training": {
        "epochs": 16,
        "batch_size": 16,
        "optimizer": {"name": "adamw", "learning_rate": 0.003},
        "compute": {"device": "cpu", "precision": "float32", "threads": 1},
    },
    "sampling": {"per_bin": None},
    "prediction": {"device": "cpu", "precision": "float32", "threads": 1},
}


TRAINING = {**FAST["training"], "epochs": 1}


class Part:
    """A finished slide's result, as the partition dataset hands it on."""

    def __init__(self, value):
        self.value = value

    def load(self):
        return self.value


def tables(cohort_of: dict[str, int], ratios=None) -> dict[str, pd.DataFrame]:
    """Patches in rows of one tile a slide; every 7th has no ratio, the last tile is not kept."""
    regions, quality, labels, folds = [], [], [], []
    for slide_id, count in cohort_of.items():
        folds.append(
            {
                "protocol": "holdout",
                "repeat": 0,
                "fold": 0,
                "slide_id": slide_id,
                "case_id": slide_id,
                "split": SPLITS[slide_id],
            }
        )
        for name, kept in (("good", True), ("bad", False)):
            tile_id = f"{slide_id}-{name}"
            quality.append(
                {
                    "region_id": tile_id,
                    "slide_id": slide_id,
                    "he_nuclei": 1.0,
                    "ihc_nuclei": 1.0,
                    "density_agreement": 1.0,
                    "weight": 1.0,
                    "kept": kept,
                    "reason": "" if kept else "planted",
                }
            )
            for index in range(count if kept else 5):
                y_px = 0 if kept else SIDE
                region = Region(slide_id, tile_id, "patch", index * SIDE, y_px, SIDE, 1.0)
                regions.append(region)
                ratio = ratios(slide_id, index) if ratios else (index + 0.5) / count
                defined = index % 7 != 3
                for method, value in (("nucleus", ratio), ("study", 0.5)):
                    labels.append(
                        {
                            "region_id": region.region_id,
                            "label_method": method,
                            "tumor_ratio": value if defined else np.nan,
                            "lower": np.nan,
                            "upper": np.nan,
                            "positive_share": np.nan,
                            "n_positive": 1,
                            "n_nuclei": 30,
                            "positive_um2": 1.0,
                            "nuclei_um2": 2.0,
                            "weight": 1.0,
                        }
                    )
    return {
        "patches": regions_table(regions),
        "pair_quality": PairQuality.validate(pd.DataFrame(quality)),
        "ratio_labels": RatioLabels.validate(pd.DataFrame(labels)),
        "folds": Folds.validate(pd.DataFrame(folds)),
    }


# --- which patches train


def test_only_kept_and_labelled_patches_of_training_and_validation_slides_are_taken():
    planted = tables({"a": 20, "c": 20, "d": 20})
    found = labelled_patches(**planted, label_method="nucleus", protocol="holdout")
    TrainingPatches.validate(found.assign(repeat=0, fold=0))
    assert set(found["slide_id"]) == {"a", "c"}  # d is a test slide
    assert set(found["tile_id"]) == {"a-good", "c-good"}
    assert dict(found.groupby("slide_id")["split"].first()) == {"a": "train", "c": "validation"}
    assert len(found) == 2 * 17  # three of twenty have no ratio
    by_hand = (found["x_px"] // SIDE + 0.5) / 20
    np.testing.assert_allclose(found["tumor_ratio"], by_hand)


def test_nothing_of_a_test_slide_reaches_a_training_whatever_its_labels():
    planted = tables({"a": 20, "b": 20, "c": 20, "d": 20})
    params = RegressionParams.model_validate(FAST)
    before = nodes.sample_patches(**planted, params=params)
    labels = planted["ratio_labels"].copy()
    labels.loc[labels["region_id"].str.startswith("d_"), "tumor_ratio"] = 1.0
    after = nodes.sample_patches(**{**planted, "ratio_labels": labels}, params=params)
    pd.testing.assert_frame_equal(before, after)
    assert "d" not in set(before["slide_id"])


def nuclei_at(places: list[tuple[float, float, bool]]) -> pd.DataFrame:
    x, y, positive = zip(*places, strict=True)
    return pd.DataFrame(
        {"x_he_px": x, "y_he_px": y, "area_um2": 30.0, "positive": np.array(positive)}
    )


def test_a_patchs_parts_have_the_ratios_of_their_own_nuclei():
    patches = regions_table([Region("a", "t", "patch", 100, 200, 32, 1.0)])
    # Level-0 pixels of 0.5 um: the patch is 64 of them wide, a part 32.
    quarters = {(0, 0): 3, (0, 1): 0, (1, 0): 6}  # positive ones of six; the last has too few
    places = [
        (104.0 + 32 * column, 204.0 + 32 * row, index < n_positive)
        for (row, column), n_positive in quarters.items()
        for index in range(6)
    ]
    places += [(140.0, 240.0, True)] * 4 + [(99.0, 204.0, True)] * 9
    found = parts_of_patches(patches, nuclei_at(places), 0.5, 2)
    TrainingParts.validate(found)
    assert set(found["region_id"]) == set(patches["region_id"])
    by_place = found.set_index(["row", "column"])
    assert by_place["tumor_ratio"].to_dict() == {(0, 0): 0.5, (0, 1): 0, (1, 0): 1, (1, 1): 0}
    assert by_place["weight"].to_dict() == {(0, 0): 6, (0, 1): 6, (1, 0): 6, (1, 1): 0}
    with pytest.raises(ConfigurationError, match="cannot be cut into 3 x 3 parts"):
        parts_of_patches(patches, nuclei_at(places), 0.5, 3)


def test_parts_come_to_their_own_patch_row_and_column():
    rows = pd.DataFrame({"region_id": ["b", "a", "c"]})
    parts = pd.DataFrame(
        {
            "region_id": ["a"] * 4 + ["b"] * 4 + ["elsewhere"] * 4,
            "row": [0, 0, 1, 1] * 3,
            "column": [0, 1, 0, 1] * 3,
            "tumor_ratio": np.arange(12) / 12,
            "weight": np.arange(12) + 1.0,
        }
    )
    found = patch_parts(rows, parts)
    expected = [[[4, 5], [6, 7]], [[0, 1], [2, 3]]]
    np.testing.assert_allclose(found.ratios[:2] * 12, expected, rtol=1e-6)
    np.testing.assert_array_equal(found.weights[:2], np.array(expected) + 1)
    assert not found.weights[2].any()
    assert patch_parts(rows, TrainingParts.empty()) is None


def test_only_training_patches_have_parts_and_only_labels_a_nucleus(cohort):
    planted = tables({"a": 12, "c": 12})
    sampled = labelled_patches(**planted, label_method="nucleus", protocol="holdout")
    nuclei = nuclei_at([(x, y, False) for x in range(0, 800, 4) for y in range(0, 64, 4)])
    parts = dict.fromkeys("abcd", Part(nuclei))
    params = RegressionParams(**FAST, loss={"parts": 2})
    found = nodes.sample_parts(cohort, parts, sampled, params)
    taught = sampled.loc[sampled["split"] == "train", "region_id"]
    assert found["region_id"].value_counts().to_dict() == dict.fromkeys(taught, 4)
    assert nodes.sample_parts(cohort, parts, sampled, RegressionParams(**FAST)).empty
    with pytest.raises(ConfigurationError, match=r"set `loss\.parts: 0`"):
        nodes.sample_parts(
            cohort, parts, sampled, params.model_copy(update={"label_method": "study"})
        )


def test_quotas_that_leave_nothing_to_train_on_are_named():
    planted = tables({"a": 20, "c": 20})
    planted["ratio_labels"]["tumor_ratio"] = 0.05
    params = RegressionParams.model_validate({**FAST, "sampling": {"per_bin": [0, 0, 100]}})
    with pytest.raises(ConfigurationError, match=r"fewer than 2 .*; raise `sampling\.per_bin`"):
        nodes.sample_patches(**planted, params=params)


def test_the_studys_quotas_hold_a_slide_and_a_bin():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "slide_id": np.repeat(["a", "b", "c"], 1500),
            "split": np.repeat(["train", "train", "validation"], 1500),
            "tumor_ratio": rng.uniform(0, 0.5, 4500),
        }
    )
    table.loc[[0, 1], "tumor_ratio"] = [1.0, 0.2]  # edges belong to the bin above, 1 to the last
    sampled = sample_patches(table, SamplingParams())
    bins = np.digitize(sampled["tumor_ratio"], [0.1, 0.2])
    counts = sampled.assign(bin=bins).groupby(["slide_id", "bin"]).size()
    for slide_id in ("a", "b"):
        assert counts[slide_id].tolist() == [200, 200, 100]
    assert counts["c"].sum() == 300
    again = sample_patches(table, SamplingParams())
    pd.testing.assert_frame_equal(sampled, again)
    other = sample_patches(table, SamplingParams(seed=1))
    assert not sampled["tumor_ratio"].equals(other["tumor_ratio"])


def test_a_slides_draw_does_not_depend_on_other_slides():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "slide_id": np.repeat(["a", "b"], 1000),
            "split": "train",
            "tumor_ratio": rng.uniform(0, 1, 2000),
        }
    )
    both = sample_patches(table, SamplingParams())
    alone = sample_patches(table[table["slide_id"] == "b"], SamplingParams())
    pd.testing.assert_frame_equal(
        both[both["slide_id"] == "b"].reset_index(drop=True), alone.reset_index(drop=True)
    )


def test_what_cannot_be_learned_from_says_so():
    planted = tables({"a": 20, "c": 20})
    with pytest.raises(ConfigurationError, match=r"method 'nuclei'; set .*: nucleus, study"):
        labelled_patches(**planted, label_method="nuclei", protocol="holdout")
    with pytest.raises(
        ConfigurationError, match="protocol 'cross'; set `protocol` to one of: hold"
    ):
        labelled_patches(**planted, label_method="nucleus", protocol="cross")
    with pytest.raises(ConfigurationError, match="at least three cases"):
        labelled_patches(
            **{**planted, "folds": Folds.empty()}, label_method="nucleus", protocol="holdout"
        )
    with pytest.raises(ConfigurationError, match="no validation patches: of 25 patches 17 lie in"):
        labelled_patches(**tables({"a": 20}), label_method="nucleus", protocol="holdout")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainin": {}}, "unknown parameter 'trainin' .did you mean 'training'"),
        ({"training": {"epoch": 1}}, "unknown parameter 'training.epoch'"),
        ({"training": {"optimizer": {"lr": 1}}}, "unknown parameter 'training.optimizer.lr'"),
        ({"training": {"epochs": 0}}, "epochs must be at least 1"),
        ({"sampling": {"upper_edges": [0.2, 0.1, 1]}}, "upper_edges increase"),
        ({"sampling": {"per_bin": [1, 2]}}, "for each of 3 bins"),
        ({"loss": {"name": "cross_entropy"}}, "needs head.bounded"),
    ],
)
def test_parameters_are_closed_and_bounded(change, message):
    with pytest.raises(ValueError, match=message):
        RegressionParams.model_validate(change)


def test_the_defaults_are_the_studys():
    params = RegressionParams()
    assert params.sampling.upper_edges == (0.10, 0.20, 1.0)
    assert params.sampling.per_bin == (200, 200, 100)
    assert params.loss.name == "smooth_l1"
    assert params.loss.beta == 0.05
    training = params.training
    assert (training.epochs, training.batch_size, training.schedule) == (50, 64, "constant")
    optimizer = training.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.momentum) == ("sgd", 1e-4, 0.9)
    assert training.augmentation.flips == "horizontal"


# --- the template


def test_each_approach_has_its_namespace_tag_and_parameters():
    pipeline = create_pipeline(("resnet18", "mine"))
    assert pipeline.inputs() == {
        *("cohort", "slide_appearance", "patches", "pair_quality", "ihc_nuclei", "ratio_labels"),
        *("calibration_areas", "folds"),
        *("params:resnet18", "params:mine"),
    }
    made = ("account", "new_slide_calibration")
    outputs = {f"{name}.{each}" for name in ("resnet18", "mine") for each in made}
    assert pipeline.outputs() == outputs
    for node in pipeline.nodes:
        assert node.tags == {f"approach.{node.namespace}"}
    names = [node.name for node in pipeline.only_nodes_with_namespaces(["mine"]).nodes]
    assert names == [
        "mine.sample_patches",
        "mine.sample_parts",
        "mine.train",
        "mine.describe_approach",
        "mine.predict",
        "mine.calibrate",
        "mine.calibrate_for_new_slides",
    ]


def test_kedro_finds_the_types_of_the_parameters():
    from kedro.validation.type_extractor import TypeExtractor

    found = TypeExtractor({"r": create_pipeline(("mine",))}).extract_types_from_pipelines()
    assert found == {"mine": RegressionParams}


# --- from slides to predictions


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    """Four slides; in column i the redness tells the ratio (i + 0.5) / 24."""
    pairs = []
    for number, slide_id in enumerate("abcd"):
        rng = np.random.default_rng(number)
        rgb = rng.integers(80, 120, (2 * SIDE, 24 * SIDE, 3))
        rgb[..., 0] += (120 * (np.arange(24 * SIDE) // SIDE + 0.5) / 24).astype(int)
        path = tmp_path / f"{slide_id}.png"
        Image.fromarray(rgb.astype(np.uint8)).save(path)
        slide = open_slide(path, slide_id=slide_id, mpp=1.0)
        meta = {"species": "phantom", "organ": "testis" if slide_id != "b" else None}
        pairs.append(SlidePair(slide_id, slide_id, slide, None, data_kind="phantom", meta=meta))
    return Cohort(tuple(pairs), "phantom")


def run(
    cohort: Cohort, folder: Path, planted: dict, change: dict | None = None
) -> tuple[pd.DataFrame, ModelRef, dict]:
    params = RegressionParams.model_validate({**FAST, **(change or {})})
    sampled = nodes.sample_patches(**planted, params=params)
    (task,) = nodes.train(cohort, sampled, TrainingParts.empty(), params, approach="mine").values()
    told = {}
    card = task(folder=folder, on_epoch=lambda metrics, epoch: told.update({epoch: metrics}))
    model = ModelRef(folder, {**card, "fingerprint": "f" * 64})
    models = {"fold_1": model}
    tasks = nodes.predict(cohort, planted["patches"], planted["folds"], models, params)
    parts = {slide_id: Part(pickle.loads(pickle.dumps(task))()) for slide_id, task in tasks.items()}
    return nodes.calibrate(parts, models), model, told


def test_the_pipeline_learns_what_is_planted_and_predicts_all_patches_of_held_out_slides(
    cohort, tmp_path
):
    planted = tables(dict.fromkeys("abcd", 24))
    predictions, model, told = run(cohort, tmp_path / "model", planted)
    Predictions.validate(predictions)
    patches = planted["patches"].set_index("region_id")
    held_out = patches[patches["slide_id"].isin(["c", "d"])]
    assert set(predictions["region_id"]) == set(held_out.index)  # kept, labelled or not
    assert set(predictions["approach"]) == {"mine"}
    assert set(predictions["reference"]) == {"ihc_measured"}
    test = predictions[predictions["region_id"].str.startswith("d_")]
    truth = (patches.loc[test["region_id"], "x_px"].to_numpy() // SIDE + 0.5) / 24
    assert np.abs(test["tumor_ratio"] - truth).mean() < 0.15  # the median errs by 0.25
    assert test["tumor_ratio_calibrated"].between(0, 1).all()
    ordered = test.sort_values("tumor_ratio")["tumor_ratio_calibrated"]
    assert ordered.is_monotonic_increasing

    card = model.card
    assert card["training_data"] == "phantom"
    assert SYNTHETIC_TRAINING in card["stamps"]
    assert (card["mpp"], card["patch_px"], card["label_method"]) == (1.0, SIDE, "nucleus")
    assert card["slides"] == {"train": ["a", "b"], "validation": ["c"]}
    assert card["domain"]["species"] == ["phantom"]
    assert card["domain"]["organ"] == []  # one training slide does not say
    assert card["metrics"]["val_mae"] < card["metrics"]["val_mae_of_training_median"]
    assert list(told) == list(range(1, 17))
    assert card["metrics"]["val_mae"] == min(metrics["val_mae"] for metrics in told.values())
    assert not (tmp_path / "model" / CHECKPOINTS).exists()
    assert str(tmp_path) not in (tmp_path / "model" / "card.json").read_text()


def test_a_killed_training_step_goes_on_and_a_finished_one_is_not_repeated(cohort, tmp_path):
    planted = tables(dict.fromkeys("abcd", 24))
    whole, *_ = run(cohort, tmp_path / "whole", planted)
    params = RegressionParams.model_validate(FAST)
    sampled = nodes.sample_patches(**planted, params=params)
    (task,) = nodes.train(cohort, sampled, TrainingParts.empty(), params, approach="mine").values()

    def kill(metrics, epoch):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task(folder=tmp_path / "cut", on_epoch=kill)
    again, *_ = run(cohort, tmp_path / "cut", planted)
    pd.testing.assert_frame_equal(whole, again)

    calls = []
    card = task(folder=tmp_path / "cut", on_epoch=lambda *told: calls.append(told))
    assert calls == []
    assert card["best_epoch"] >= 1


def test_the_trainings_fingerprint_follows_what_it_depends_on(cohort, tmp_path):
    planted = tables(dict.fromkeys("abcd", 24))

    def key(change: dict, approach: str = "mine") -> str:
        params = RegressionParams.model_validate({**FAST, **change})
        sampled = nodes.sample_patches(**planted, params=params)
        (task,) = nodes.train(
            cohort, sampled, TrainingParts.empty(), params, approach=approach
        ).values()
        assert isinstance(task, partial)
        return fingerprint(task, tmp_path)

    first = key({})
    assert key({}) == first
    assert key({"prediction": {"precision": "bf16"}}) == first  # how it predicts is another matter
    assert key({"training": {"epochs": 7}}) != first
    assert key({}, approach="yours") != first
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"1")
    named = {"backbone": {"name": "test_resnet", "weights_path": str(weights)}}
    before = key(named)
    weights.write_bytes(b"22")
    assert key(named) != before


def test_slides_without_h_and_e_are_not_predicted(cohort):
    planted = tables(dict.fromkeys("abcd", 24))
    pairs = [p if p.slide_id != "d" else SlidePair("d", "d", None, p.he) for p in cohort]
    model = ModelRef(Path("nowhere"), {"fingerprint": "f"})
    tasks = nodes.predict(
        Cohort(tuple(pairs), "manifest"),
        planted["patches"],
        planted["folds"],
        {"fold_1": model},
        RegressionParams(),
    )
    assert list(tasks) == ["c"]


@pytest.mark.parametrize(
    ("seen", "refused"),
    [
        ({"train": ["a", "b"], "validation": ["c"]}, None),
        ({"train": ["a"], "validation": ["b"]}, None),  # what validated may train later
        ({"train": ["a", "d"], "validation": ["c"]}, "d"),
        ({"train": ["a", "c"], "validation": ["b"]}, "c"),
        ({"train": ["a", "b"], "validation": ["d"]}, "d"),
    ],
)
def test_a_model_of_another_split_predicts_nothing(cohort, seen, refused):
    planted = tables(dict.fromkeys("abcd", 24))
    model = ModelRef(Path("nowhere"), {"fingerprint": "f", "approach": "mine", "slides": seen})
    given = (cohort, planted["patches"], planted["folds"], {"fold_1": model}, RegressionParams())
    if refused is None:
        assert set(nodes.predict(*given)) == {"c", "d"}
    else:
        with pytest.raises(ConfigurationError, match=f"mine has seen {refused}, held out"):
            nodes.predict(*given)


def test_slides_that_an_earlier_model_knew_are_told(cohort, caplog):
    planted = tables(dict.fromkeys("abcd", 24))
    card = {
        "fingerprint": "f",
        "approach": "mine",
        "slides": {"train": ["a"], "validation": ["b"]},
        "slides_before": ["d", "x"],
    }
    models = {"fold_1": ModelRef(Path("nowhere"), card)}
    with caplog.at_level("WARNING"):
        nodes.predict(cohort, planted["patches"], planted["folds"], models, RegressionParams())
    assert "mine went on from a model that had learned from slides called d, which" in caplog.text


def test_a_training_goes_on_from_an_earlier_one_and_its_card_says_so(cohort, tmp_path):
    planted = tables(dict.fromkeys("abcd", 24))

    def train(options, approach):
        params = RegressionParams(**{**FAST, **options, "training": TRAINING})
        sampled = nodes.sample_patches(**planted, params=params)
        dataset = TrainedFoldsDataset(str(tmp_path / approach))
        dataset.save(nodes.train(cohort, sampled, TrainingParts.empty(), params, approach=approach))
        return dataset.load()

    (earlier,) = train({}, "earlier").values()
    models = train({"backbone": {"name": "test_resnet", "initial": str(earlier.folder)}}, "later")
    (later,) = models.values()
    assert later.card["starting_weights"]["source"] == "model earlier"
    assert later.card["slides_before"] == ["a", "b", "c"]
    learned = describe_approach(models)["supervision"]
    assert learned.startswith("an earlier model (")
    assert ", then region ratios of the neighbouring Ki-67 section" in learned
    assert describe_approach({"one": earlier})["supervision"].startswith("region ratios")
    nothing = {"backbone": {"name": "test_resnet", "initial": str(tmp_path / "nowhere")}}
    with pytest.raises(ModelUnavailableError, match="no finished model"):
        train(nothing, "never")


def test_a_model_of_other_patches_is_refused(cohort):
    planted = tables(dict.fromkeys("abcd", 24))
    model = ModelRef(Path("nowhere"), {"fingerprint": "f", "patch_px": 64, "mpp": 0.5})
    models = {"fold_1": model}
    tasks = nodes.predict(cohort, planted["patches"], planted["folds"], models, RegressionParams())
    with pytest.raises(ConfigurationError, match=r"takes patches of 64 px at 0\.5 um/px"):
        tasks["c"]()


# --- reading patches


def test_a_patch_reader_gives_the_slides_pixels_from_file_or_cache(cohort):
    table = tables({"a": 24, "c": 24})["patches"]
    slides = {pair.slide_id: pair.he for pair in cohort}
    regions = list(iter_regions(table))
    order = np.random.default_rng(0).permutation(len(regions))
    uncached = PatchReader(slides, regions, cache_mb=0)
    some = PatchReader(slides, regions, cache_mb=10 * SIDE * SIDE * 3 / 1e6)
    for _ in range(2):
        np.testing.assert_array_equal(uncached.read(order), some.read(order))
    first = uncached.read(order)[0]
    region = regions[order[0]]
    expected = slides[region.slide_id].read(region.x_px, region.y_px, SIDE, 1.0)
    np.testing.assert_array_equal(first, expected)


def test_a_cached_patch_outlives_its_file_and_another_does_not(cohort):
    regions = [Region("a", "t", "patch", index * SIDE, 0, SIDE, 1.0) for index in range(3)]
    slide = cohort["a"].he
    reader = PatchReader({"a": slide}, regions, cache_mb=2 * SIDE * SIDE * 3 / 1e6)
    kept = reader.read([0, 1])
    slide.path.unlink()
    np.testing.assert_array_equal(reader.read([1, 0]), kept[::-1])
    with pytest.raises(SlideError, match="slide a:"):
        reader.read([2])


def test_threads_share_a_patch_reader_and_its_room(cohort):
    regions = [Region("a", "t", "patch", x * 8, y * 8, SIDE, 1.0) for x in range(6) for y in (0, 1)]
    plain = PatchReader({"a": cohort["a"].he}, regions, cache_mb=0)
    room = 5 * SIDE * SIDE * 3 / 1e6
    shared = PatchReader({"a": cohort["a"].he}, regions, cache_mb=room)
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(shared.read, [range(len(regions))] * 12):
            np.testing.assert_array_equal(found, plain.read(range(len(regions))))
    assert len(shared._cache) == 5
    assert shared._free_bytes == pytest.approx(0, abs=1)


def test_a_patch_that_two_threads_read_takes_its_room_once():
    meeting = threading.Barrier(2, timeout=10)

    class Met:
        """Both threads have missed the cache before either has read."""

        def read(self, x_px, y_px, size_px, mpp):
            meeting.wait()
            return np.zeros((size_px, size_px, 3), dtype=np.uint8)

    regions = [Region("a", "t", "patch", 0, 0, SIDE, 1.0)]
    reader = PatchReader({"a": Met()}, regions, cache_mb=2 * SIDE * SIDE * 3 / 1e6)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(reader.read, [[0], [0]]))
    assert reader._free_bytes == pytest.approx(SIDE * SIDE * 3)


def test_a_patch_reader_refuses_what_does_not_fit(cohort):
    slides = {"a": cohort["a"].he}
    one = Region("a", "t", "patch", 0, 0, SIDE, 1.0)
    with pytest.raises(ValueError, match="of one size"):
        PatchReader(slides, [one, Region("a", "t", "patch", 0, 0, 16, 1.0)], 0)
    with pytest.raises(ValueError, match="no slide given for b"):
        PatchReader(slides, [Region("b", "t", "patch", 0, 0, SIDE, 1.0)], 0)


def test_the_model_dataset_trains_once_and_reuses(cohort, tmp_path, caplog):
    planted = tables(dict.fromkeys("abcd", 24))
    params = RegressionParams.model_validate(FAST)
    sampled = nodes.sample_patches(**planted, params=params)
    tasks = nodes.train(cohort, sampled, TrainingParts.empty(), params, approach="mine")
    dataset = TrainedFoldsDataset(str(tmp_path / "models"))
    dataset.save(tasks)
    first = dataset.load()["fold_1"]
    weights = (first.folder / "model.safetensors").stat().st_mtime_ns
    with caplog.at_level(logging.INFO, logger="tumor_ratio.datasets.trainings.reused"):
        dataset.save(tasks)
    assert "reusing the finished training" in caplog.text
    again = dataset.load()
    assert again["fold_1"].card == first.card
    assert "fold" not in first.card
    assert (again["fold_1"].folder / "model.safetensors").stat().st_mtime_ns == weights
    tasks = nodes.predict(cohort, planted["patches"], planted["folds"], again, params)
    assert len(tasks["d"]()) == 24 + 5
    assert TrainedModelDataset(str(tmp_path / "models")).load().card == first.card


# --- cross-validation


def crossed(planted: dict, repeats: int = 1) -> dict:
    """The same slides in two folds: in the second one, c and d train and a and b are held out."""
    parts = [SPLITS, {"c": "train", "d": "train", "a": "validation", "b": "test"}]
    folds = [
        planted["folds"].assign(
            protocol="cross_validation",
            repeat=repeat,
            fold=fold,
            split=planted["folds"]["slide_id"].map(parts[(fold + repeat) % 2]),
        )
        for repeat in range(repeats)
        for fold in range(2)
    ]
    return {**planted, "folds": Folds.validate(pd.concat(folds, ignore_index=True))}


def test_each_fold_samples_its_own_slides():
    planted = crossed(tables(dict.fromkeys("abcd", 24)))
    params = RegressionParams(**FAST, protocol="cross_validation")
    sampled = nodes.sample_patches(**planted, params=params)
    TrainingPatches.validate(sampled)
    found = sampled.groupby(["fold", "split"])["slide_id"].agg(lambda own: "".join(sorted({*own})))
    assert found.to_dict() == {
        (0, "train"): "ab", (0, "validation"): "c", (1, "train"): "cd", (1, "validation"): "a",
    }  # fmt: skip
    spoiled = planted["folds"].copy()
    again = spoiled[(spoiled["fold"] == 1) & (spoiled["slide_id"] == "c")].assign(split="test")
    with pytest.raises(ConfigurationError, match="slide c is in test and train of one fold"):
        nodes.sample_patches(**{**planted, "folds": pd.concat([spoiled, again])}, params=params)


def test_a_folds_training_depends_on_its_own_patches_and_parts(cohort, tmp_path):
    planted = crossed(tables(dict.fromkeys("abcd", 24)))
    params = RegressionParams(**FAST, protocol="cross_validation", loss={"parts": 2})
    sampled = nodes.sample_patches(**planted, params=params)
    nuclei = nuclei_at([(x, y, False) for x in range(0, 800, 4) for y in range(0, 64, 4)])
    parts = nodes.sample_parts(cohort, dict.fromkeys("abcd", Part(nuclei)), sampled, params)
    TrainingParts.validate(parts)
    assert not parts.duplicated(["region_id", "row", "column"]).any()
    tasks = nodes.train(cohort, sampled, parts, params, approach="mine")
    assert list(tasks) == ["fold_1", "fold_2"]
    for task, slides in zip(tasks.values(), ("ab", "cd"), strict=True):
        _, pairs, table, own, *_ = task.args
        taught = table.loc[table["split"] == "train"]
        assert set(taught["slide_id"]) == set(slides)
        assert set(own["region_id"]) == set(taught["region_id"])  # none of validation slides
        assert {pair.slide_id for pair in pairs} == set(table["slide_id"])
    first, second = (fingerprint(task, tmp_path) for task in tasks.values())
    assert first != second
    twice = crossed(tables(dict.fromkeys("abcd", 24)), repeats=2)
    more = nodes.sample_patches(**twice, params=params)
    again = nodes.train(cohort, more, parts, params, approach="mine")
    assert list(again) == [f"repeat_{r}_fold_{f}" for r in (1, 2) for f in (1, 2)]
    assert [fingerprint(task, tmp_path) for task in again.values()][:2] == [first, second]
    assert again["repeat_2_fold_1"].keywords["fold"].title("mine") == (
        "mine, repeat 2 of 2, fold 1 of 2"
    )


def test_folds_train_and_predict_their_own_slides(cohort, tmp_path, caplog):
    caplog.set_level("INFO", logger="tumor_ratio.models.progress")
    planted = crossed(tables(dict.fromkeys("abcd", 24)))
    params = RegressionParams(**FAST, protocol="cross_validation")
    sampled = nodes.sample_patches(**planted, params=params)
    tasks = nodes.train(cohort, sampled, TrainingParts.empty(), params, approach="mine")
    dataset = TrainedFoldsDataset(str(tmp_path / "mine"))
    dataset.save(tasks)
    models = dataset.load()
    assert "mine, fold 1 of 2: epoch 16 of 16" in caplog.text
    assert "mine, fold 2 of 2: epoch 16 of 16" in caplog.text
    assert [(m.card["repeat"], m.card["fold"]) for m in models.values()] == [(0, 0), (0, 1)]
    assert models["fold_2"].card["slides"] == {"train": ["c", "d"], "validation": ["a"]}
    work = nodes.predict(cohort, planted["patches"], planted["folds"], models, params)
    assert list(work) == list("abcd")
    done = {name: Part(pickle.loads(pickle.dumps(task))()) for name, task in work.items()}
    predictions = Predictions.validate(nodes.calibrate(done, models))
    slides = planted["patches"].set_index("region_id")["slide_id"]
    held = predictions.assign(slide_id=slides.reindex(predictions["region_id"]).to_numpy())
    assert held.groupby("fold")["slide_id"].agg(lambda own: "".join(sorted({*own}))).to_dict() == {
        0: "cd", 1: "ab",
    }  # fmt: skip
    assert set(predictions["protocol"]) == {"cross_validation"}
    for name, fold, slide in (("fold_1", 0, "d"), ("fold_2", 1, "b")):
        model = models[name]
        own = held[(held["fold"] == fold) & (held["slide_id"] == slide)]
        alone = predict_slide(
            cohort[slide].he, regions_of(planted["patches"], slide), model, params.prediction
        )
        np.testing.assert_array_equal(own["tumor_ratio"], alone["tumor_ratio"])
        monotone = MonotoneMap.from_record(model.card["calibration"])
        np.testing.assert_array_equal(
            own["tumor_ratio_calibrated"], monotone.apply(alone["tumor_ratio"].to_numpy())
        )


# --- further options


def context_cohort(tmp_path) -> Cohort:
    """Slides whose patches are plain grey; how red their surroundings are tells the ratio."""
    pairs = []
    for number, slide_id in enumerate("abcd"):
        rng = np.random.default_rng(number)
        rgb = rng.integers(80, 120, (4 * SIDE, 2 * SIDE * 24, 3))
        for index in range(24):
            around = slice(2 * SIDE * index, 2 * SIDE * (index + 1))
            rgb[:, around, 0] += int(120 * (index + 0.5) / 24)
            inside = slice(2 * SIDE * index + SIDE // 2, 2 * SIDE * index + SIDE // 2 + SIDE)
            for top in (SIDE // 2, 5 * SIDE // 2):
                rgb[top : top + SIDE, inside] = rng.integers(80, 120, (SIDE, SIDE, 3))
        path = tmp_path / f"{slide_id}.png"
        Image.fromarray(rgb.astype(np.uint8)).save(path)
        slide = open_slide(path, slide_id=slide_id, mpp=1.0)
        pairs.append(SlidePair(slide_id, slide_id, slide, None, data_kind="phantom", meta={}))
    return Cohort(tuple(pairs), "phantom")


def context_tables() -> dict[str, pd.DataFrame]:
    """`tables`, each patch moved into the middle of a square of twice its side."""
    planted = tables(dict.fromkeys("abcd", 24))
    patches = planted["patches"]
    moved = patches.assign(
        x_px=2 * patches["x_px"] + SIDE // 2, y_px=2 * patches["y_px"] + SIDE // 2
    )
    renamed = regions_table(iter_regions(moved))
    names = dict(zip(patches["region_id"], renamed["region_id"], strict=True))
    labels = planted["ratio_labels"]
    labels = labels.assign(region_id=labels["region_id"].map(names))
    return {**planted, "patches": renamed, "ratio_labels": labels}


@pytest.mark.parametrize(("context", "learns"), [(1.0, False), (2.0, True)])
def test_with_context_a_network_learns_from_what_lies_around_a_patch(tmp_path, context, learns):
    planted = context_tables()
    predictions, model, _ = run(
        context_cohort(tmp_path), tmp_path / "model", planted, {"context": context}
    )
    assert model.card["context"] == context
    patches = planted["patches"].set_index("region_id")
    kept = patches[patches["tile_id"].eq("d-good")]
    test = predictions.set_index("region_id").loc[kept.index]
    truth = (kept["x_px"].to_numpy() // (2 * SIDE) + 0.5) / 24
    error = np.abs(test["tumor_ratio"].to_numpy() - truth).mean()
    assert (error < 0.15) == learns  # the median errs by 0.25


def test_an_ensemble_of_the_pipeline_is_one_model_and_resumes(cohort, tmp_path):
    planted = tables(dict.fromkeys("abcd", 24))
    change = {"ensemble": 2, "training": {**FAST["training"], "epochs": 3}}
    whole, model, told = run(cohort, tmp_path / "whole", planted, change)
    assert list(told) == [1, 2, 3, 4, 5, 6]
    assert model.card["members"] == 2
    assert len(model.card["best_epoch"]) == 2
    assert model.card["epochs"] == 6
    files = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert files == ["card.json", "model.safetensors", "model_02.safetensors"]

    params = RegressionParams.model_validate({**FAST, **change})
    sampled = nodes.sample_patches(**planted, params=params)
    (task,) = nodes.train(cohort, sampled, TrainingParts.empty(), params, approach="mine").values()

    def kill(metrics, epoch):
        if epoch == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task(folder=tmp_path / "cut", on_epoch=kill)
    again, *_ = run(cohort, tmp_path / "cut", planted, change)
    pd.testing.assert_frame_equal(whole, again)

    both = [
        run(cohort, tmp_path / str(seed), planted, {"training": {**change["training"], **seed_of}})
        for seed, seed_of in ((0, {"seed": 0}), (1, {"seed": 1}))
    ]
    mean = np.mean([predictions["tumor_ratio"] for predictions, *_ in both], axis=0)
    np.testing.assert_allclose(whole["tumor_ratio"], mean, atol=1e-6)
    first = tmp_path / "0" / "model.safetensors"
    assert first.read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def test_flips_of_prediction_train_nothing_anew_and_change_the_answers(cohort, tmp_path):
    planted = tables(dict.fromkeys("abcd", 24))
    plain, model, _ = run(cohort, tmp_path / "model", planted)
    params = RegressionParams.model_validate(
        {**FAST, "prediction": {**FAST["prediction"], "flips": "dihedral"}}
    )
    assert params.learning() == RegressionParams.model_validate(FAST).learning()
    tasks = nodes.predict(cohort, planted["patches"], planted["folds"], {"fold_1": model}, params)
    parts = {slide_id: Part(task()) for slide_id, task in tasks.items()}
    flipped = nodes.calibrate(parts, {"fold_1": model})
    difference = (flipped["tumor_ratio"] - plain["tumor_ratio"]).abs()
    assert 0 < difference.max() < 0.3


def test_resnet18_bins_says_how_often_its_classes_are_right(cohort, tmp_path):
    planted = tables(dict.fromkeys("abcd", 24))
    change = {"head": {"bins": [0.2, 0.5]}, "loss": {"name": "bin_cross_entropy"}}
    predictions, model, _ = run(cohort, tmp_path / "model", planted, change)
    metrics = model.card["metrics"]
    labels = [(index + 0.5) / 24 for index in range(24) if index % 7 != 3]
    majority = max(np.histogram(labels, [0, 0.2, 0.5, 1])[0]) / len(labels)
    assert metrics["val_bin_accuracy_of_training_majority"] == pytest.approx(majority)
    assert metrics["val_bin_accuracy"] > majority
    assert predictions["tumor_ratio"].between(0, 1).all()
    assert model.card["architecture"]["bins"] == [0.2, 0.5]
    plain = RegressionParams()
    sampled = nodes.sample_patches(**planted, params=plain)
    tasks = nodes.train(cohort, sampled, TrainingParts.empty(), plain, approach="resnet18_bins")
    (task,) = tasks.values()
    with pytest.raises(ConfigurationError, match=r"set `resnet18_bins\.head\.bins`"):
        task(folder=tmp_path / "none", on_epoch=lambda metrics, epoch: None)


def with_intervals(planted: dict, lower=0.02, upper=0.02, weight=40.0) -> dict:
    labels = planted["ratio_labels"]
    ratio = labels["tumor_ratio"]
    labels = labels.assign(
        lower=(ratio - lower).clip(lower=0), upper=(ratio + upper).clip(upper=1), weight=weight
    )
    return {**planted, "ratio_labels": labels}


@pytest.mark.parametrize("name", ["beta_binomial", "interval"])
def test_labels_bring_their_intervals_and_nuclei_to_the_loss(cohort, tmp_path, name):
    planted = with_intervals(tables(dict.fromkeys("abcd", 24)))
    change = {"loss": {"name": name}, "head": {"bounded": True}}
    _, model, _ = run(cohort, tmp_path / "model", planted, change)
    metrics = model.card["metrics"]
    assert metrics["val_mae"] < 0.75 * metrics["val_mae_of_training_median"]


def test_intervals_are_those_of_the_patches_in_their_order():
    planted = with_intervals(tables({"a": 20, "c": 20}), lower=0.01, upper=0.03)
    found = labelled_patches(**planted, label_method="nucleus", protocol="holdout")
    TrainingPatches.validate(found.assign(repeat=0, fold=0))
    rows = found.iloc[::-1]
    intervals = label_intervals(rows, "nucleus")
    np.testing.assert_allclose(intervals.lower, (rows["tumor_ratio"] - 0.01).clip(0), atol=1e-6)
    np.testing.assert_allclose(intervals.upper, (rows["tumor_ratio"] + 0.03).clip(0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"name": "interval"}, "17 of 17 labels by the method 'nucleus' have no interval"),
        ({"name": "beta_binomial"}, "have no number of nuclei behind them; set `label_method: nu"),
        ({"weighted": True}, "have no number of nuclei behind them; set `label_method: nucleus`"),
    ],
)
def test_labels_that_do_not_say_what_a_loss_needs_are_refused(cohort, tmp_path, loss, message):
    planted = tables({"a": 20, "c": 20})
    planted["ratio_labels"]["weight"] = 0.0
    params = RegressionParams.model_validate({**FAST, "loss": loss, "head": {"bounded": True}})
    sampled = nodes.sample_patches(**planted, params=params)
    (task,) = nodes.train(cohort, sampled, TrainingParts.empty(), params, approach="mine").values()
    with pytest.raises(ConfigurationError, match=message):
        task(folder=tmp_path / "m", on_epoch=lambda metrics, epoch: None)


FROZEN = {"backbone": {"name": "test_resnet", "weights_path": "w.pth", "frozen": True}}
PLAIN = {"training": {"augmentation": {"flips": "none"}}}
BINS = {"head": {"bins": [0.2, 0.5]}, "loss": {"name": "bin_cross_entropy"}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": {"name": "beta_binomial"}}, "beta_binomial needs head.bounded: true"),
        (
            {"loss": {"name": "beta_binomial", "weighted": True}, "head": {"bounded": True}},
            "weighs patches by their nuclei: set loss.weighted: false",
        ),
        ({"loss": {"name": "beta_binomial", "correlation": 0}}, r"correlation must be in \(0, 1\)"),
        ({"loss": {"name": "interval", "parts": 2}}, "parts have no intervals"),
        ({"head": {"bins": [0.2, 0.5]}}, "head.bins needs loss.name: bin_cross_entropy"),
        ({"loss": {"name": "bin_cross_entropy"}}, "bin_cross_entropy needs head.bins"),
        ({"loss": {"class_weights": "balanced"}}, "class_weights needs head.bins"),
        ({**BINS, "loss": {**BINS["loss"], "parts": 2}}, "bins classifies whole patches"),
        ({**BINS, "head": {**BINS["head"], "bounded": True}}, "ends in probabilities"),
        ({**BINS, "head": {**BINS["head"], "start_at_mean": True}}, "ends in probabilities"),
        ({"head": {"bins": [0.5, 0.2]}}, "edges that increase"),
        ({"head": {"bins": [0.5, 1.0]}}, r"within \(0, 1\)"),
        ({"context": 2, "loss": {"parts": 2}}, "with context, .*: set loss.parts: 0"),
        ({"context": 0.5}, "context"),
        ({"ensemble": 0}, "ensemble"),
        (
            {"loss": {"parts": 2}, "training": {"augmentation": {"rotation_degrees": 5}}},
            "turned by quarters only",
        ),
        ({"backbone": {"frozen": True}}, "`frozen` and `frozen_stages` need `pretrained`"),
        (FROZEN, "without augmentation: set backbone.copies"),
        ({**FROZEN, **PLAIN, "loss": {"parts": 2}}, "one vector of features a patch"),
        ({"prediction": {"flips": "some"}}, "dihedral"),
        ({"prediction": {"flip": "none"}}, "did you mean 'flips'"),
    ],
)
def test_options_that_contradict_each_other_say_what_to_set(change, message):
    with pytest.raises(ValueError, match=message):
        RegressionParams.model_validate(change)


def test_options_that_go_together_are_taken():
    for change in (BINS, {**FROZEN, **PLAIN}, {**BINS, **FROZEN, **PLAIN}, {"context": 2}):
        RegressionParams.model_validate(change)


def test_the_model_dataset_keeps_publishes_and_gives_back_all_members(
    cohort, tmp_path, monkeypatch
):
    planted = tables(dict.fromkeys("abcd", 24))
    params = RegressionParams.model_validate(
        {**FAST, "ensemble": 2, "training": {**FAST["training"], "epochs": 2}}
    )
    sampled = nodes.sample_patches(**planted, params=params)
    (task,) = nodes.train(cohort, sampled, TrainingParts.empty(), params, approach="mine").values()
    published = []
    monkeypatch.setattr(
        "tumor_ratio.datasets.tracking.log_artifact", lambda path, place: published.append(path)
    )
    dataset = TrainedModelDataset(str(tmp_path / "models"))
    dataset.save(task)
    model = dataset.load()
    names = {path.name for path in published}
    assert names == {"card.json", "history.json", "model.safetensors", "model_02.safetensors"}
    history = json.loads((model.folder / "history.json").read_text())
    assert [history[str(epoch)]["member"] for epoch in range(1, 5)] == [1, 1, 2, 2]
    predict = nodes.predict(cohort, planted["patches"], planted["folds"], {"fold_1": model}, params)
    assert np.isfinite(predict["d"]()["tumor_ratio"]).all()


@pytest.mark.parametrize("approach", DESCRIBED)
def test_the_configured_blocks_are_valid_and_name_what_they_are(approach):
    path = Path(__file__).parents[2] / "conf" / "base" / "parameters_regression.yml"
    params = RegressionParams.model_validate(yaml.safe_load(path.read_text())[approach])
    architecture = architecture_of(approach, params.backbone, params.head, 224)
    names = {"vit_b16_study": "vit_base_patch16_224", "lite0_vit": "tf_efficientnet_lite0"}
    plain = approach.removesuffix("_bins").removesuffix("_study")
    assert architecture.backbone in (names.get(approach, plain), f"tf_{plain}")
    assert (architecture.pooling.name == "transformer") == (approach == "lite0_vit")
    assert architecture.bins == ((0.2, 0.5) if approach == "resnet18_bins" else ())
    assert (params.context, params.ensemble, params.prediction.flips) == (1, 1, "none")
