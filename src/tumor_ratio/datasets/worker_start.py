"""What a new worker process finds: its share of threads, and no copy of the main script."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
"""Libraries read these once, when they are imported: they must be set before a worker starts."""


@contextmanager
def start_environment(threads: int) -> Iterator[None]:
    """Processes spawned inside the block have `threads` threads and import no main script.

    Parameters
    ----------
    threads : limit of each numerical library. A smaller limit that the user set is kept.

    Notes
    -----
    A spawned process usually imports its parent's main script again, which runs a script without a
    `__main__` guard twice and costs the `kedro` command's imports. Tasks are functions of modules
    that can be imported, so the script is hidden meanwhile.
    """
    before = dict(os.environ)
    main = sys.modules["__main__"]
    limits = {name: str(_smaller(before.get(name), threads)) for name in THREAD_LIMITS}
    quiet = {"TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    os.environ.update({**limits, **{name: before.get(name, quiet[name]) for name in quiet}})
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name in (*limits, *quiet):
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


def _smaller(set_by_user: str | None, threads: int) -> int:
    if set_by_user and set_by_user.isdigit() and int(set_by_user) > 0:
        return min(int(set_by_user), threads)
    return threads
