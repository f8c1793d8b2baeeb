"""Runs `kedro run` as a user does, on data of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

PROJECT = Path(__file__).resolve().parents[1]
LIMIT_S = 400
MARK = "TUMOR_RATIO_TEST_JOB"
"""Environment variable by which a run's processes are found, also when their parent is gone."""


@dataclass(frozen=True)
class Job:
    """A copy of the configuration whose results go into a folder of its own."""

    conf: Path
    data: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Job:
        conf, data = folder / "conf", folder / "data"
        shutil.copytree(PROJECT / "conf", conf, ignore=shutil.ignore_patterns("local"))
        (conf / "local").mkdir()
        path = conf / "test" / "globals.yml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"data": str(data)}))
        return cls(conf, data)

    def start(
        self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "kedro", "run", "--env=test"]
        return subprocess.Popen(
            [*command, f"--conf-source={self.conf}", *arguments],
            cwd=PROJECT,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "COLUMNS": "400",
                "KEDRO_LOGGING_CONFIG": str(PROJECT / "conf" / "logging_kedro.yml"),
                "OMP_NUM_THREADS": "2",
                MARK: str(self.data),
            },
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and everything that the run printed."""
        with self.start(*arguments) as process:
            try:
                printed, _ = process.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, printed

    def killed_when(self, happened: Callable[[], bool], *arguments: str) -> None:
        """Run until something has happened, then `kill -9`."""
        # A file: nobody empties a pipe meanwhile, and a full one stops the run.
        printed = self.conf.parent / "killed.log"
        with printed.open("w") as log, self.start(*arguments, stdout=log) as process:
            deadline = time.monotonic() + LIMIT_S
            try:
                while not happened():
                    assert process.poll() is None, printed.read_text()[-4000:]
                    assert time.monotonic() < deadline, "it never happened"
                    time.sleep(0.05)
            finally:
                process.send_signal(signal.SIGKILL)

    def processes(self) -> dict[int, str]:
        """Command lines of this job's processes that live, by process id."""
        return {pid: command for pid, command in _commands() if _marked(pid, str(self.data))}

    def newest(self, name: str) -> Path:
        """File of a versioned table's newest version."""
        return max((self.data / name).glob(f"*/{Path(name).name}"))


def _commands() -> Iterator[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            yield int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode()


def _marked(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
