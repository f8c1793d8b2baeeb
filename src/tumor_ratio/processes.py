"""What this process may use of the machine, and what its other processes are up to."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor


def is_running(pid: int) -> bool:
    """Whether a process of this number runs on this machine; True where one cannot tell."""
    if os.name == "nt":
        return True  # signal 0 would interrupt the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's process
    return True


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def own_threads() -> int:
    """Threads that the caller should compute with: all cores, or fewer if it was told so.

    `OMP_NUM_THREADS` is what a worker process is told its share of the cores by. In a thread of
    `thread_pool` it is one.
    """
    if getattr(_this_thread, "is_one_of_many", False):
        return 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(told), available_cores()) if told.isdigit() and int(told) else available_cores()


def thread_pool(threads: int | None = None, *, name: str = "") -> ThreadPoolExecutor:
    """Threads that share this process's cores: none of them starts further ones.

    Parameters
    ----------
    threads : by default `own_threads()`.
    name : which the threads' names begin with.
    """
    return ThreadPoolExecutor(threads or own_threads(), name, initializer=_be_one_of_many)


def _be_one_of_many() -> None:
    _this_thread.is_one_of_many = True


_this_thread = threading.local()
