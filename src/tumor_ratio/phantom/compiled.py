"""Numba compilation with a cache on disk where one can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile in nopython mode, the GIL released; cached on disk where a cache can be written.

    A read-only installation without a writable user cache compiles again in each process: slower
    by some seconds, otherwise equal. No fast-math: the result must not depend on the block.
    """
    try:
        return cast(Callable[P, R], numba.njit(function, cache=True, nogil=True))
    except RuntimeError:  # numba found no place for its cache
        return cast(Callable[P, R], numba.njit(function, nogil=True))
