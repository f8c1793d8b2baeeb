"""Fixtures that every part of the test suite shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tumor_ratio.datasets.worker_start import THREAD_LIMITS
from tumor_ratio.processes import available_cores

if _PROCESSES := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    # Each has its share of the cores: threads of two that wait for one another take far longer.
    for _name in THREAD_LIMITS:
        os.environ.setdefault(_name, str(max(1, available_cores() // _PROCESSES)))

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of this project."""
    return PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real slides and tiles; the test is skipped where it is absent."""
    folder = Path(os.environ.get("TUMOR_RATIO_REAL_DATA", "../shared/real"))
    folder = folder if folder.is_absolute() else (PROJECT / folder).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real material at {folder}; set TUMOR_RATIO_REAL_DATA to its folder")
    return folder
