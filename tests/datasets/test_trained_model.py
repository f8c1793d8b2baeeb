import json
from functools import partial

import pytest
from counted_training import Killed, Notes, epochs_run, task, train_by
from kedro.io import DatasetError

from tumor_ratio import __version__
from tumor_ratio.atomic import write_json
from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.fingerprint import fingerprint
from tumor_ratio.datasets.trained_model import ModelRef, TrainedModelDataset
from tumor_ratio.datasets.trainings import metrics_of, read_history
from tumor_ratio.pipelines.gan_translation.params import CycleGanParams
from tumor_ratio.pipelines.regression.params import RegressionParams


@pytest.fixture
def notes():
    run = Notes()
    tracking.track_in(run)
    yield run
    tracking.track_in(None)


def test_trained_once_then_reused(tmp_path, caplog, notes):
    caplog.set_level("INFO", logger="tumor_ratio.datasets.trainings.reused")
    dataset = TrainedModelDataset(str(tmp_path / "tiny"))
    assert not dataset.exists()
    dataset.save(task(tmp_path))
    assert dataset.told == ""
    first = notes.epochs
    notes.epochs, notes.run_id = [], "run-2"
    dataset.save(task(tmp_path))
    assert dataset.told == "reused"
    assert epochs_run(tmp_path) == "1.0:0 1.0:1 1.0:2"
    assert "reusing the finished training of" in caplog.text
    assert sorted(map(str, notes.epochs)) == sorted(map(str, first))
    assert notes.tags["trained_in"] == "run-1"
    assert "TRAINED ON SYNTHETIC IMAGES" in notes.tags["stamp"]
    assert {"model/card.json", "model/model.safetensors"} <= set(notes.files)
    assert "model/checkpoint.txt" not in notes.files


@pytest.mark.parametrize(
    "params", [RegressionParams(), CycleGanParams(folder="unused")], ids=lambda p: type(p).__name__
)
def test_another_size_of_the_cache_throws_no_finished_training_away(tmp_path, params):
    dataset = TrainedModelDataset(str(tmp_path / "tiny"))
    for changed in ({}, {"cache_mb": params.cache_mb + 1}, {"label_method": "other"}):
        learning = params.model_copy(update=changed).learning()
        dataset.save(partial(train_by, learning, str(tmp_path / "log")))
    assert epochs_run(tmp_path) == "trained trained", "once for each label_method"


def test_the_card_says_where_a_model_comes_from(tmp_path, notes):
    dataset = TrainedModelDataset(str(tmp_path / "tiny"))
    dataset.save(task(tmp_path))
    model = dataset.load()
    key = fingerprint(task(tmp_path), tmp_path)
    assert model.folder == tmp_path / "tiny" / key[:16]
    assert model.card == {
        "approach": "tiny",
        "metrics": {"validation_mae": 1.0},
        "training_data": "phantom",
        "fingerprint": key,
        "mlflow_run_id": "run-1",
        "package_version": __version__,
    }
    assert model.__fingerprint__() == key
    assert json.loads(dataset.preview())["approach"] == "tiny"


def test_a_killed_training_goes_on_and_its_history_is_told_once(tmp_path, notes):
    (tmp_path / "log.die").write_text("1")
    dataset = TrainedModelDataset(str(tmp_path / "tiny"))
    with pytest.raises(Killed):
        dataset.save(task(tmp_path))
    assert not dataset.exists()
    (tmp_path / "log.die").unlink()
    notes.epochs = []  # the next run's
    dataset.save(task(tmp_path))
    assert epochs_run(tmp_path) == "1.0:0 1.0:1 1.0:1 1.0:2"
    losses = [(epoch, m["loss"]) for epoch, m in notes.epochs if "loss" in m]
    assert losses == [(0, 1.0), (1, 0.5), (2, 1.0 / 3)]
    assert [epoch for epoch, _ in read_history(dataset.load().folder)] == [0, 1, 2]


def test_a_killed_new_training_leaves_no_older_model_in_its_place(tmp_path):
    dataset = TrainedModelDataset(str(tmp_path / "tiny"))
    dataset.save(task(tmp_path))
    (tmp_path / "log.die").write_text("0")
    with pytest.raises(Killed):
        dataset.save(task(tmp_path, rate=2.0))
    with pytest.raises(DatasetError, match="kedro run --pipelines=regression"):
        dataset.load()
    dataset.save(task(tmp_path))  # back to the finished one, for nothing
    assert dataset.load().card["metrics"] == {"validation_mae": 1.0}
    assert epochs_run(tmp_path) == "1.0:0 1.0:1 1.0:2 2.0:0"


def test_metrics_that_epochs_have_as_well_are_called_best(tmp_path):
    write_json(tmp_path / "history.json", {"1": {"val_mae": 0.1}, "2": {"val_mae": 0.2}})
    model = ModelRef(tmp_path, {"metrics": {"val_mae": 0.1, "val_mae_of_training_median": 0.3}})
    assert metrics_of(model) == {"best_val_mae": 0.1, "val_mae_of_training_median": 0.3}


def test_retrain_starts_over(tmp_path):
    TrainedModelDataset(str(tmp_path / "tiny")).save(task(tmp_path))
    TrainedModelDataset(str(tmp_path / "tiny"), retrain=True).save(task(tmp_path))
    assert epochs_run(tmp_path) == " ".join(["1.0:0 1.0:1 1.0:2"] * 2)


def test_no_model_names_the_pipeline_to_run(tmp_path):
    dataset = TrainedModelDataset(str(tmp_path / "nuclei"), pipeline="nuclei_training")
    with pytest.raises(DatasetError, match="kedro run --pipelines=nuclei_training"):
        dataset.load()
    assert dataset.preview() == "{}"
