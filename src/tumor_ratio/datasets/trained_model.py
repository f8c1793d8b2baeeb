"""A trained model of an approach as a Kedro dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import JSONPreview

from tumor_ratio.atomic import write_json
from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.fingerprint import fingerprint
from tumor_ratio.datasets.project_root import project_root
from tumor_ratio.datasets.tracking import Epoch
from tumor_ratio.datasets.trainings import (
    LATEST,
    ModelRef,
    TrainTask,
    finished_model,
    forget_latest,
    is_reused,
    metrics_of,
    publish_model,
    read_history,
    read_latest,
    told_of,
    train_or_reuse,
)

__all__ = ["ModelRef", "TrainedModelDataset"]


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
        stays the original.
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
        self.told = ""
        """What the last save did, in a few words."""
        self.metadata = metadata

    def save(self, data: TrainTask) -> None:
        """Train, go on with a training, or reuse a finished one.

        Raises
        ------
        TypeError
            If the training has no fingerprint.
        """
        key = fingerprint(data, project_root(self._path))
        forget_latest(self._path)
        self.told = told_of([is_reused(self._path, key, retrain=self._retrain)])
        model = train_or_reuse(data, self._path, key, retrain=self._retrain)
        tracking.log_metrics(metrics_of(model))
        publish_model(model, self._publish, self._published_as)
        write_json(self._path / LATEST, {"folder": model.folder.name})

    def load(self) -> ModelRef:
        """The model saved last.

        Raises
        ------
        NotMadeYetError
            If there is no finished model; the message names the pipeline to run.
        """
        model = self._latest()
        if model is None:
            raise NotMadeYetError(self._path, "the trained model", self._pipeline)
        return model

    def tracked(self) -> tuple[list[Epoch], str]:
        """What MLflow was told of the model saved last, and the id of the run that trained it."""
        model = self.load()
        return [*read_history(model.folder), (0, metrics_of(model))], model.card["mlflow_run_id"]

    def preview(self) -> JSONPreview:
        """Show the model's card in kedro-viz."""
        model = self._latest()
        return JSONPreview(json.dumps(model.card if model else {}, default=str))

    def _latest(self) -> ModelRef | None:
        return finished_model(self._path, str(read_latest(self._path).get("folder", "")))

    def _exists(self) -> bool:
        return self._latest() is not None

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path.as_posix(), "retrain": self._retrain}
