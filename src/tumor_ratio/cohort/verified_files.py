"""Downloaded files that have been verified once, and a small file beside each that says so."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tumor_ratio.errors import ConfigurationError, DownloadError

PART = ".part"
SIDECAR = ".verified.json"
GB = 1e9


@dataclass(frozen=True)
class RemoteFile:
    """A file as its server lists it.

    Parameters
    ----------
    name : a plain file name, see `why_unsafe`.
    size : bytes.
    md5 : 32 hexadecimal digits.
    url : where it is; of no matter to what it holds.
    """

    name: str
    size: int
    md5: str
    url: str = field(compare=False)


def why_unsafe(name: str) -> str:
    """Why a listed name must not become a file name; empty where it may."""
    if not name or name in (".", ".."):
        return "not a file name"
    if "/" in name or "\\" in name or ":" in name:
        return "a path, not a file name"
    if not name.isprintable():
        return "has control characters"
    if name.startswith("."):
        return "begins with a dot"
    if name.endswith((PART, SIDECAR)):
        return "ends as this program's own files do"
    if len(name.encode(errors="replace")) > 200:
        return "longer than 200 bytes"
    return ""


def is_verified(file: Path, remote: RemoteFile) -> bool:
    """Whether the file was verified before and has not been touched since."""
    try:
        stat = file.stat()
        record = json.loads(Path(f"{file}{SIDECAR}").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return record == _record(stat, remote.md5) and stat.st_size == remote.size


def remember_verified(file: Path, md5: str) -> None:
    """Say beside the file that its bytes have this md5."""
    sidecar = Path(f"{file}{SIDECAR}")
    unfinished = Path(f"{sidecar}{PART}")
    unfinished.write_text(json.dumps(_record(file.stat(), md5)), encoding="utf-8")
    os.replace(unfinished, sidecar)


def difference(file: Path, remote: RemoteFile) -> str:
    """How a file differs from what the listing says; empty where it does not. Reads it whole."""
    size = file.stat().st_size
    if size != remote.size:
        return f"{size} bytes instead of the listing's {remote.size}"
    with file.open("rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return "" if md5 == remote.md5 else f"md5 {md5} instead of the listing's {remote.md5}"


def missing_bytes(files: Iterable[RemoteFile], folder: Path) -> int:
    """How many bytes are still to be downloaded; parts of files count as there."""
    missing = 0
    for remote in files:
        there = _size(folder / remote.name)
        if there != remote.size:
            missing += max(0, remote.size - _size(folder / f"{remote.name}{PART}"))
    return missing


def require_space(folder: Path, needed_bytes: int, spare_bytes: int) -> None:
    """Check that a folder's disk holds what is to come.

    Raises
    ------
    ConfigurationError
        With the numbers.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    free_bytes = shutil.disk_usage(place).free
    if needed_bytes and needed_bytes + spare_bytes > free_bytes:
        raise ConfigurationError(
            f"{needed_bytes / GB:.1f} GB are to be downloaded to {folder} and "
            f"{spare_bytes / GB:.1f} GB kept spare, but only {free_bytes / GB:.1f} GB are free",
            "free some space, set cohort.zenodo.folder to a larger disk, or take some slides only "
            "(cohort.zenodo.slides)",
        )


@contextmanager
def disk_errors_explained(folder: Path, name: str) -> Iterator[None]:
    """Turn errors of the disk inside the block into a `DownloadError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"{name}: no space left in {folder}",
                "free some space and run again: what is there is kept and continued",
            ) from error
        raise DownloadError(
            f"{name}: cannot be kept in {folder} ({error.strerror or error})",
            "check the folder's permissions and its disk, or set cohort.zenodo.folder",
        ) from error


def _record(stat: os.stat_result, md5: str) -> dict[str, object]:
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "md5": md5}


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
