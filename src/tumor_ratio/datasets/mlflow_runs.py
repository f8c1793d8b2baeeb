"""A `kedro run` as one MLflow run with a child run an approach.

Children are addressed by their ids: MLflow's stack of active runs stays kedro-mlflow's own, so that
no child ends up inside another and each can be written to again later.
"""

from __future__ import annotations

import logging
import math
import os
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tumor_ratio.datasets.data_version import DATA
from tumor_ratio.datasets.model_facts import FINGERPRINT
from tumor_ratio.processes import is_running

logger = logging.getLogger(__name__)

PARENT = "mlflow.parentRunId"
APPROACH = "approach"
NOTE = "mlflow.note.content"
"""Tag that MLflow shows as a run's description, in Markdown."""
TRAINED_IN = "trained_in"
HOST, PROCESS, PROJECT = "tumor_ratio.host", "tumor_ratio.process", "tumor_ratio.project"

MAX_VALUE = 6000
EMPTY = ("", "()", "[]", "{}")
"""Values of parameters that MLflow's plots would take for the number 0."""
METRICS_PER_CALL = 1000
PARAMS_PER_CALL = 100

F = TypeVar("F", bound=Callable[..., Any])


def never_stops_the_work(method: F) -> F:
    """Turn MLflow's own errors into warnings: hours of training do not end for want of a log."""

    @wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except MlflowException as error:
            logger.warning("MLflow did not take it: %s", str(error).splitlines()[0])
            return None

    return guarded  # type: ignore[return-value]


class TrackedRun:
    """One MLflow run, written to by its id.

    Parameters
    ----------
    client : of the tracking server.
    run_id : the run.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.run_id = run_id

    @never_stops_the_work
    def log_history(self, history: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Log metrics of epochs; values that are not finite are left out."""
        now_ms = int(time.time() * 1000)
        metrics = [
            Metric(_valid_name(name), float(value), now_ms, step)
            for step, values in history
            for name, value in values.items()
            if math.isfinite(value)
        ]
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + METRICS_PER_CALL])

    @never_stops_the_work
    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log flat parameters; long values are cut, empty ones left out."""
        params = [
            Param(_valid_name(name), str(value)[:MAX_VALUE])
            for name, value in parameters.items()
            if str(value) not in EMPTY
        ]
        for start in range(0, len(params), PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=params[start : start + PARAMS_PER_CALL])

    @never_stops_the_work
    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; long values are cut."""
        entries = [RunTag(name, str(value)[:MAX_VALUE]) for name, value in tags.items()]
        self.client.log_batch(self.run_id, tags=entries)

    @never_stops_the_work
    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Publish a file."""
        self.client.log_artifact(self.run_id, str(path), folder or None)

    @never_stops_the_work
    def log_model(
        self, folder: Path, card: Mapping[str, Any], *, of_slides: bool = False
    ) -> str | None:
        """Log a finished regressor as an MLflow model, which is quick where it is logged already.

        Parameters
        ----------
        folder, card : of the regressor.
        of_slides : whether the model is to take slide files instead of patches.

        Returns
        -------
        str or None
            The model's id; None where the folder holds no regressor.
        """
        from tumor_ratio.datasets.mlflow_forms import PATCHES, SLIDES
        from tumor_ratio.datasets.mlflow_model import is_regressor, log_regressor

        if not is_regressor(folder, card):
            return None
        form = SLIDES if of_slides else PATCHES
        return log_regressor(self.client, self.run_id, folder, card, form)

    @never_stops_the_work
    def copy_parameters(self, run_id: str) -> None:
        """Take over the parameters of another run."""
        self.log_parameters(self.client.get_run(run_id).data.params)

    @never_stops_the_work
    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.run_id, status)


class RunTree:
    """The run of this `kedro run` and its children, one an approach.

    Parameters
    ----------
    client : of the tracking server.
    parent_id : the run that kedro-mlflow has started.
    project : the project's folder.
    tags : set on the parent and on every child.
    """

    def __init__(
        self, client: MlflowClient, parent_id: str, project: Path, tags: Mapping[str, str]
    ) -> None:
        self.client = client
        self.parent = TrackedRun(client, parent_id)
        self._run = client.get_run(parent_id)
        self._tags = {**tags, **_owner(project)}
        self._children: dict[str, TrackedRun] = {}
        self.parent.set_tags(self._tags)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags on the parent, its children, and those still to come."""
        self._tags |= tags
        for run in (self.parent, *self._children.values()):
            run.set_tags(tags)

    @never_stops_the_work
    def learned_from(self, fingerprint: str, data: str) -> bool:
        """Whether a run trained, or used again, the model of that fingerprint on that data."""
        condition = f"tags.{FINGERPRINT} = '{fingerprint}' and tags.{DATA} = '{data}'"
        return bool(fingerprint and data and self._search(condition))

    def knows(self, approach: str) -> bool:
        """Whether the approach has a child in this run already."""
        return approach in self._children

    def child(self, approach: str) -> TrackedRun:
        """Give the approach's run; made, or opened again, at the first call."""
        if approach not in self._children:
            found = self._search(
                f"tags.`{PARENT}` = '{self.parent.run_id}' and tags.{APPROACH} = '{approach}'"
            )
            if found:
                run_id = found[0].info.run_id
                self.client.update_run(run_id, status="RUNNING")
            else:
                run_id = self._create(approach)
            self._children[approach] = TrackedRun(self.client, run_id)
            self._children[approach].log_parameters({APPROACH: approach})
        return self._children[approach]

    def close(self, status: str) -> None:
        """End all children; the parent is kedro-mlflow's to end."""
        for child in self._children.values():
            child.end(status)

    def end_stale(self) -> list[str]:
        """Mark runs KILLED that this project left running on this host when it was killed.

        Returns
        -------
        list of str
            Their ids.
        """
        own = {self.parent.run_id, *(child.run_id for child in self._children.values())}
        running = self._search(
            f"attributes.status = 'RUNNING' and tags.`{HOST}` = '{self._tags[HOST]}' "
            f"and tags.`{PROJECT}` = '{self._tags[PROJECT]}'"
        )
        stale = [
            run.info.run_id
            for run in running
            if run.info.run_id not in own and not self._is_alive(run)
        ]
        for run_id in stale:
            TrackedRun(self.client, run_id).end("KILLED")
        return stale

    def _is_alive(self, run: Run) -> bool:
        mark = run.data.tags.get(PROCESS, "")
        pid = mark.partition("/")[0]
        if mark == self._tags[PROCESS]:
            return False  # this process runs one pipeline at a time: an earlier one was interrupted
        return pid.isdigit() and is_running(int(pid)) and process_mark(int(pid)) == mark

    def _create(self, approach: str) -> str:
        inherited = {
            name: value
            for name, value in self._run.data.tags.items()
            if name in ("mlflow.user", "mlflow.source.name", "mlflow.source.type")
        }
        tags = {**inherited, **self._tags, PARENT: self.parent.run_id, APPROACH: approach}
        run = self.client.create_run(self._run.info.experiment_id, tags=tags, run_name=approach)
        return str(run.info.run_id)

    def _search(self, condition: str) -> list[Run]:
        return list(self.client.search_runs([self._run.info.experiment_id], condition))


def process_mark(pid: int) -> str:
    """Tell a process from a later one of the same number: number and, on Linux, start time."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return str(pid)
    return f"{pid}/{stat.rpartition(')')[2].split()[19]}"


def _owner(project: Path) -> dict[str, str]:
    return {
        HOST: socket.gethostname(),
        PROCESS: process_mark(os.getpid()),
        PROJECT: project.resolve().as_posix().replace("'", "_"),
    }


def _valid_name(name: str) -> str:
    """Name with characters that MLflow refuses replaced."""
    return re.sub(r"[^/\w.\- ]", "_", str(name))
