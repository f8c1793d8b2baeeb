"""Worker processes that carry out one slide's task at a time, and survive the loss of any of them.

Workers are spawned, never forked: a forked child of a process that has used torch or TensorFlow
hangs. A worker that dies takes nothing with it but its own task, which is tried once more with
nobody beside it; if the worker dies again, the task is to blame.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

from tumor_ratio.datasets.worker import Outcome, carry_out, worker_main
from tumor_ratio.datasets.worker_start import start_environment
from tumor_ratio.processes import available_cores

IDLE_S = 300.0
"""Workers are kept so long for the next step: to import torch and TensorFlow takes them ten seconds
of all cores, and a training of minutes may lie between two steps that need them."""

Task = tuple[Callable[..., Any], tuple[Any, ...]]
"""A module-level function and its picklable arguments."""


def worker_count(workers: int | str, n_tasks: int) -> int:
    """How many processes to use for `n_tasks`: "auto" is one a core; never more than tasks."""
    wanted = available_cores() if workers == "auto" else int(workers)
    return min(wanted, n_tasks)


def run_tasks(tasks: Mapping[str, Task], workers: int | str = "auto") -> Iterator[Outcome]:
    """Carry out all tasks; an outcome for each as it ends, in any order.

    Parameters
    ----------
    tasks : by name. The function's return value travels back: keep it small.
    workers : number of processes, "auto" for one a core, 0 to work in this process. Threads inside
        a worker are limited to its share of the cores.

    Yields
    ------
    Outcome
        The value, or the error that the task raised, or that its worker died.

    Raises
    ------
    TypeError
        If a task cannot be sent to another process.
    """
    count = worker_count(workers, len(tasks))
    if count == 0:
        yield from (carry_out(name, function, args) for name, (function, args) in tasks.items())
        return
    messages = {name: task_message(name, task) for name, task in tasks.items()}
    pool = _pool_of(count)
    finished = False
    try:
        yield from pool.run(messages)
        finished = True
    finally:
        if not finished:  # interrupted, or nobody wants the rest: leave no worker behind
            pool.close()


def task_message(name: str, task: Task) -> bytes:
    """Pickle (name, function, arguments) for another process.

    Raises
    ------
    TypeError
        If the task cannot be sent, or not be found there.
    """
    function, args = task
    for each in (function, *args):
        inner = getattr(each, "func", each)
        if getattr(inner, "__module__", "") == "__main__" and hasattr(inner, "__qualname__"):
            raise TypeError(
                f"{name}: {inner.__qualname__} is defined in a script or notebook, where workers "
                "cannot find it; move it to a module, or set workers: 0"
            )
    try:
        return pickle.dumps((name, function, args))
    except Exception as error:
        raise TypeError(
            f"{name}: the task cannot be sent to a worker ({error}); use module-level functions "
            "with picklable arguments"
        ) from error


class Pool:
    """Up to `count` spawned workers, each with its own pipe.

    Parameters
    ----------
    count : workers at work at the same time.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.threads = max(1, available_cores() // count)
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, str] = {}
        self._last_use_s = time.monotonic()

    def run(self, messages: Mapping[str, bytes]) -> Iterator[Outcome]:
        """Carry out the tasks in the messages; see `run_tasks`."""
        if time.monotonic() - self._last_use_s > IDLE_S:
            self.close()
        waiting = deque(messages)
        suspects: deque[str] = deque()  # their worker died once; they go last, one at a time
        tried: set[str] = set()
        while waiting or suspects or self._busy:
            while waiting and len(self._busy) < self.count:
                self._hand_out(waiting[0], messages[waiting.popleft()])
            if suspects and not self._busy:
                self._close_idle()  # what runs alone has the memory alone
                self._hand_out(suspects[0], messages[suspects.popleft()])
            for worker in self._ready():
                name = self._busy.pop(worker)
                outcome = worker.receive()
                if outcome is not None:
                    self._idle.append(worker)
                    yield replace(outcome, name=name)
                elif name in tried:
                    yield Outcome.of_dead_worker(name, worker.exit_reason())
                else:
                    tried.add(name)
                    suspects.append(name)
        self._last_use_s = time.monotonic()

    def close(self) -> None:
        """End all workers."""
        for worker in list(self._busy):
            worker.kill()
        self._busy.clear()
        self._close_idle()

    def _close_idle(self) -> None:
        for worker in self._idle:
            worker.kill()
        self._idle.clear()

    def _hand_out(self, name: str, message: bytes) -> None:
        while self._idle:
            worker = self._idle.pop()
            if worker.send(message):
                self._busy[worker] = name
                return
        worker = _Worker(self.threads)
        worker.send(message)  # where it has died already, `receive` says so
        self._busy[worker] = name

    def _ready(self) -> list[_Worker]:
        by_handle: dict[Any, _Worker] = {}
        for worker in self._busy:
            by_handle[worker.pipe] = worker
            by_handle[worker.process.sentinel] = worker
        return list(dict.fromkeys(by_handle[handle] for handle in wait(list(by_handle))))


class _Worker:
    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=worker_main, args=(theirs, os.getpid()), daemon=True, name="slide worker"
        )
        with start_environment(threads):
            self.process.start()
        theirs.close()
        self._reaping = threading.Lock()
        threading.Thread(target=self._reap, daemon=True, name="reaper").start()

    def send(self, message: bytes) -> bool:
        """Hand over a task; False where the worker is gone."""
        try:
            self.pipe.send_bytes(message)
        except OSError:
            self.kill()
            return False
        return True

    def receive(self) -> Outcome | None:
        """What came of the task; None where the worker died over it."""
        try:
            if not self.pipe.poll(0):
                raise EOFError
            outcome: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            self._join(1)  # its own exit code says more than ours
            self.kill()
            return None
        return outcome

    def exit_reason(self) -> str:
        with self._reaping:
            code = self.process.exitcode
        return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    def kill(self) -> None:
        self.process.kill()
        self._join(5)
        self.pipe.close()

    def _join(self, limit_s: float) -> None:
        with self._reaping:  # of two threads that wait for a process, one learns no exit code
            self.process.join(limit_s)

    def _reap(self) -> None:
        """Let a worker that ends when nobody asks it, as an idle one does, leave no zombie."""
        wait([self.process.sentinel])
        self._join(5)


_POOLS: dict[int, Pool] = {}


def _pool_of(count: int) -> Pool:
    """Give the pool of `count` workers; at most one pool has workers at any time."""
    for other, pool in _POOLS.items():
        if other != count:
            pool.close()
    return _POOLS.setdefault(count, Pool(count))


@atexit.register
def close_pools() -> None:
    """End all workers of this process."""
    for pool in _POOLS.values():
        pool.close()
