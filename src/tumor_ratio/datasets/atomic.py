"""Files that are either whole or not there, however a process ends."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tumor_ratio.processes import is_running

PREFIX = ".writing-"
"""Names of unfinished files and folders start so; no dataset ever reads one."""


def temporary_name(target: Path) -> Path:
    """Where this process writes `target` until it is whole: beside it, with `target`'s suffix."""
    return target.with_name(f"{PREFIX}{os.getpid()}-{target.name}")


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which becomes `target` when the block ends well.

    Parameters
    ----------
    target : the file's final place; its folder is made. An earlier file is replaced at once.

    Yields
    ------
    Path
        A place beside `target` that nothing else uses. Removed where the block raises.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(target)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        _remove(temporary)


def write_text(target: Path, text: str) -> None:
    """Write a whole text file (UTF-8)."""
    with written_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write a whole JSON file."""
    write_text(target, json.dumps(value, indent=1, ensure_ascii=False))


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left half written in `folder`; living ones keep theirs."""
    for path in folder.glob(f"{PREFIX}*"):
        pid = path.name[len(PREFIX) :].split("-", 1)[0]
        if not (pid.isdigit() and is_running(int(pid))):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
