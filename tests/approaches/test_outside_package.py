"""An approach that a package of its own brings, with a folder and a catalog file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.main_job import Job
from tumor_ratio.approaches.contract import load
from tumor_ratio.approaches.registry import all_specs
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.hooks.approaches import check_approaches

PACKAGE = Path(__file__).parents[1] / "ridge_approach"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    """A run of the ridge, with the one catalog file and the parameters that it brings."""
    job = Job.in_folder(tmp_path_factory.mktemp("ridge"))
    for file in (PACKAGE / "conf").iterdir():
        shutil.copy(file, job.conf / "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
        )
        code, printed = job.run(
            "--pipelines=data_processing,ground_truth,ridge,evaluation",
            "--params=approaches=colour_ridge",
        )
        assert code == 0, printed[-4000:]
        yield job


def test_it_is_scored_reported_and_tracked(finished):
    scores = pd.read_csv(finished.newest("08_reporting/scores.csv"), comment="#")
    own = scores[scores["approach"] == "colour_ridge"]
    assert np.isfinite(own.loc[own["metric"] == "mae", "value"]).any()
    report = (finished.data / "08_reporting/report.html").read_text()
    assert "mean colours of patches and region ratios" in report
    mlflow = MlflowClient(f"sqlite:///{finished.data}/mlflow/mlflow.db")
    experiment = mlflow.get_experiment_by_name("tumor-ratio").experiment_id
    (run,) = mlflow.search_runs([experiment], "tags.approach = 'colour_ridge'")
    assert np.isfinite(run.data.metrics["region_mae"])
    assert run.data.tags["stamp"]
    kept = {file.path for file in mlflow.list_artifacts(run.info.run_id, "slide_model")}
    assert "slide_model/calibration.json" in kept
    assert "slide_model/ridge.safetensors" in kept


def test_its_model_predicts_a_new_slide(finished):
    slide = next((finished.data / "01_raw/phantoms").rglob("*_he.tif"))
    folder = finished.data / "new"
    folder.mkdir()
    shutil.copy(slide, folder)
    code, printed = finished.run(
        "--pipelines=prediction", f"--params=approach=colour_ridge,prediction.folder={folder}"
    )
    assert code == 0, printed[-4000:]
    table = pd.read_csv(finished.data / "08_reporting/prediction/region_ratios.csv", comment="#")
    assert len(table)
    assert table["tumor_ratio"].between(0, 1).any()


def test_its_parameters_are_checked_before_a_run(monkeypatch):
    monkeypatch.syspath_prepend(PACKAGE)
    monkeypatch.setattr("tumor_ratio.hooks.approaches.all_specs", all_specs.__wrapped__)
    params = load("ridge_ratio.pipeline:RidgeParams")
    check_approaches({"params:colour_ridge": params()}, PACKAGE)
    with pytest.raises(ConfigurationError, match="leaves nothing to learn"):
        check_approaches({"params:colour_ridge": params(penalty=2e6)}, PACKAGE)


def test_its_card_says_what_it_is(finished):
    (card,) = (finished.data / "06_models/colour_ridge_slides").glob("*/card.json")
    told = json.loads(card.read_text())
    assert (told["answers"], told["approach"]) == ("ridge", "colour_ridge")
    assert told["slides"]["train"]
