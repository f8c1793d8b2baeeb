"""A small cohort, rendered once a session in spawned workers as the project does."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tumor_ratio.phantom.pair import PhantomFiles, render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import PhantomSlide, plan_phantom


@pytest.fixture(scope="session")
def cohort_plans() -> tuple[PhantomSlide, ...]:
    return plan_phantom(PhantomParams(n_slides=12, width_um=1000, height_um=1000))


@pytest.fixture(scope="session")
def cohort_files(
    cohort_plans: tuple[PhantomSlide, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[PhantomFiles, ...]:
    folder: Path = tmp_path_factory.mktemp("phantom_cohort")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        tasks = [pool.submit(render_pair, plan, folder) for plan in cohort_plans]
        return tuple(task.result() for task in tasks)


@pytest.fixture(scope="session")
def small_plan() -> PhantomSlide:
    """One small pair with sections that touch."""
    plans = plan_phantom(PhantomParams(n_slides=3, width_um=360, height_um=320, seed=7))
    return next(plan for plan in plans if plan.gap_um == 0.0)


@pytest.fixture(scope="session")
def small_files(small_plan: PhantomSlide, tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    return render_pair(small_plan, tmp_path_factory.mktemp("phantom_pair"))
