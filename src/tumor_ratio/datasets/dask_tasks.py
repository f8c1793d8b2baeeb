"""Tasks on a Dask cluster, with the outcomes that the local workers would give.

Dask places the tasks and starts those of a lost worker again. A task over which it gives up is
tried once more with nobody beside it, as in the local pool; if it fails again, it is to blame.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dask
from distributed import Client, Future, KilledWorker

import tumor_ratio
from tumor_ratio.datasets.dask_host import close_embedded, embedded_cluster
from tumor_ratio.datasets.errors import ClusterError
from tumor_ratio.datasets.worker import Outcome, one_line
from tumor_ratio.datasets.workers import Task, task_message, worker_count

CONNECT_S = 5.0
NO_WORKERS_S = 30.0
"""So long a cluster may be without any worker, which may be starting."""
POLL_S = 1.0

_QUIET = {
    "distributed.admin.large-graph-warning-threshold": "1GB",  # a task's tables travel with it
    "distributed.comm.timeouts.connect": f"{CONNECT_S}s",
}


def run_on_dask(
    tasks: Mapping[str, Task], workers: int | str, address: str | None, ready: Task
) -> Iterator[Outcome]:
    """Carry out all tasks on a cluster; an outcome for each as it ends, in any order.

    Parameters
    ----------
    tasks, workers, ready : as in `tumor_ratio.datasets.cluster.run_tasks_on`; at most so many
        tasks are under way at the same time.
    address : of the scheduler; None for a cluster of this machine's processes.

    Raises
    ------
    TypeError
        If a task cannot be sent to another process.
    ClusterError
        If the cluster cannot be reached, is lost, has no workers, or has unfit ones.
    """
    messages = {name: task_message(name, task) for name, task in tasks.items()}
    check = task_message("ready", ready)
    if address is None:
        count = worker_count(workers, len(tasks))
        with _embedded(count) as embedded, _connected(embedded) as client:
            yield from _Run(client, embedded, messages, check, count).outcomes()
    else:
        limit = len(tasks) if workers == "auto" else int(workers)
        with _connected(address) as client:
            yield from _Run(client, address, messages, check, limit).outcomes()


@contextmanager
def _embedded(count: int) -> Iterator[str]:
    cluster = embedded_cluster(count)
    finished = False
    cluster.busy(True)
    try:
        yield cluster.address
        finished = True
    finally:
        cluster.busy(False)
        if not finished:  # interrupted, or nobody wants the rest: leave no worker behind
            close_embedded()


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    with dask.config.set(_QUIET):
        try:
            client = Client(address, timeout=CONNECT_S, set_as_default=False, name="tumor-ratio")
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {address}",
                "start one (dask scheduler), correct the address, or run with "
                "--params=cluster=processes",
            ) from error
        try:
            yield client
        finally:
            client.close(timeout=CONNECT_S)


def _door() -> Callable[[str, bytes, bytes], Outcome]:
    """What Dask calls in a worker.

    A function inside a function travels with its code. One that the worker has to find by its name
    would close the workers that have not installed the package, and slides would be blamed.
    """

    def enter(version: str, ready: bytes, message: bytes) -> Outcome:
        from tumor_ratio.datasets.dask_worker import serve_on_dask

        return serve_on_dask(version, ready, message)

    return enter


class _Run:
    def __init__(
        self,
        client: Client,
        address: str,
        messages: Mapping[str, bytes],
        ready: bytes,
        limit: int,
    ) -> None:
        self._client, self._address, self._limit = client, address, limit
        self._messages, self._ready = messages, ready
        self._running: dict[str, tuple[str, Future[Any]]] = {}
        self._ended: queue.Queue[Future[Any]] = queue.Queue()
        self._last_seen_s = self._last_look_s = time.monotonic()
        self._workers = 0

    def outcomes(self) -> Iterator[Outcome]:
        waiting = deque(self._messages)
        suspects: deque[str] = deque()  # Dask gave them up once; they go last, one at a time
        tried: set[str] = set()
        while waiting or suspects or self._running:
            room = min(self._limit, self._count_workers())
            while waiting and len(self._running) < room:
                self._hand_out(waiting.popleft())
            if suspects and room and not self._running:
                self._hand_out(suspects.popleft())
            for name, outcome in self._next():
                if isinstance(outcome, Outcome):
                    yield replace(outcome, name=name)
                elif name in tried:
                    yield Outcome.of_dead_worker(name, f"the last one: {outcome}")
                else:
                    tried.add(name)
                    suspects.append(name)

    def _hand_out(self, name: str) -> None:
        key = f"{name}-{uuid.uuid4().hex}"
        future = self._client.submit(
            _door(),
            tumor_ratio.__version__,
            self._ready,
            self._messages[name],
            key=key,
            pure=False,
        )
        self._running[key] = (name, future)  # Dask forgets what nobody holds
        future.add_done_callback(self._ended.put)

    def _next(self) -> Iterator[tuple[str, Outcome | str]]:
        """The next task that ends, if one does soon: its outcome, or over which worker it died."""
        try:
            future = self._ended.get(timeout=POLL_S)
        except queue.Empty:
            return
        name, _ = self._running.pop(str(future.key))
        yield name, self._outcome_of(future)

    def _outcome_of(self, future: Future[Any]) -> Outcome | str:
        if future.status == "finished":
            outcome: Outcome = future.result()
            return outcome
        if future.status != "error":
            raise self._lost()
        error: Any = future.exception()
        if isinstance(error, KilledWorker):
            return str(getattr(error.last_worker, "address", error.last_worker))
        if isinstance(error, ClusterError):
            raise error
        raise ClusterError(
            f"a worker of {self._address} cannot take tasks: "
            f"{type(error).__name__}: {one_line(str(error))}",
            f"install tumor-ratio {tumor_ratio.__version__} in the workers' environment",
        )

    def _count_workers(self) -> int:
        now_s = time.monotonic()
        if self._workers and now_s - self._last_look_s < POLL_S:
            return self._workers
        try:
            self._workers = len(self._client.nthreads())
        except (OSError, RuntimeError, TimeoutError) as error:
            raise self._lost() from error
        self._last_look_s = now_s
        if self._workers:
            self._last_seen_s = now_s
        elif now_s - self._last_seen_s > NO_WORKERS_S:
            raise ClusterError(
                f"the Dask scheduler at {self._address} has had no workers for "
                f"{NO_WORKERS_S:.0f} s",
                f"start some: dask worker {self._address} --nthreads=1 --nworkers=auto; what is "
                "finished is kept",
            )
        return self._workers

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"the Dask scheduler at {self._address} is gone in the middle of the work",
            "start it again, then the run: what is finished is kept",
        )
