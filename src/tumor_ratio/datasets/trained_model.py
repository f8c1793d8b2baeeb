"""Trained models: a folder for each configuration, trained once, resumed when killed, reused."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import JSONPreview

from tumor_ratio import __version__
from tumor_ratio.atomic import full_disk_explained, remove_unfinished, write_json
from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.fingerprint import fingerprint
from tumor_ratio.datasets.model_facts import FINGERPRINT, tags_of, totals_of
from tumor_ratio.datasets.project_root import project_root
from tumor_ratio.datasets.tracking import Epoch

logger = logging.getLogger(__name__)

CARD = "card.json"
HISTORY = "history.json"
LATEST = "latest.json"

OnEpoch = Callable[[dict[str, float], int], None]
"""`on_epoch(metrics, epoch)`: what a training says after each epoch."""

TrainTask = partial[Mapping[str, Any]]
"""A partial of a step `train(..., *, folder: Path, on_epoch: OnEpoch)` that returns the card."""


@dataclass(frozen=True)
class ModelRef:
    """A finished model on disk; small and picklable.

    Parameters
    ----------
    folder : weights and whatever else the training left.
    card : what is known of the model: what its training returned, and `fingerprint`,
        `mlflow_run_id` (of the approach's run that trained it, or empty) and `package_version`.
    """

    folder: Path
    card: dict[str, Any] = field(compare=False)

    def __fingerprint__(self) -> str:
        """Say what tasks that take this model depend on."""
        return str(self.card["fingerprint"])


class TrainedModelDataset(AbstractDataset[TrainTask, ModelRef]):
    """Models of one approach.

    Saving a partial of a training step calls it with `folder`, which is keyed by the training's
    fingerprint, and `on_epoch`. The step resumes from whatever a killed training left in `folder`,
    and returns the model's card; `card.json` is written last and marks the model as finished. A
    finished model of the same fingerprint is reused. Loading gives the model saved last.

    Parameters
    ----------
    path : folder of the approach's models.
    retrain : train again although a finished model of the same fingerprint is there.
    pipeline : the pipeline that trains, for the message when there is no model.
    publish : glob patterns of files in the model's folder that MLflow gets a copy of; the folder
        stays the original. A regressor's weights are in its logged model instead.
    published_as : where in the run's artifacts; models of one approach need places of their own.
    metadata : for kedro-viz and other tools.

    Notes
    -----
    A card may hold `metrics` ({name: number}, logged to MLflow) and `training_data` ("phantom" or
    "real", from which the run's stamp follows). Training runs in the main process.
    """

    def __init__(
        self,
        path: str,
        retrain: bool = False,
        pipeline: str = "regression",
        publish: tuple[str, ...] | list[str] = ("*.json", "*.safetensors"),
        published_as: str = "model",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._retrain = retrain
        self._pipeline = pipeline
        self._publish = tuple(publish)
        self._published_as = published_as
        self.metadata = metadata

    def save(self, data: TrainTask) -> None:
        """Train, go on with a training, or reuse a finished one.

        Raises
        ------
        TypeError
            If the training has no fingerprint.
        """
        key = fingerprint(data, project_root(self._path))
        folder = self._path / key[:16]
        (self._path / LATEST).unlink(missing_ok=True)  # a killed training leaves no older model
        if self._retrain and folder.exists():
            (folder / CARD).unlink(missing_ok=True)  # first: half a folder is no finished model
            shutil.rmtree(folder)
        card = _read_json(folder / CARD)
        if card.get("fingerprint") == key:
            logger.info("%s: reusing the finished training of %s", self._path.name, folder)
            tracking.log_history(read_history(folder))
            if card["mlflow_run_id"] not in ("", tracking.current_run_id()):
                tracking.set_tags({"trained_in": card["mlflow_run_id"]})
        else:
            card = _train(data, folder, key)
        tracking.log_metrics(metrics_of(ModelRef(folder, card)))
        self._tell_mlflow(folder, card)
        write_json(self._path / LATEST, {"folder": folder.name})

    def load(self) -> ModelRef:
        """The model saved last.

        Raises
        ------
        NotMadeYetError
            If there is no finished model; the message names the pipeline to run.
        """
        folder = self._latest()
        if folder is None:
            raise NotMadeYetError(self._path, "the trained model", self._pipeline)
        return ModelRef(folder, _read_json(folder / CARD))

    def preview(self) -> JSONPreview:
        """Show the model's card in kedro-viz."""
        folder = self._latest()
        return JSONPreview(json.dumps(_read_json(folder / CARD) if folder else {}, default=str))

    def _latest(self) -> Path | None:
        name = _read_json(self._path / LATEST).get("folder")
        return self._path / name if name and (self._path / name / CARD).is_file() else None

    def _tell_mlflow(self, folder: Path, card: Mapping[str, Any]) -> None:
        tracking.set_tags({**tags_of(card), FINGERPRINT: card["fingerprint"]})
        tracking.log_metrics(totals_of(card))
        is_logged = tracking.log_model(folder, card)
        for path in sorted({file for glob in self._publish for file in folder.glob(glob)}):
            if not (is_logged and path.suffix == ".safetensors"):  # the logged model has them
                tracking.log_artifact(path, self._published_as)

    def _exists(self) -> bool:
        return self._latest() is not None

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path.as_posix(), "retrain": self._retrain}


def read_history(folder: Path) -> list[Epoch]:
    """Metrics of the epochs of a training, finished or not, by epoch."""
    content = _read_json(folder / HISTORY)
    return sorted((int(epoch), metrics) for epoch, metrics in content.items())


def metrics_of(model: ModelRef) -> dict[str, float]:
    """Metrics of the finished model for MLflow.

    Those that every epoch has as well are called `best_<name>`: MLflow shows the last epoch's value
    under the plain name, and the model need not be the last epoch's.
    """
    by_epoch = {name for _, metrics in read_history(model.folder) for name in metrics}
    metrics = model.card.get("metrics", {})
    return {f"best_{name}" if name in by_epoch else name: metrics[name] for name in metrics}


def _train(task: TrainTask, folder: Path, key: str) -> dict[str, Any]:
    with full_disk_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    history = dict(read_history(folder))
    if history:
        logger.info("going on with the training in %s after epoch %d", folder, max(history))
    tracking.log_history(sorted(history.items()))
    told = set(history)

    def on_epoch(metrics: dict[str, float], epoch: int) -> None:
        history[epoch] = {name: float(value) for name, value in metrics.items()}
        write_json(folder / HISTORY, {str(number): history[number] for number in sorted(history)})
        if epoch not in told:  # a resumed training may repeat the epoch it was killed in
            tracking.log_epoch(metrics, epoch)
            told.add(epoch)

    card = {
        **task(folder=folder, on_epoch=on_epoch),
        "fingerprint": key,
        "mlflow_run_id": tracking.current_run_id(),
        "package_version": __version__,
    }
    write_json(folder / CARD, card)
    return card


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
