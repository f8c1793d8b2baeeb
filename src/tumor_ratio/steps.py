"""What a node hands to the catalog: one task a slide, each a marked module-level function.

A node returns `{slide_id: functools.partial(step_function, ...)}`; the partition dataset carries
the tasks out. The version is part of a result's fingerprint: raise it when the function's results
change for the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

SlideTasks = Mapping[str, partial[Any]]
"""`{slide_id: partial(step function, picklable arguments)}`."""


def step(version: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a module-level function as a step of the given version.

    Parameters
    ----------
    version : a positive integer, raised whenever equal inputs give other results.
    """
    if version < 1:
        raise ValueError("a step's version starts at 1")

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        function.step_version = version  # type: ignore[attr-defined]
        return function

    return mark


def version_of(function: Callable[..., Any]) -> int:
    """The version of a step, for steps whose results depend on another's."""
    return int(function.step_version)  # type: ignore[attr-defined]
