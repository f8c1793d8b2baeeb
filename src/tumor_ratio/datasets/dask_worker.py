"""What runs inside a worker of a Dask cluster: check that it fits, carry out one task."""

from __future__ import annotations

import pickle
import threading

import tumor_ratio
from tumor_ratio.datasets.errors import ClusterError
from tumor_ratio.datasets.worker import Outcome, serve

_ONE_AT_A_TIME = threading.Lock()
"""The current folder, which a task changes, belongs to the process and not to its thread."""


def serve_on_dask(version: str, ready: bytes, message: bytes) -> Outcome:
    """Carry out a task; one at a time, however many threads this worker has.

    Parameters
    ----------
    version : of the package that sends the task.
    ready, message : pickled (name, function, arguments).

    Raises
    ------
    ClusterError
        If this worker cannot do such work at all. What the task itself raises is in the outcome.
    """
    if version != tumor_ratio.__version__:
        raise ClusterError(
            f"{where()} has tumor-ratio {tumor_ratio.__version__}, the run has {version}",
            "install the same version in the workers' environment",
        )
    with _ONE_AT_A_TIME:
        _, check, args = pickle.loads(ready)  # written by the run, as is the message
        check(*args, where())
        return serve(message)


def where() -> str:
    """Name this worker in a message."""
    from distributed import get_worker

    try:
        return f"the Dask worker {get_worker().address}"
    except ValueError:  # outside of any
        return "this process"
