"""Killed at random moments, a run or a worker costs time and nothing else.

Two moments here, one for each; twenty with `make bench ARGS=kills`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills import differences, killed_and_continued, moments, undisturbed
from tests.main_job import Job

MOMENTS = moments(2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, float]:
    job = Job.in_folder(tmp_path_factory.mktemp("undisturbed"))
    return job, undisturbed(job)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS, ids=[f"{m.victim}-{m.share:.2f}" for m in MOMENTS])
def test_a_kill_leaves_equal_tables_and_no_process(whole, moment, tmp_path: Path) -> None:
    job = Job.in_folder(tmp_path)
    killed_and_continued(job, moment, whole[1])
    assert differences(job, whole[0]) == []
