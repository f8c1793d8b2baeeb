import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tumor_ratio.atomic import (
    remove_unfinished,
    temporary_name,
    write_json,
    write_text,
    written_whole,
)
from tumor_ratio.processes import is_running


def test_a_file_appears_whole_or_stays_as_it_was(tmp_path):
    target = tmp_path / "deep/file.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), written_whole(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        assert temporary.suffix == ".txt"
        raise RuntimeError
    assert target.read_text() == "old"
    write_json(target, {"new": 1})
    assert target.read_text() == '{\n "new": 1\n}'
    assert os.listdir(target.parent) == ["file.txt"]


def written_by(pid: int, target: Path) -> Path:
    own = temporary_name(target)
    return own.with_name(own.name.replace(f"-{os.getpid()}@", f"-{pid}@"))


def test_machines_with_names_that_begin_alike_are_told_apart(monkeypatch):
    names = set()
    for host in (
        "ip-10-0-1-11",
        "ip-10-0-11-1",
        "dask-worker-7d9f8b6c5-abcde",
        "dask-worker-7d9f8",
    ):
        monkeypatch.setattr(platform, "node", lambda host=host: host)
        names.add(temporary_name(Path("a.csv")).name)
    assert len(names) == 4


def test_what_another_machine_wrote_stays_for_a_day(tmp_path):
    fresh, old = (tmp_path / f".writing-1@elsewhere-{name}.csv" for name in "ab")
    fresh.touch()
    old.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    remove_unfinished(tmp_path)
    assert os.listdir(tmp_path) == [fresh.name]


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folder, file = (written_by(dead.pid, tmp_path / name) for name in ("a", "b.csv"))
    folder.mkdir()
    (folder / "part").touch()
    file.touch()
    own = temporary_name(tmp_path / "c.csv")
    own.touch()
    remove_unfinished(tmp_path)
    assert os.listdir(tmp_path) == [own.name]
    assert is_running(os.getpid())
    assert not is_running(dead.pid)
