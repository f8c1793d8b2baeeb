import json
from functools import partial

import pytest
from counted_training import Killed, Notes, epochs_run, task, train
from kedro.io import DatasetError

from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.trained_folds import TrainedFoldsDataset
from tumor_ratio.datasets.trained_model import TrainedModelDataset


@pytest.fixture
def notes():
    run = Notes()
    tracking.track_in(run)
    yield run
    tracking.track_in(None)


def folds(path, *rates: float) -> dict[str, partial]:
    return {f"fold_{number}": task(path, rate) for number, rate in enumerate(rates, 1)}


def test_each_fold_is_trained_once_in_a_folder_of_its_own(tmp_path, caplog, notes):
    caplog.set_level("INFO", logger="tumor_ratio.datasets.trainings.reused")
    dataset = TrainedFoldsDataset(str(tmp_path / "tiny"))
    assert not dataset.exists()
    dataset.save(folds(tmp_path, 1.0, 3.0))
    models = dataset.load()
    assert list(models) == ["fold_1", "fold_2"]
    assert [model.card["metrics"]["validation_mae"] for model in models.values()] == [1.0, 3.0]
    assert len({model.folder for model in models.values()}) == 2
    assert epochs_run(tmp_path) == "1.0:0 1.0:1 1.0:2 3.0:0 3.0:1 3.0:2"
    dataset.save(folds(tmp_path, 1.0, 3.0, 5.0))  # a further fold leaves the others alone
    assert epochs_run(tmp_path).endswith("3.0:2 5.0:0 5.0:1 5.0:2")
    assert caplog.text.count("reusing the finished training of") == 2
    assert set(json.loads(dataset.preview())) == {"fold_1", "fold_2", "fold_3"}


def test_the_first_model_is_the_published_one(tmp_path, notes):
    dataset = TrainedFoldsDataset(str(tmp_path / "tiny"))
    dataset.save(folds(tmp_path, 3.0, 1.0))
    published = TrainedModelDataset(str(tmp_path / "tiny")).load()
    assert published == dataset.load()["fold_1"]
    assert notes.files.count("model/model.safetensors") == 1
    assert "TRAINED ON SYNTHETIC IMAGES" in notes.tags["stamp"]
    assert notes.tags["trainings"] == "fold_1, fold_2"


def told(notes) -> dict:
    return {name: value for _, metrics in notes.epochs for name, value in metrics.items()}


def test_mlflow_has_each_folds_metrics_and_their_mean(tmp_path, notes):
    dataset = TrainedFoldsDataset(str(tmp_path / "tiny"))
    dataset.save(folds(tmp_path, 1.0, 3.0))
    first = told(notes)
    assert first == {
        "validation_mae": 2.0,
        "fold_1/validation_mae": 1.0,
        "fold_2/validation_mae": 3.0,
        "fold_1/loss": pytest.approx(1 / 3),
        "fold_2/loss": pytest.approx(1.0),
    }
    notes.epochs, notes.run_id = [], "run-2"
    dataset.save(folds(tmp_path, 1.0, 3.0))
    assert told(notes) == first
    assert notes.tags["fold_2/trained_in"] == "run-1"
    history, trained_in = dataset.tracked()
    assert {name: value for _, own in history for name, value in own.items()} == first
    assert trained_in == "run-1"


def test_a_single_training_is_told_as_ever(tmp_path, notes):
    TrainedFoldsDataset(str(tmp_path / "new")).save(folds(tmp_path, 1.0))
    new, notes.epochs, tags = notes.epochs, [], notes.tags
    notes.tags = {}
    TrainedModelDataset(str(tmp_path / "old")).save(task(tmp_path))
    assert new == notes.epochs
    assert tags == notes.tags
    by_name = TrainedFoldsDataset(str(tmp_path / "old")).load()
    assert by_name["fold_1"] == TrainedModelDataset(str(tmp_path / "old")).load()


def test_a_killed_run_goes_on_in_the_fold_it_was_in(tmp_path, notes):
    dataset = TrainedFoldsDataset(str(tmp_path / "tiny"))
    dataset.save(folds(tmp_path, 1.0))
    (tmp_path / "log.die").write_text("1")
    with pytest.raises(Killed):
        dataset.save(folds(tmp_path, 1.0, 2.0, 3.0))
    assert not dataset.exists()  # no model of an earlier run in their place
    with pytest.raises(DatasetError, match="kedro run --pipelines=regression"):
        dataset.load()
    (tmp_path / "log.die").unlink()
    dataset.save(folds(tmp_path, 1.0, 2.0, 3.0))
    assert epochs_run(tmp_path) == " ".join(
        ["1.0:0 1.0:1 1.0:2", "2.0:0 2.0:1 2.0:1 2.0:2", "3.0:0 3.0:1 3.0:2"]
    )


def test_nothing_is_trained_before_every_training_is_known_to_be_sound(tmp_path):
    dataset = TrainedFoldsDataset(str(tmp_path / "tiny"))
    with pytest.raises(DatasetError, match="no fingerprint"):
        dataset.save({**folds(tmp_path, 1.0), "bad": partial(train, object(), "x")})
    assert not (tmp_path / "log").exists()
    with pytest.raises(DatasetError, match="no training"):
        dataset.save({})


def test_retrain_starts_every_fold_over(tmp_path):
    TrainedFoldsDataset(str(tmp_path / "tiny")).save(folds(tmp_path, 1.0, 2.0))
    TrainedFoldsDataset(str(tmp_path / "tiny"), retrain=True).save(folds(tmp_path, 1.0, 2.0))
    once = "1.0:0 1.0:1 1.0:2 2.0:0 2.0:1 2.0:2"
    assert epochs_run(tmp_path) == f"{once} {once}"
