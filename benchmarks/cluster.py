"""Per-slide tasks on a Dask cluster of this machine: two workers against one."""

from __future__ import annotations

import statistics
import time

from tumor_ratio.datasets.cluster import run_tasks_on
from tumor_ratio.datasets.dask_host import close_embedded

TASKS = 8
LOOPS = 6_000_000
REPEATS = 3


def spin(loops: int) -> int:
    """Work for one core, without memory traffic or threads."""
    total = 0
    for number in range(loops):
        total += number & 7
    return total


def seconds(workers: int) -> float:
    """Median duration of all tasks, once the cluster is there."""
    tasks = {f"s{n}": (spin, (LOOPS,)) for n in range(TASKS)}
    taken = []
    for repeat in range(REPEATS + 1):
        start = time.perf_counter()
        outcomes = list(run_tasks_on("dask", tasks, workers, (len, ())))
        assert not any(outcome.failed for outcome in outcomes), outcomes
        if repeat:  # the first one starts the workers
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def dask_workers() -> None:
    """Print how much faster two workers are than one."""
    one, two = seconds(1), seconds(2)
    close_embedded()
    title = f"Dask on loopback, {TASKS} CPU-bound tasks: two workers against one"
    print(f"{title:<58} {one / two:6.2f} x   ({two:.3f} s against {one:.3f} s)", flush=True)
