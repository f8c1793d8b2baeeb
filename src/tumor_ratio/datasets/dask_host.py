"""A Dask cluster of this machine's processes, in a process of its own.

The scheduler and what watches its workers live beside the run, not in it: a run that computes does
not hold them up, and a worker that is started anew finds no main script to import.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection

from tumor_ratio.datasets.errors import ClusterError
from tumor_ratio.datasets.worker import IDLE_EXIT_S, end_with
from tumor_ratio.datasets.worker_start import start_environment
from tumor_ratio.datasets.workers import IDLE_S
from tumor_ratio.processes import available_cores

LOOPBACK = "127.0.0.1"
START_S = 60.0
CLOSE_S = 5.0

SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # who tries again, and how, is decided by the run
    "distributed.scheduler.worker-ttl": None,  # a task may hold the interpreter for long
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.worker.daemon": True,
}
"""Whatever Dask's own configuration files say."""


class EmbeddedCluster:
    """A cluster of `count` workers with one thread each, until it is closed or idle for a minute.

    Parameters
    ----------
    count : worker processes; each gets its share of the cores for numerical libraries.

    Raises
    ------
    ClusterError
        If it does not start.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=host_main, args=(theirs, os.getpid(), count), name="dask cluster"
        )
        with start_environment(max(1, available_cores() // count)):
            self._process.start()
        theirs.close()
        try:
            if not self._pipe.poll(START_S):
                raise EOFError
            self.address: str = self._pipe.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise ClusterError(
                "the Dask cluster on this machine did not start",
                "see what it printed above, or run with --params=cluster=processes",
            ) from error
        self._last_use_s = time.monotonic()

    @property
    def usable(self) -> bool:
        """Whether it is there and has not been idle for so long that it may end any moment."""
        return self._process.is_alive() and time.monotonic() - self._last_use_s < IDLE_S

    def busy(self, busy: bool) -> None:
        """Say that work begins, or that it has ended."""
        self._last_use_s = time.monotonic()
        with suppress(OSError):
            self._pipe.send(busy)

    def close(self) -> None:
        """End the cluster and all its workers."""
        self._pipe.close()
        self._process.join(CLOSE_S)
        self._process.kill()  # the workers notice, and end
        self._process.join()


def host_main(pipe: Connection, parent: int, count: int) -> None:
    """Keep a cluster until the parent closes the pipe, leaves it idle or dies.

    Parameters
    ----------
    pipe : the scheduler's address goes out; True comes in when work begins, False when it ends.
    parent : the process to end with.
    count : workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, here and in workers
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set(SETTINGS),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host=LOOPBACK,
            dashboard_address=f"{LOOPBACK}:0",
            memory_limit=0,  # as in the local pool, the machine's memory is the limit
            silence_logs="CRITICAL",  # the run itself says what is lost
        ) as cluster,
        suppress(EOFError, OSError),
    ):
        pipe.send(cluster.scheduler_address)
        limit_s: float | None = IDLE_EXIT_S
        while pipe.poll(limit_s):
            limit_s = None if pipe.recv() else IDLE_EXIT_S


_CURRENT: list[EmbeddedCluster] = []


def embedded_cluster(count: int) -> EmbeddedCluster:
    """Give a running cluster of `count` workers: the one of the last step if it still serves."""
    if not (_CURRENT and _CURRENT[0].count == count and _CURRENT[0].usable):
        close_embedded()
        _CURRENT.append(EmbeddedCluster(count))
    return _CURRENT[0]


@atexit.register
def close_embedded() -> None:
    """End this process's cluster."""
    while _CURRENT:
        _CURRENT.pop().close()
