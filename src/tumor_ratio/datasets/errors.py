"""Errors of datasets that the user can act on; Kedro passes them through as they are."""

from __future__ import annotations

from pathlib import Path

from kedro.io import DatasetError

from tumor_ratio.errors import TumorRatioError


class ClusterError(TumorRatioError, DatasetError):
    """A Dask cluster cannot be reached, or cannot do this work; no slide is to blame."""


class SupersededError(TumorRatioError, DatasetError):
    """A task ends that was left behind by a run that is no more; its result is not kept."""


class StepFailedError(TumorRatioError, DatasetError):
    """More slides failed in a step than the configuration allows."""


class NotMadeYetError(TumorRatioError, DatasetError):
    """A dataset is loaded that no run has made.

    Parameters
    ----------
    place : where it would be.
    what : what it would be.
    pipeline : the pipeline that makes it; empty where the dataset does not know.
    """

    def __init__(self, place: Path, what: str, pipeline: str = "") -> None:
        command = f"kedro run --pipelines={pipeline}" if pipeline else "kedro run"
        super().__init__(f"{place}: {what} is not there yet", f"run first: {command}")
        self.args = (place, what, pipeline)
