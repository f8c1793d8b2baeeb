"""A disk that is full from the n-th thing on that is written below a folder.

Counted are files opened for writing, pieces written to them, folders made and names given: what
the programs of this project do through Python, in this process. The piece that no longer fits is
written half.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class FullDisk:
    """Counts what is written below `folder`; from the n-th thing on there is no room.

    Parameters
    ----------
    folder : other places have room.
    n : the first thing that fails, from 1.
    lasting : whether those after it fail, too.
    """

    def __init__(self, folder: Path, n: int, lasting: bool = True) -> None:
        self.folder = str(folder)
        self.n = n
        self.lasting = lasting
        self.count = 0

    @property
    def met(self) -> bool:
        """Whether anything has failed."""
        return self.count >= self.n

    def holds(self, place: Any) -> bool:
        return not isinstance(place, int) and os.path.abspath(os.fspath(place)).startswith(
            self.folder
        )

    def take(self, place: Any) -> None:
        self.count += 1
        if self.count == self.n or (self.lasting and self.count > self.n):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))


class _Raw(io.FileIO):
    """An unbuffered file on such a disk."""

    def __init__(self, disk: FullDisk, place: Any, mode: str) -> None:
        disk.take(place)
        super().__init__(place, mode)
        self._disk, self._place = disk, place

    def write(self, data: Any) -> int:
        try:
            self._disk.take(self._place)
        except OSError:
            super().write(memoryview(data).cast("B")[: len(data) // 2])
            raise
        return super().write(data)


@contextmanager
def full_disk(disk: FullDisk) -> Iterator[None]:
    """Let the disk be there for the block's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "open", _opened_on(disk, builtins.open))
        patch.setattr(io, "open", builtins.open)
        patch.setattr(os, "mkdir", _counted(disk, os.mkdir, which=0))
        patch.setattr(os, "replace", _counted(disk, os.replace, which=1))
        patch.setattr(os, "posix_fallocate", _fallocated(disk, os.posix_fallocate))
        yield


def _opened_on(disk: FullDisk, real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        if not set(mode) & set("wax+") or not disk.holds(file):
            return real(file, mode, buffering, encoding, errors, newline, *rest, **options)
        raw = _Raw(disk, file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    return opened


def _counted(disk: FullDisk, real: Callable[..., Any], which: int) -> Callable[..., Any]:
    """The call, which needs room for its argument number `which`."""

    def counted(*arguments: Any, **options: Any) -> Any:
        if disk.holds(arguments[which]):
            disk.take(arguments[which])
        return real(*arguments, **options)

    return counted


def _fallocated(disk: FullDisk, real: Callable[..., Any]) -> Callable[..., Any]:
    def fallocated(descriptor: int, offset: int, length: int) -> Any:
        place = os.readlink(f"/proc/self/fd/{descriptor}")
        if disk.holds(place):
            disk.take(place)
        return real(descriptor, offset, length)

    return fallocated
