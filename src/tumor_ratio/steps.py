"""What a node hands to the catalog: one task a slide, each a marked module-level function.

A node returns `{slide_id: functools.partial(step_function, ...)}`; the partition dataset carries
the tasks out. A step's name and version are part of a result's fingerprint, and so are those of the
steps that it uses: raise the version when the function's results change for the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

SlideTasks = Mapping[str, partial[Any]]
"""`{slide_id: partial(step function, picklable arguments)}`."""


def step(
    *, name: str, version: int, uses: Sequence[Callable[..., Any]] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a module-level function as a step.

    Parameters
    ----------
    name : what the step is known by, wherever its function lives and whatever it is called; no
        other step has it. Results are made anew if it changes.
    version : a positive integer, raised whenever equal inputs give other results.
    uses : the steps that it calls, itself or through other functions: its results are made anew
        when the version of one of them is raised.
    """
    if version < 1:
        raise ValueError(f"step '{name}': a version starts at 1")
    for used in uses:
        if not is_step(used):
            raise TypeError(f"step '{name}': {used!r} in `uses` is not marked with @step")

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        function.step_name = name  # type: ignore[attr-defined]
        function.step_version = version  # type: ignore[attr-defined]
        function.step_uses = tuple(uses)  # type: ignore[attr-defined]
        return function

    return mark


def is_step(function: Callable[..., Any]) -> bool:
    """Whether a function is marked with `step`."""
    return hasattr(function, "step_name")


def step_identity(function: Callable[..., Any]) -> str:
    """Name and version of a step, then those of all steps that it uses, by name.

    Returns
    -------
    str
        As in `train_cyclegan@1 segment_nuclei@5`.
    """
    own, *used = (f"{each.step_name}@{each.step_version}" for each in _with_used(function))
    return " ".join([own, *sorted(set(used))])


def _with_used(function: Any) -> list[Any]:
    return [function, *(each for used in function.step_uses for each in _with_used(used))]
