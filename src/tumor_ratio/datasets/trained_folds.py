"""The models of an approach: one, or one a fold of a cross-validation."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    prefixed,
    publish_model,
    read_history,
    read_latest,
    told_of,
    train_or_reuse,
)

PUBLISHED = ("*.json", "*.safetensors")

SINGLE = "fold_1"
"""Name of the model in a folder that `TrainedModelDataset` wrote."""


class TrainedFoldsDataset(AbstractDataset[Mapping[str, TrainTask], dict[str, ModelRef]]):
    """Models of one approach, by the name of the fold that trained each.

    Saving carries the trainings out one after the other, each as `TrainedModelDataset` does: in a
    folder keyed by its fingerprint, resumed where it was killed, reused when finished. A killed run
    goes on in the fold that it was in. Loading gives the models saved last, in their order.

    The first model is the published one: `TrainedModelDataset` of the same `path` loads it, and
    MLflow gets a copy of its files. With more than one model, MLflow has each one's metrics under
    `<name>/<metric>`, and the mean over the models under the metric's plain name.

    Parameters
    ----------
    path, retrain, pipeline, metadata : as of `TrainedModelDataset`.
    log_model : whether MLflow gets the published model as a model at once; False where a later
        dataset completes its folder first, and logs it then.
    """

    def __init__(
        self,
        path: str,
        retrain: bool = False,
        pipeline: str = "regression",
        log_model: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._retrain = retrain
        self._pipeline = pipeline
        self._log_model = log_model
        self.told = ""
        """What the last save did, in a few words."""
        self.metadata = metadata

    def save(self, data: Mapping[str, TrainTask]) -> None:
        """Train, go on with trainings, or reuse finished ones.

        Raises
        ------
        TypeError
            If a training has no fingerprint; nothing is trained then.
        ValueError
            If there is no training.
        """
        if not data:
            raise ValueError("no training to carry out")
        keys = {name: fingerprint(task, project_root(self._path)) for name, task in data.items()}
        forget_latest(self._path)
        prefixes = _prefixes(data)
        self.told = told_of(
            [is_reused(self._path, key, retrain=self._retrain) for key in keys.values()]
        )
        models = {
            name: train_or_reuse(
                task, self._path, keys[name], retrain=self._retrain, prefix=prefixes[name]
            )
            for name, task in data.items()
        }
        tracking.log_history(_outcomes(models))
        if len(models) > 1:
            tracking.set_tags({"trainings": ", ".join(models)})
        first, *_ = models.values()
        publish_model(first, PUBLISHED, "model", log_model=self._log_model)
        folders = {name: model.folder.name for name, model in models.items()}
        write_json(self._path / LATEST, {"folder": first.folder.name, "folds": folders})

    def load(self) -> dict[str, ModelRef]:
        """The models saved last.

        Raises
        ------
        NotMadeYetError
            If one of them is not finished; the message names the pipeline to run.
        """
        models = self._latest()
        if not models:
            raise NotMadeYetError(self._path, "the trained model", self._pipeline)
        return models

    def tracked(self) -> tuple[list[Epoch], str]:
        """What MLflow was told of the models saved last, and the id of the first one's run."""
        models = self.load()
        prefixes = _prefixes(models)
        history = [
            epoch
            for name, model in models.items()
            for epoch in prefixed(read_history(model.folder), prefixes[name])
        ]
        first, *_ = models.values()
        return [*history, *_outcomes(models)], first.card["mlflow_run_id"]

    def preview(self) -> JSONPreview:
        """Show the models' cards in kedro-viz."""
        cards = {name: model.card for name, model in self._latest().items()}
        return JSONPreview(json.dumps(cards, default=str))

    def _latest(self) -> dict[str, ModelRef]:
        """Models by name; empty unless all are finished."""
        latest = read_latest(self._path)
        folders = latest.get("folds") or {SINGLE: str(latest.get("folder", ""))}
        found = {name: finished_model(self._path, folder) for name, folder in folders.items()}
        models = {name: model for name, model in found.items() if model is not None}
        return models if len(models) == len(found) else {}

    def _exists(self) -> bool:
        return bool(self._latest())

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path.as_posix(), "retrain": self._retrain}


def _prefixes(names: Mapping[str, object]) -> dict[str, str]:
    """Of metrics in MLflow; empty for a single training, whose metrics have plain names."""
    return {name: f"{name}/" if len(names) > 1 else "" for name in names}


def _outcomes(models: Mapping[str, ModelRef]) -> list[Epoch]:
    """Metrics of the finished models, each one's and their mean."""
    metrics = {name: metrics_of(model) for name, model in models.items()}
    first, *others = metrics.values()
    shared = [name for name in first if all(name in other for other in others)]
    mean = {name: sum(own[name] for own in metrics.values()) / len(metrics) for name in shared}
    if len(models) == 1:
        return [(0, mean)]
    prefixes = _prefixes(models)
    return [
        (0, mean),
        *(each for name, own in metrics.items() for each in prefixed([(0, own)], prefixes[name])),
    ]
