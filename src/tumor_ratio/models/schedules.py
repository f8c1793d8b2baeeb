"""Learning rates as pure functions of the step, so that a resumed training needs no state."""

from __future__ import annotations

import math
from typing import Literal

WARM_UP = 0.3
START = 1 / 25


def learning_rate_factor(
    schedule: Literal["constant", "cosine", "onecycle"], step: int, n_steps: int
) -> float:
    """Share of the peak learning rate at a step, in (0, 1].

    Parameters
    ----------
    schedule : `constant`; `cosine`, from 1 down towards 0; `onecycle`, from 1/25 up to 1 over the
        first 30 % of the steps, then down towards 0, both along a cosine (Smith and Topin 2019).
    step : number of the step, in [0, n_steps).
    n_steps : steps of the whole training.
    """
    if schedule == "constant":
        return 1.0
    position = (step + 0.5) / n_steps
    if schedule == "cosine":
        return _fall(position)
    if position < WARM_UP:
        return START + (1 - START) * (1 - _fall(position / WARM_UP))
    return _fall((position - WARM_UP) / (1 - WARM_UP))


def _fall(position: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * position))
