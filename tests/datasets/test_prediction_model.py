from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest

from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.prediction_model import NoSuchModelError, PredictionModelDataset

CARD = {
    "patch_px": 64,
    "mpp": 1.0,
    "approach": "mine",
    "training_data": "phantom",
    "calibration": {"knots": [0.0], "values": [0.1]},
    "fingerprint": "ab" * 32,
}


def model_folder(folder: Path, **card) -> Path:
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps({**CARD, **card}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_the_latest_model_serves_where_none_is_named(tmp_path):
    dataset = PredictionModelDataset(str(tmp_path / "mine"))
    assert not dataset.exists()
    with pytest.raises(NotMadeYetError, match="--pipelines=regression"):
        dataset.load()
    model_folder(tmp_path / "mine" / "abc")
    (tmp_path / "mine" / "latest.json").write_text('{"folder": "abc"}')
    assert dataset.load().folder == tmp_path / "mine" / "abc"


def test_a_folder_serves_and_what_is_none_is_refused(tmp_path):
    folder = model_folder(tmp_path / "elsewhere")
    ref = PredictionModelDataset(str(tmp_path), str(folder)).load()
    assert ref.folder == folder
    assert ref.card["asked_for"] == str(folder)
    with pytest.raises(NoSuchModelError, match=r"no finished model in .*name a folder"):
        PredictionModelDataset(str(tmp_path), str(tmp_path / "nothing")).load()
    (folder / "card.json").write_text('{"approach": "mine"}')
    with pytest.raises(NoSuchModelError, match="says nothing of patch_px, mpp"):
        PredictionModelDataset(str(tmp_path), str(folder)).load()
    (folder / "card.json").write_text("{")
    with pytest.raises(NoSuchModelError, match="cannot be read"):
        PredictionModelDataset(str(tmp_path), str(folder)).load()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    tmp_path, before = tmp_path_factory.mktemp("store"), mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.create_experiment("here", artifact_location=(tmp_path / "artifacts").as_uri())
    yield mlflow.set_experiment("here")
    mlflow.set_tracking_uri(before)


def test_a_model_comes_from_mlflow_without_its_code(tmp_path, store):
    source = model_folder(tmp_path / "source")
    (source / "calibration.json").write_text("{}")
    (source / "nuclei").mkdir()
    for place in ("code.py", "nuclei/code.py"):
        (source / place).write_text("raise SystemExit")
    for place in ("config.json", "weights_best.h5"):
        (source / "nuclei" / place).write_bytes(b"of the nuclei model")
    (source / "python_model.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(source), "logged/artifacts")
    uri = f"runs:/{run.info.run_id}/logged"
    downloads = tmp_path / "downloads"
    found = PredictionModelDataset(str(tmp_path), uri, str(downloads)).load()
    names = {"card.json", "calibration.json", "model.safetensors"}
    names |= {"nuclei/config.json", "nuclei/weights_best.h5"}
    files = (path for path in found.folder.rglob("*") if path.is_file())
    assert {path.relative_to(found.folder).as_posix() for path in files} == names
    again = PredictionModelDataset(str(tmp_path), uri, str(downloads)).load()
    assert again.folder == found.folder
    assert list(downloads.iterdir()) == [found.folder]


@pytest.mark.parametrize("uri", ["models:/tumor-ratio@best", "runs:/0123/model"])
def test_a_model_that_mlflow_does_not_have_is_named(tmp_path, store, uri):
    with pytest.raises(NoSuchModelError, match=f"MLflow has no model {uri}: .*search_registered"):
        PredictionModelDataset(str(tmp_path), uri, str(tmp_path / "downloads")).load()
    assert not any((tmp_path / "downloads").iterdir())


def test_a_run_without_a_card_is_no_model(tmp_path, store):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "MLmodel").write_text("flavors: {}")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(tmp_path / "x"), "model")
    uri = f"runs:/{run.info.run_id}/model"
    with pytest.raises(NoSuchModelError, match=r"holds no card\.json"):
        PredictionModelDataset(str(tmp_path), uri, str(tmp_path / "downloads")).load()
