"""What code that trains or measures tells the current MLflow run; silent while nothing is tracked.

The tracking hook says which run is the current one: the run of the approach that a node belongs to,
else the run of the whole `kedro run`. Nothing here touches MLflow's own stack of active runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tumor_ratio.datasets.mlflow_runs import TrackedRun

Epoch = tuple[int, Mapping[str, float]]
"""An epoch's number and its metrics."""


class _Current:
    run: TrackedRun | None = None


def track_in(run: TrackedRun | None) -> None:
    """Make `run` the current one; None stops tracking."""
    _Current.run = run


def current_run_id() -> str:
    """Id of the current MLflow run; empty where nothing is tracked."""
    return _Current.run.run_id if _Current.run else ""


def log_metrics(metrics: Mapping[str, float], step: int = 0) -> None:
    """Log metrics; what is not finite is left out."""
    log_history([(step, metrics)])


def log_history(history: Sequence[Epoch]) -> None:
    """Log the metrics of many epochs at once."""
    if _Current.run:
        _Current.run.log_history(history)


def log_artifact(path: Path, folder: str = "") -> None:
    """Publish a file in `folder` of the run's artifacts."""
    if _Current.run:
        _Current.run.log_artifact(path, folder)


def set_tags(tags: Mapping[str, str]) -> None:
    """Set tags of the current run."""
    if _Current.run:
        _Current.run.set_tags(tags)
