"""A regressor as an MLflow model: what it answers, says of itself, and costs."""

import json
import logging
import subprocess
from functools import partial
from importlib import metadata
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from tests.hooks.small_regressor import SIDE, patches, small_regressor
from tumor_ratio import __version__
from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.mlflow_forms import PATCHES, SLIDES, example_patch
from tumor_ratio.datasets.mlflow_model import is_regressor, log_regressor
from tumor_ratio.datasets.mlflow_runs import TrackedRun
from tumor_ratio.datasets.trained_model import TrainedModelDataset
from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.models.model_folder import load_regressor
from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_TRAINING
from tumor_ratio.steps import step


@pytest.fixture
def new_run(client):
    experiment = client.get_experiment_by_name("tests").experiment_id
    return lambda: client.create_run(experiment).info.run_id


def models_of(client, run_id: str) -> list[str]:
    return [output.model_id for output in client.get_run(run_id).outputs.model_outputs]


def files_of(client, model_id: str) -> dict[str, Path]:
    place = Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    return {path.name: path for path in place.rglob("*") if path.is_file()}


@pytest.fixture
def logged(client, new_run, tmp_path):
    model = small_regressor(tmp_path / "model")
    run_id = new_run()
    return model, run_id, log_regressor(client, run_id, model.folder, model.card)


def test_a_loaded_model_answers_as_the_predictor_does(logged):
    model, _, model_id = logged
    loaded = mlflow.pyfunc.load_model(f"models:/{model_id}")
    answer = loaded.predict(patches(5))
    expected = load_regressor(model.folder).predict(patches(5))
    assert list(answer.columns) == ["tumor_ratio", "tumor_ratio_calibrated"]
    assert len(set(expected.tolist())) > 3
    np.testing.assert_allclose(answer["tumor_ratio"], expected, rtol=0, atol=1e-6)
    calibrated = MonotoneMap((0.0, 1.0), (0.1, 0.5)).apply(expected)
    np.testing.assert_allclose(answer["tumor_ratio_calibrated"], calibrated, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [patches(2).astype(np.float64), patches(2)[:, :16], patches(2)[..., :2]]
)
def test_other_patches_are_refused_by_the_signature(logged, wrong):
    loaded = mlflow.pyfunc.load_model(f"models:/{logged[2]}")
    with pytest.raises(MlflowException, match="schema"):
        loaded.predict(wrong)


def test_it_says_what_it_is_and_needs(client, logged):
    model, run_id, model_id = logged
    about = mlflow.models.get_model_info(f"models:/{model_id}")
    assert about.signature.inputs.inputs[0].shape == (-1, SIDE, SIDE, 3)
    assert about.signature.inputs.inputs[0].type == np.uint8
    assert about.signature.outputs.input_names() == ["tumor_ratio", "tumor_ratio_calibrated"]
    kept = about.metadata
    assert kept["stamps"] == [RESEARCH_USE, SYNTHETIC_TRAINING]
    assert (kept["approach"], kept["mpp"], kept["training_data"]) == ("tiny", 1.0, "phantom")
    files = files_of(client, model_id)
    needed = files["requirements.txt"].read_text().split()
    assert f"tumor-ratio=={__version__}" in needed
    for name in ("torch", "timm"):
        assert f"{name}=={metadata.version(name).split('+')[0]}" in needed
    assert not any("pkl" in name or "pickle" in name for name in files)
    tags = client.get_logged_model(model_id).tags
    assert tags["stamp"] == f"{RESEARCH_USE} {SYNTHETIC_TRAINING}"
    assert tags["fingerprint"] == model.card["fingerprint"]
    assert models_of(client, run_id) == [model_id]


def test_its_example_is_drawn_small_and_valid(client, logged):
    files = files_of(client, logged[2])
    example = mlflow.pyfunc.load_model(f"models:/{logged[2]}").input_example
    np.testing.assert_array_equal(example, example_patch(SIDE))
    assert example_patch(SIDE).dtype == np.uint8
    assert len(np.unique(example_patch(SIDE).reshape(-1, 3), axis=0)) == 2
    assert files["serving_input_example.json"].stat().st_size < 5 * SIDE * SIDE * 3 + 100
    served = json.loads(files["serving_input_example.json"].read_text())
    assert served == {"inputs": example_patch(SIDE).tolist()}


def test_equal_content_is_logged_once_and_linked_to_every_run(client, new_run, logged, tmp_path):
    model, first, model_id = logged
    second = new_run()
    assert log_regressor(client, second, model.folder, model.card) == model_id
    assert log_regressor(client, second, model.folder, model.card) == model_id
    assert models_of(client, second) == models_of(client, first) == [model_id]
    other = small_regressor(tmp_path / "other", seed=1)
    assert log_regressor(client, second, other.folder, other.card) != model_id
    changed = small_regressor(tmp_path / "model", calibration={"knots": [0.0], "values": [0.2]})
    assert log_regressor(client, second, changed.folder, changed.card) != model_id


@pytest.mark.parametrize("form", [PATCHES, SLIDES], ids=["patches", "slides"])
def test_nothing_is_run_and_nothing_said(
    client, new_run, tmp_path, monkeypatch, caplog, capfd, form
):
    def no_process(*arguments, **_):
        raise AssertionError(f"started {arguments}")

    model, run_id = small_regressor(tmp_path / "model"), new_run()
    monkeypatch.setattr(subprocess, "Popen", no_process)
    capfd.readouterr()
    caplog.set_level(logging.INFO)
    log_regressor(client, run_id, model.folder, model.card, form)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name.startswith("mlflow")]


def test_a_model_that_cannot_be_logged_is_marked_so_and_tried_again(
    client, new_run, tmp_path, monkeypatch
):
    model = small_regressor(tmp_path / "model")

    def full(*_):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(type(client), "log_model_artifacts", full)
        with pytest.raises(OSError, match="no space"):
            log_regressor(client, new_run(), model.folder, model.card)
    model_id = log_regressor(client, new_run(), model.folder, model.card)
    experiment = client.get_experiment_by_name("tests").experiment_id
    states = {m.model_id: m.status for m in client.search_logged_models([experiment])}
    assert states.pop(model_id) == "READY"
    assert list(states.values()) == ["FAILED"]


def test_only_a_regressor_is_one(tmp_path):
    model = small_regressor(tmp_path / "model")
    assert is_regressor(model.folder, model.card)
    assert not is_regressor(tmp_path, model.card)
    assert not is_regressor(model.folder, {"approach": "cyclegan"})


@step(name="train", version=1)
def train(seed: int, *, folder: Path, on_epoch) -> dict:
    on_epoch({"val_mae": 0.1}, 1)
    return dict(small_regressor(folder, seed=seed, fold=2, epochs=5, seconds=7.5).card)


def test_the_dataset_logs_it_and_copies_no_weights_beside_it(client, new_run, tmp_path):
    run_id = new_run()
    dataset = TrainedModelDataset(str(tmp_path / "models"))
    tracking.track_in(TrackedRun(client, run_id))
    try:
        dataset.save(partial(train, 0))
    finally:
        tracking.track_in(None)
    assert [Path(f.path).name for f in client.list_artifacts(run_id, "model")] == [
        "card.json",
        "history.json",
    ]
    run = client.get_run(run_id)
    assert len(models_of(client, run_id)) == 1
    assert (run.data.tags["fold"], run.data.tags["protocol"]) == ("2", "holdout")
    assert run.data.tags["fingerprint"] == dataset.load().card["fingerprint"]
    assert run.data.metrics["trained_epochs"] == 5
    assert run.data.metrics["trained_seconds"] == 7.5
