"""What an approach puts together for new slides: a model's folder that needs nothing beside it."""

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
from tumor_ratio.datasets.trainings import (
    LATEST,
    ModelRef,
    TrainTask,
    finished_model,
    forget_latest,
    read_latest,
    train_or_reuse,
)


class SlideModelDataset(AbstractDataset[TrainTask, ModelRef]):
    """Models for new slides of an approach whose training alone does not make them.

    Saving a partial of a step calls it with `folder`, which is keyed by the task's fingerprint: by
    the trained model and by all maps. Its card is written last. Equal tasks reuse the folder.

    Parameters
    ----------
    path : folder of these models.
    pipeline : the pipeline that makes them, for the message when there is none.
    published_as : where in the run's artifacts; `runs:/<run>/<published_as>` can be predicted with.
    metadata : for kedro-viz and other tools.
    """

    def __init__(
        self,
        path: str,
        pipeline: str,
        published_as: str = "slide_model",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._pipeline = pipeline
        self._published_as = published_as
        self.metadata = metadata

    def save(self, data: TrainTask) -> None:
        """Put the model together, or reuse it, and give MLflow a copy.

        Raises
        ------
        TypeError
            If the task has no fingerprint.
        DiskFullError
            If there is no room.
        """
        key = fingerprint(data, project_root(self._path))
        forget_latest(self._path)
        model = train_or_reuse(data, self._path, key)
        for file in sorted(path for path in model.folder.rglob("*") if path.is_file()):
            place = Path(self._published_as) / file.parent.relative_to(model.folder)
            tracking.log_artifact(file, place.as_posix())
        write_json(self._path / LATEST, {"folder": model.folder.name})

    def load(self) -> ModelRef:
        """The model saved last.

        Raises
        ------
        NotMadeYetError
            If there is none; the message names the pipeline to run.
        """
        model = self._latest()
        if model is None:
            raise NotMadeYetError(self._path, "the model for new slides", self._pipeline)
        return model

    def preview(self) -> JSONPreview:
        """Show the model's card in kedro-viz."""
        model = self._latest()
        return JSONPreview(json.dumps(model.card if model else {}, default=str))

    def _latest(self) -> ModelRef | None:
        return finished_model(self._path, str(read_latest(self._path).get("folder", "")))

    def _exists(self) -> bool:
        return self._latest() is not None

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path.as_posix()}
