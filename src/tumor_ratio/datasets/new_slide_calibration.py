"""The calibration of an approach's model for new slides, as a file in the model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from tumor_ratio.atomic import write_json
from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.trainings import ModelRef, finished_model, read_latest
from tumor_ratio.inference.new_slide_calibration import FILE_NAME, NewSlideCalibration


class NewSlideCalibrationDataset(AbstractDataset[NewSlideCalibration, NewSlideCalibration]):
    """Calibration of the model that an approach has published last.

    Saving writes the file into that model's folder, which is complete then: MLflow gets it as a
    model. A calibration of another model is refused.

    Parameters
    ----------
    path : folder of the approach's models.
    pipeline : the pipeline that calibrates, for the message when there is none.
    published_as : where the model is among the run's artifacts.
    metadata : for kedro-viz and other tools.
    """

    def __init__(
        self,
        path: str,
        pipeline: str = "regression",
        published_as: str = "model",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._pipeline = pipeline
        self._published_as = published_as
        self.metadata = metadata

    def save(self, data: NewSlideCalibration) -> None:
        """Write the calibration of the latest model, and log that model.

        Raises
        ------
        NotMadeYetError
            If there is no finished model.
        DatasetError
            If the calibration is of another model.
        DiskFullError
            If there is no room for it.
        """
        model = self._latest()
        if model is None:
            raise NotMadeYetError(self._path, "the trained model", self._pipeline)
        if data.model != model.card["fingerprint"]:
            raise DatasetError(f"{model.folder}: the calibration is of another model")
        write_json(model.folder / FILE_NAME, data.to_record())
        tracking.log_artifact(model.folder / FILE_NAME, self._published_as)
        tracking.log_model(model.folder, model.card)

    def load(self) -> NewSlideCalibration:
        """The calibration of the latest model.

        Raises
        ------
        NotMadeYetError
            If there is none.
        ConfigurationError
            If the file cannot be used.
        """
        model = self._latest()
        found = None if model is None else NewSlideCalibration.read(model.folder)
        if found is None:
            raise NotMadeYetError(self._path, "the calibration for new slides", self._pipeline)
        return found

    def _latest(self) -> ModelRef | None:
        return finished_model(self._path, str(read_latest(self._path).get("folder", "")))

    def _exists(self) -> bool:
        model = self._latest()
        return model is not None and (model.folder / FILE_NAME).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path.as_posix()}
