"""Where a step's tasks run: the one place that reads the setting `cluster`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tumor_ratio.datasets.worker import Outcome
from tumor_ratio.datasets.workers import Task, run_tasks
from tumor_ratio.errors import ConfigurationError

PROCESSES = "processes"
EMBEDDED = "dask"

_ADDRESS = re.compile(r"(tcp|tls)://(\[[^\]\s]+\]|[^/:\s]+):\d{1,5}")


def check_cluster(cluster: object) -> str:
    """Give the setting back where it is one.

    Raises
    ------
    ConfigurationError
        Naming the choices.
    """
    if isinstance(cluster, str) and (
        cluster in (PROCESSES, EMBEDDED) or _ADDRESS.fullmatch(cluster)
    ):
        return cluster
    raise ConfigurationError(
        f"cluster is {cluster!r}, which is no place to run tasks",
        f"choose '{PROCESSES}' (worker processes of this machine), '{EMBEDDED}' (a Dask cluster "
        "on this machine), or the address of a Dask scheduler, such as tcp://host:8786",
    )


def run_tasks_on(
    cluster: str, tasks: Mapping[str, Task], workers: int | str, ready: Task
) -> Iterator[Outcome]:
    """Carry out all tasks where the setting says; an outcome for each as it ends, in any order.

    Parameters
    ----------
    cluster : as `check_cluster` gives it.
    tasks, workers : as in `tumor_ratio.datasets.workers.run_tasks`; 0 workers is always this
        process. On a cluster that is there already, "auto" is one task a worker.
    ready : called in a worker of a Dask cluster before each task, with the worker's name as a
        further argument. What it raises says that the worker cannot do this work at all, and
        stops everything.
    """
    if cluster == PROCESSES or workers == 0 or not tasks:
        return run_tasks(tasks, workers)
    from tumor_ratio.datasets.dask_tasks import run_on_dask  # loads distributed

    return run_on_dask(tasks, workers, None if cluster == EMBEDDED else cluster, ready)
