"""Files and folders that are either whole or not there, however a process ends."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tumor_ratio.errors import DiskFullError
from tumor_ratio.processes import is_running

PREFIX = ".writing-"
"""Names of unfinished files and folders start so; nothing ever reads one."""


SQLITE_FULL = "database or disk is full"
"""What SQLite says, in which MLflow keeps its runs."""

FORGOTTEN_S = 86_400
"""An unfinished file of another machine is removed when nothing was written to it for so long."""


def file_stem(name: str) -> str:
    """A slide's or region's id as the name of a file, without suffix.

    Characters that no file name may have, and a leading dot, are percent-coded: differing ids stay
    different.
    """
    stem = quote(name, safe=" ()+,=@~")
    return f"%2E{stem[1:]}" if stem.startswith(".") else stem


def temporary_name(target: Path) -> Path:
    """Where this process writes `target` until it is whole: beside it, with `target`'s suffix."""
    return target.with_name(f"{PREFIX}{os.getpid()}@{_host()}-{target.name}")


def _host() -> str:
    """A short name of this machine; those of a cluster often differ in the last letters only."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


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

    Raises
    ------
    DiskFullError
        If there is no room for it.
    """
    temporary = temporary_name(target)
    with full_disk_explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, target)
        finally:
            _remove(temporary)


@contextmanager
def folder_written_whole(target: Path) -> Iterator[Path]:
    """Give a new temporary folder, which becomes `target` when the block ends well.

    Parameters
    ----------
    target : the folder's final place; the folder above it is made. A folder can't be replaced at
        once: an earlier one goes just before.

    Raises
    ------
    DiskFullError
        If there is no room for it.
    """
    with written_whole(target) as temporary:
        _remove(temporary)
        temporary.mkdir()
        yield temporary
        if target.exists():
            shutil.rmtree(target)


@contextmanager
def full_disk_explained(target: Path) -> Iterator[None]:
    """Turn a full disk inside the block into a `DiskFullError` that names `target`'s folder."""
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if is_full_disk(error):
            raise DiskFullError(
                f"no space left to write {target.name} in {target.parent}",
                "free some space and run again: what is finished is kept",
            ) from error
        raise


def is_full_disk(error: BaseException | None) -> bool:
    """Whether the error, or one that led to it, says that there is no room left on a disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, sqlite3.OperationalError) and SQLITE_FULL in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def write_text(target: Path, text: str) -> None:
    """Write a whole text file (UTF-8)."""
    with written_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write a whole JSON file."""
    write_text(target, json.dumps(value, indent=1, ensure_ascii=False))


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left half written in `folder`; living ones keep theirs.

    Whether a process of another machine lives cannot be seen: what it wrote to within a day stays.
    """
    for path in folder.glob(f"{PREFIX}*"):
        pid, _, host = path.name[len(PREFIX) :].split("-", 1)[0].partition("@")
        here = host == _host()
        if not (
            (here and pid.isdigit() and is_running(int(pid))) or (not here and _is_young(path))
        ):
            _remove(path)


def _is_young(path: Path) -> bool:
    inside = path.rglob("*") if path.is_dir() else ()
    try:
        newest = max(each.stat().st_mtime for each in (path, *inside))
    except FileNotFoundError:
        return False
    return time.time() - newest < FORGOTTEN_S


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
