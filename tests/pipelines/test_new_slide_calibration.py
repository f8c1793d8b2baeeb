"""From a fold's predictions to the file in the model's folder, and to MLflow."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError
from PIL import Image

from tests.hooks.small_regressor import small_regressor
from tumor_ratio.approaches.tail import calibrate_for_new_slides
from tumor_ratio.atomic import write_json
from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.mlflow_model import _files
from tumor_ratio.datasets.new_slide_calibration import NewSlideCalibrationDataset
from tumor_ratio.datasets.trained_folds import TrainedFoldsDataset
from tumor_ratio.datasets.trainings import LATEST, ModelRef
from tumor_ratio.imaging.nuclear_area import hematoxylin_area_um2, hematoxylin_threshold
from tumor_ratio.imaging.regions import Region, regions_of, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.inference.calibration_areas import area_tasks
from tumor_ratio.inference.new_slide_calibration import FILE_NAME, NewSlideCalibration
from tumor_ratio.steps import step

SIDE, N = 32, 12


class Part:
    """A finished slide's result, as the partition dataset hands it on."""

    def __init__(self, value):
        self.value = value

    def load(self):
        return self.value


def slide_names(n_test: int) -> dict[str, str]:
    names = {f"t{index}": "train" for index in range(6)}
    names |= {f"v{index}": "validation" for index in range(10)}
    return names | {f"x{index}": "test" for index in range(n_test)}


def cohort_of(folder: Path, names, kind: str = "phantom") -> Cohort:
    folder.mkdir()
    pairs = []
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        rgb = rng.integers(60, 255, (SIDE, N * SIDE, 3)).astype(np.uint8)
        Image.fromarray(rgb).save(folder / f"{name}.png")
        slide = open_slide(folder / f"{name}.png", slide_id=name, mpp=1.0)
        pairs.append(SlidePair(name, f"case-{name}", slide, None, data_kind=kind, meta={}))
    return Cohort(tuple(pairs), "phantom")


def tables_of(split_of: dict[str, str], protocol: str = "holdout", folds: int = 1) -> dict:
    """Patches in a row a slide; with two folds the second swaps test and training slides."""
    patches = regions_table(
        Region(name, f"{name}-tile", "patch", index * SIDE, 0, SIDE, 1.0)
        for name in split_of
        for index in range(N)
    )
    rng = np.random.default_rng(1)
    measured = rng.beta(1, 3, len(patches))
    measured[::7] = np.nan
    labels = [
        pd.DataFrame(
            {
                "region_id": patches["region_id"],
                "label_method": method,
                "tumor_ratio": values,
                "nuclei_um2": 2000.0,
            }
        )
        for method, values in (("nucleus", measured), ("study", 0.99))
    ]
    swapped = {"train": "test", "test": "train", "validation": "validation"}
    rows, predictions = [], []
    for fold in range(folds):
        split = {name: each if fold == 0 else swapped[each] for name, each in split_of.items()}
        rows += [
            {
                "protocol": protocol,
                "repeat": 0,
                "fold": fold,
                "slide_id": name,
                "case_id": f"case-{name}",
                "split": each,
            }
            for name, each in split.items()
        ]
        held_out = patches[patches["slide_id"].map(split) != "train"]
        raw = 0.1 + 0.5 * np.nan_to_num(measured[held_out.index], nan=0.2) + 0.3 * fold
        predictions.append(
            pd.DataFrame(
                {
                    "repeat": 0,
                    "fold": fold,
                    "region_id": held_out["region_id"],
                    "tumor_ratio": raw,
                    "tumor_ratio_calibrated": raw.clip(0, 1),
                }
            )
        )
    return {
        "patches": patches,
        "ratio_labels": pd.concat(labels, ignore_index=True),
        "folds": pd.DataFrame(rows),
        "predictions": pd.concat(predictions, ignore_index=True),
    }


def card_of(split_of: dict[str, str], protocol: str = "holdout") -> dict:
    trained = [name for name, split in split_of.items() if split == "train"]
    return {
        "fingerprint": "f" * 64,
        "approach": "mine",
        "slides": {"train": trained},
        "label_method": "nucleus",
        "protocol": protocol,
    }


def calibrate(cohort: Cohort, tables: dict, card: dict) -> NewSlideCalibration:
    from tumor_ratio.pipelines.data_processing.nodes import describe_slides

    tasks = area_tasks(cohort, tables["patches"], tables["folds"])
    areas = {name: Part(pickle.loads(pickle.dumps(task))()) for name, task in tasks.items()}
    described = [*card["slides"]["train"], "v0"]
    looks = {n: Part(task()) for n, task in describe_slides(cohort).items() if n in described}
    models = {"fold_1": ModelRef(Path("m"), card), "fold_2": ModelRef(Path("n"), {})}
    return calibrate_for_new_slides(
        cohort,
        tables["patches"],
        tables["ratio_labels"],
        tables["folds"],
        tables["predictions"],
        areas,
        looks,
        models,
    )


def test_only_the_first_folds_test_slides_calibrate(tmp_path):
    split_of = slide_names(9)
    cohort = cohort_of(tmp_path / "slides", split_of)
    single = calibrate(cohort, tables_of(split_of), card_of(split_of))
    assert single.reason == single.area_reason == single.tau_reason == ""
    assert single.slides == tuple(f"x{index}" for index in range(9))
    assert single.n_regions == 9 * N - sum(i % 7 == 0 for i in range(16 * N, 25 * N))
    assert single.domain.declared["species"] == ["phantom"]
    assert len(single.domain.appearances) == 6
    assert 0.0 < single.tau < 0.9  # labels of the other method are 0.99
    crossed = tables_of(split_of, "cross_validation", folds=2)
    again = calibrate(cohort, crossed, card_of(split_of, "cross_validation"))
    assert again.to_record() == single.to_record()


def test_a_regions_weight_is_what_prediction_gives_it(tmp_path):
    split_of = slide_names(1)
    cohort = cohort_of(tmp_path / "slides", split_of)
    tables = tables_of(split_of)
    tasks = area_tasks(cohort, tables["patches"], tables["folds"])
    assert list(tasks) == ["x0"]
    found = tasks["x0"]()
    own = regions_of(tables["patches"], "x0")
    pixels = [cohort["x0"].he.read(x, 0, SIDE, 1.0) for x in own["x_px"]]
    threshold = hematoxylin_threshold(np.stack(pixels), 1.0)
    expected = [hematoxylin_area_um2(rgb, 1.0, threshold=threshold) for rgb in pixels]
    np.testing.assert_allclose(found["hematoxylin_um2"], expected)
    assert found["region_id"].tolist() == own["region_id"].tolist()


def test_a_small_cohort_has_no_intervals_and_says_why(tmp_path):
    split_of = {"t0": "train", "v0": "validation", "x0": "test"}
    cohort = cohort_of(tmp_path / "slides", split_of, kind="real")
    found = calibrate(cohort, tables_of(split_of), card_of(split_of))
    assert found.reason == "1 calibration slides, fewer than 9"
    assert found.area_reason.startswith("10 validation regions, fewer than 100")
    assert found.domain.declared == {"species": [], "organ": [], "stain": []}
    tables = tables_of(split_of)
    tables["predictions"] = tables["predictions"].head(0)
    nothing = calibrate(cohort, tables, card_of(split_of))
    assert nothing.reason == "0 calibration slides, fewer than 9"


# --- the file, and MLflow


@step(name="train", version=1)
def train(*, folder: Path, on_epoch) -> dict:
    return dict(small_regressor(folder, slides={"train": []}).card)


class Notes:
    """Stands for an MLflow run; keeps what each logged model held."""

    run_id = "run-1"

    def __init__(self):
        self.models, self.files = [], []

    def log_history(self, history):
        pass

    def set_tags(self, tags):
        pass

    def log_artifact(self, path, folder):
        self.files.append(f"{folder}/{Path(path).name}")

    def log_model(self, folder, card):
        self.models.append([path.name for path in _files(folder)])
        return "m-1"


@pytest.fixture
def notes():
    run = Notes()
    tracking.track_in(run)
    yield run
    tracking.track_in(None)


def test_a_model_is_logged_once_with_its_calibration(tmp_path, notes):
    split_of = {"t0": "train", "v0": "validation", "x0": "test"}
    cohort = cohort_of(tmp_path / "slides", split_of)
    path = str(tmp_path / "models")
    models = TrainedFoldsDataset(path, log_model=False)
    dataset = NewSlideCalibrationDataset(path)
    with pytest.raises(NotMadeYetError, match="run first: kedro run --pipelines=regression"):
        dataset.load()
    models.save({"fold_1": partial(train)})
    assert notes.models == []
    assert notes.files == ["model/card.json"]
    assert not dataset.exists()
    model = models.load()["fold_1"]
    card = {**card_of(split_of), "fingerprint": model.card["fingerprint"]}
    found = calibrate(cohort, tables_of(split_of), card)
    with pytest.raises(DatasetError, match="of another model"):
        dataset.save(replace(found, model="another"))
    assert notes.models == []
    dataset.save(found)
    assert notes.models == [["card.json", FILE_NAME, "model.safetensors"]]
    assert f"model/{FILE_NAME}" in notes.files
    assert dataset.exists()
    assert dataset.load().to_record() == found.to_record()
    assert str(tmp_path) not in (model.folder / FILE_NAME).read_text()


def test_a_calibration_of_an_earlier_model_does_not_serve_a_later_one(tmp_path):
    dataset = NewSlideCalibrationDataset(str(tmp_path))
    first = small_regressor(tmp_path / "first", seed=1)
    second = small_regressor(tmp_path / "second", seed=2)
    for model in (first, second):
        write_json(model.folder / "card.json", model.card)
    write_json(tmp_path / LATEST, {"folder": "first"})
    split_of = {"t0": "train", "v0": "validation", "x0": "test"}
    cohort = cohort_of(tmp_path / "slides", split_of)
    card = {**card_of(split_of), "fingerprint": first.card["fingerprint"]}
    dataset.save(calibrate(cohort, tables_of(split_of), card))
    write_json(tmp_path / LATEST, {"folder": "second"})
    assert not dataset.exists()
    record = json.loads((first.folder / FILE_NAME).read_text())
    assert record["model"] == first.card["fingerprint"]
