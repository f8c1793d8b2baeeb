"""Coverage and width of the intervals for new slides, on simulated slides, by burden.

Slides differ in burden, in size, in how far off a model is on them, and small ones are the harder
ones, so that a quantile of all regions alike would promise too much.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.metrics.conformal import (
    COVERAGE,
    conformal_quantile,
    conformity_scores,
    expected_error,
    rank_of,
    ratio_bounds,
)

FloatArray = NDArray[np.float64]

CALIBRATION_SLIDES: Final = (9, 12, 19, 49, 99)
NEW_SLIDES: Final = 200
BURDENS: Final = (0.0, 0.05, 0.1, 0.2, 0.4, 1.0)
FEW, MANY = 10, 60
"""Regions of the smallest and the largest slide."""


class Drawn(NamedTuple):
    """Regions, or whole slides: slide numbers, ratios and nuclear areas, (N,) each."""

    slide: NDArray[np.int64]
    predicted: FloatArray
    measured: FloatArray
    nuclear_um2: FloatArray

    def whole_slides(self) -> Drawn:
        """Each slide as one, its ratios weighted by nuclear area."""
        area = np.bincount(self.slide, self.nuclear_um2)
        means = [
            np.bincount(self.slide, self.nuclear_um2 * ratio) / area
            for ratio in (self.predicted, self.measured)
        ]
        return Drawn(np.arange(len(area)), *means, area)


def draw_slides(rng: np.random.Generator, n_slides: int) -> Drawn:
    """Slides with measured ratios and a shrunk, biased, noisy model's answers."""
    n_regions = rng.integers(FEW, MANY + 1, n_slides)
    slide = np.repeat(np.arange(n_slides), n_regions)
    burden = rng.beta(1.2, 4, n_slides)
    difficulty = np.exp(rng.normal(0, 0.4, n_slides)) * np.sqrt(MANY / n_regions)
    local = np.clip(burden[slide] + rng.normal(0, 0.08, len(slide)), 0, 1)
    nuclei = rng.integers(20, 140, len(slide))
    measured = rng.binomial(nuclei, local) / nuclei
    bias = rng.normal(0, 0.04, n_slides) * difficulty
    noise = rng.normal(0, 0.05, len(slide)) * difficulty[slide]
    shrunk = 0.6 * local + 0.4 * burden[slide]
    predicted = np.clip(shrunk + bias[slide] + noise, 0, 1)
    return Drawn(slide, predicted, measured, nuclei * rng.uniform(35, 70, n_slides)[slide])


class Outcome(NamedTuple):
    """Of new regions or slides: the measured burden of the slide, whether held, and the width."""

    burden: FloatArray
    held: NDArray[np.bool_]
    width: FloatArray
    weight: FloatArray


def one_calibration(
    rng: np.random.Generator, n_calibration: int, *, whole: bool, constant: bool
) -> Outcome:
    """Calibrate on some slides and try it on others.

    Parameters
    ----------
    whole : slides instead of regions.
    constant : take the same expected error everywhere.
    """
    regions = draw_slides(rng, n_calibration + NEW_SLIDES)
    slides = regions.whole_slides()
    drawn = slides if whole else regions
    error = expected_error(drawn.predicted, drawn.nuclear_um2)
    error = np.ones_like(error) if constant else error
    known = drawn.slide < n_calibration
    scores = conformity_scores(drawn.predicted, drawn.measured, error)
    quantile = conformal_quantile(scores[known], drawn.slide[known]).value
    lower, upper = ratio_bounds(drawn.predicted, error, quantile)
    held = (lower <= drawn.measured) & (drawn.measured <= upper)
    weight = 1 / np.bincount(drawn.slide)[drawn.slide]
    burden = slides.measured[drawn.slide]
    return Outcome(*(part[~known] for part in (burden, held, upper - lower, weight)))


def outcomes(n_calibration: int, n_simulations: int, *, whole: bool, constant: bool) -> Outcome:
    """All new regions or slides of many calibrations."""
    parts = [
        one_calibration(
            np.random.default_rng([seed, n_calibration]),
            n_calibration,
            whole=whole,
            constant=constant,
        )
        for seed in range(n_simulations)
    ]
    return Outcome(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def conformal(n_simulations: int = 1000) -> None:
    print(
        f"{COVERAGE:.0%} intervals for new slides: share that hold the measured ratio (mean "
        f"width), {n_simulations} calibrations x {NEW_SLIDES} new slides, by the slide's burden"
    )
    ranges = list(pairwise(BURDENS))
    header = "".join(f"{f'{low:g} to {high:g}':>16}" for low, high in ranges)
    for whole in (False, True):
        for constant in (False, True):
            scale = "one width" if constant else "by ratio and nuclear area"
            print(f"\n{'slides' if whole else 'regions'}, {scale}")
            print(f"{'calibrated on':<16}{'k / (n + 1)':>13}{'all':>16}{header}")
            for n in CALIBRATION_SLIDES:
                found = outcomes(n, n_simulations, whole=whole, constant=constant)
                cells = [_cell(found, 0, 1), *(_cell(found, *each) for each in ranges)]
                promised = f"{rank_of(n) / (n + 1):.3f}"
                row = "".join(f"{cell:>16}" for cell in cells)
                print(f"{f'{n} slides':<16}{promised:>13}{row}", flush=True)


def _cell(found: Outcome, low: float, high: float) -> str:
    inside = (found.burden >= low) & ((found.burden < high) | (high == 1))
    weight = found.weight[inside]
    share = np.average(found.held[inside], weights=weight)
    return f"{share:.3f} ({np.average(found.width[inside], weights=weight):.3f})"
