"""`kill -9` of a run, or of one of its workers, at random moments of its work."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tests.main_job import LIMIT_S, Job

OPTIONS = ("--pipelines=data_processing", "--params=cohort.phantom.n_slides=3")
TABLES = (
    "02_intermediate/tiles.parquet",
    "03_primary/tile_quality.parquet",
    "03_primary/patches.parquet",
)
END_S = 15.0
"""Workers look for their parent once a second."""


@dataclass(frozen=True)
class Moment:
    """When to kill, as a share of an undisturbed run's work, and whom: a run, or its worker."""

    share: float
    victim: str


def moments(n: int, seed: int = 20) -> list[Moment]:
    """n random moments, one in each nth of the work, by turns for the run and for a worker."""
    dice = random.Random(seed)
    shares = [(index + dice.random()) / n for index in range(n)]
    dice.shuffle(shares)
    return [Moment(share, ("run", "worker")[index % 2]) for index, share in enumerate(shares)]


def undisturbed(job: Job) -> float:
    """Run a job to its end; seconds that it worked, its start-up left out."""
    process = job.start(*OPTIONS)
    _wait_for_work(job, process)
    start_s = time.monotonic()
    printed, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, printed[-4000:]
    return time.monotonic() - start_s


def killed_and_continued(job: Job, moment: Moment, work_s: float, seed: int = 0) -> str:
    """Kill at the moment, then let the job come to its end; what was hit, in words.

    The death of a worker is the run's own to get over. After the run's, no worker stays for long,
    and the next run ends the work.
    """
    process = job.start(*OPTIONS)
    _wait_for_work(job, process)
    time.sleep(moment.share * work_s)
    if moment.victim == "worker":
        workers = sorted(pid for pid, command in job.processes().items() if "spawn_main" in command)
        if workers:
            os.kill(random.Random(seed).choice(workers), signal.SIGKILL)
        printed, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, printed[-4000:]
        hit = "a worker" if workers else "no worker was at work"
    else:
        ended = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        _wait_for_end(job)
        process.communicate(timeout=LIMIT_S)
        code, printed = job.run(*OPTIONS)
        assert code == 0, printed[-4000:]
        hit = "the run had ended" if ended else "the run"
    _wait_for_end(job)
    return hit


def differences(job: Job, whole: Job) -> list[str]:
    """Tables and slides in which two jobs differ, what a job left half written, and failures."""
    found = [name for name in TABLES if not _equal(job.newest(name), whole.newest(name))]
    for folder in ("01_raw/phantoms", "02_intermediate/tile_scores"):
        slides, wanted = (dict(_contents(each.data / folder)) for each in (job, whole))
        found += [name for name in slides.keys() | wanted if slides.get(name) != wanted.get(name)]
    found += [str(path) for path in (job.data / "08_reporting").glob("failures/*.csv")]
    return found


def _equal(table: Path, other: Path) -> bool:
    return pd.read_parquet(table).equals(pd.read_parquet(other))


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.suffix in {".tif", ".parquet", ".png"}:
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _wait_for_work(job: Job, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not (job.data / "01_raw" / "cohort_plan.json").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the work never began"
        time.sleep(0.02)


def _wait_for_end(job: Job) -> None:
    deadline = time.monotonic() + END_S
    while left := job.processes():
        assert time.monotonic() < deadline, f"processes are left behind: {left}"
        time.sleep(0.1)
