"""How often intervals hold the truth, on simulated slides whose regions resemble each other.

Slides differ in burden and in how far off an estimate is on them; neighbouring regions of a slide
share much of their error. What treats regions as independent then promises far too much.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tumor_ratio.metrics.aggregation import Interval, student_interval
from tumor_ratio.metrics.figure_ranges import RANGES
from tumor_ratio.metrics.moments import case_moments
from tumor_ratio.metrics.paired_values import PairedValues
from tumor_ratio.metrics.resampling import (
    CORRELATION,
    PLAIN,
    Figure,
    Scale,
    bootstrap_t_interval,
    jackknife_interval,
    without_each,
)
from tumor_ratio.metrics.unit_scores import moment_figure

FloatArray = NDArray[np.float64]
Method = Callable[[PairedValues, int], Interval]

SLIDES: Final = (4, 12, 49)
N_REGIONS: Final = 60
ALIKE: Final = 0.8
"""Correlation of the errors of neighbouring regions."""
RESAMPLES: Final = 299
POPULATION: Final = 40_000


class Quantity(NamedTuple):
    """A figure, as a function of means over slides of numbers of each region or slide."""

    name: str
    numbers: Callable[[PairedValues], FloatArray]
    figure: Figure
    scale: Scale


def absolute_errors(values: PairedValues) -> FloatArray:
    return values.case_means(np.abs(values.predicted - values.measured))[:, None]


def within_02(values: PairedValues) -> FloatArray:
    near = np.abs(values.predicted - values.measured) <= 0.2
    return values.case_means(near.astype(np.float64))[:, None]


def first_mean(means: FloatArray, n_cases: int) -> FloatArray:
    return means[..., 0]


CUT_AT_1: Final = Scale(np.asarray, lambda v: np.clip(v, *RANGES["ccc"]))
MAE: Final = Quantity("MAE", absolute_errors, first_mean, PLAIN)
WITHIN_02: Final = Quantity("within 0.2", within_02, first_mean, PLAIN)
CCC: Final = Quantity("CCC", case_moments, moment_figure("ccc"), CUT_AT_1)
R2: Final = Quantity("R2", case_moments, moment_figure("r2"), PLAIN)
PEARSON: Final = Quantity("Pearson", case_moments, moment_figure("pearson"), CORRELATION)


def draw(rng: np.random.Generator, n_slides: int) -> PairedValues:
    """Slides with measured ratios and estimates of them."""
    shape = (n_slides, N_REGIONS)
    burden = rng.beta(1.2, 4, (n_slides, 1))
    measured = np.clip(burden + 0.08 * _alike(rng, shape), 0, 1)
    bias = rng.normal(0, 0.05, (n_slides, 1))
    spread = 0.07 * np.exp(rng.normal(0, 0.4, (n_slides, 1)))
    predicted = np.clip(measured + bias + spread * _alike(rng, shape), 0, 1)
    slides = np.repeat(np.arange(n_slides), N_REGIONS)
    return PairedValues(predicted.ravel(), measured.ravel(), slides, np.arange(n_slides))


def _alike(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Standard normal rows in which neighbours are correlated."""
    steps = rng.normal(size=shape) * np.sqrt(1 - ALIKE**2)
    steps[:, 0] /= np.sqrt(1 - ALIKE**2)
    return lfilter([1.0], [1.0, -ALIKE], steps, axis=1)


def student(quantity: Quantity, values: PairedValues, seed: int) -> Interval:
    return student_interval(quantity.numbers(values)[:, 0])


def jackknife(quantity: Quantity, values: PairedValues, seed: int) -> Interval:
    table = quantity.numbers(values)
    value = float(quantity.figure(table.mean(axis=0), len(table)))
    left_out = quantity.figure(without_each(table), len(table) - 1)
    return jackknife_interval(value, left_out, scale=quantity.scale)


def bootstrap_t(quantity: Quantity, values: PairedValues, seed: int) -> Interval:
    return bootstrap_t_interval(
        quantity.numbers(values),
        quantity.figure,
        scale=quantity.scale,
        n_resamples=RESAMPLES,
        seed=seed,
    )


def slide_percentile(quantity: Quantity, values: PairedValues, seed: int) -> Interval:
    return _percentile(quantity, quantity.numbers(values), values.n_cases, seed)


def region_percentile(quantity: Quantity, values: PairedValues, seed: int) -> Interval:
    """As if every region were a slide of its own."""
    alone = np.arange(len(values))
    regions = PairedValues(values.predicted, values.measured, alone, alone)
    return _percentile(quantity, quantity.numbers(regions), values.n_cases, seed)


def _percentile(quantity: Quantity, table: FloatArray, n_cases: int, seed: int) -> Interval:
    rng = np.random.default_rng(seed)
    n = len(table)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    found = quantity.figure(counts @ table / n, n)
    return Interval(*(float(bound) for bound in np.nanquantile(found, [0.025, 0.975])))


METHODS: Final[dict[str, Callable[[Quantity, PairedValues, int], Interval]]] = {
    "Student t over slides": student,
    "jackknife t over slides": jackknife,
    "bootstrap-t over slides": bootstrap_t,
    "percentile bootstrap over slides": slide_percentile,
    "percentile bootstrap over regions": region_percentile,
}


def methods_of(quantity: Quantity) -> dict[str, Method]:
    """Student's t for means over slides (there the jackknife's is the same), else the jackknife."""
    skipped = "jackknife t over slides" if quantity in (MAE, WITHIN_02) else "Student t over slides"
    return {name: partial(each, quantity) for name, each in METHODS.items() if name != skipped}


def population_value(quantity: Quantity, seed: int = 1) -> float:
    """What the figure is on very many slides."""
    table = quantity.numbers(draw(np.random.default_rng(seed), POPULATION))
    return float(quantity.figure(table.mean(axis=0), POPULATION))


class Coverage(NamedTuple):
    """Share of simulations whose interval held the truth, and its median width."""

    share: float
    width: float


def coverages(
    quantity: Quantity, n_slides: int, n_simulations: int, seed: int = 0
) -> dict[str, Coverage]:
    """Coverage of the 95 % intervals by method."""
    rng = np.random.default_rng([seed, n_slides])
    truth = population_value(quantity)
    methods = methods_of(quantity)
    bounds: dict[str, list[Interval]] = {name: [] for name in methods}
    for simulation in range(n_simulations):
        values = draw(rng, n_slides)
        for name, method in methods.items():
            bounds[name].append(method(values, simulation))
    found = {}
    for name, intervals in bounds.items():
        lower, upper = np.array(intervals).T
        held = (lower <= truth) & (truth <= upper)
        found[name] = Coverage(float(held.mean()), float(np.nanmedian(upper - lower)))
    return found


def intervals(n_simulations: int = 1000) -> None:
    print(
        f"coverage of 95 % intervals (median width), {n_simulations} simulations, slides of "
        f"{N_REGIONS} regions, neighbours' errors correlated by {ALIKE:g}"
    )
    for quantity in (MAE, WITHIN_02, CCC, R2, PEARSON):
        columns = [coverages(quantity, n_slides, n_simulations) for n_slides in SLIDES]
        header = "".join(f"{f'{n} slides':>18}" for n in SLIDES)
        print(f"\n{quantity.name:<36}{header}   truth {population_value(quantity):.3f}")
        for name in columns[0]:
            cells = (f"{c[name].share:.3f} ({c[name].width:.3f})" for c in columns)
            print(f"{name:<36}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
