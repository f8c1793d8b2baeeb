"""One process at a time writes a download, even where a killed run's worker lives on a moment."""

from __future__ import annotations

import errno
import fcntl
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tumor_ratio.errors import DownloadError

LOCK_FILE = ".lock"
WAIT_S = 20.0
POLL_S = 0.1


@contextmanager
def only_writer(folder: Path, name: str, wait_s: float = WAIT_S) -> Iterator[None]:
    """Keep other processes from writing `name` in `folder`; the system frees it when we die.

    Parameters
    ----------
    folder : an existing folder; one hidden file in it serves all names, a byte for each.
    name : what is about to be written.
    wait_s : how long another writer is waited for.

    Raises
    ------
    DownloadError
        If another process is still at it after that time.
    """
    deadline_s = time.monotonic() + wait_s
    with (folder / LOCK_FILE).open("a+b") as handle:
        while not _locked(handle.fileno(), zlib.crc32(name.encode())):
            if time.monotonic() > deadline_s:
                raise DownloadError(
                    f"{name}: another run is downloading it to {folder}",
                    "let that run end, then run again",
                )
            time.sleep(POLL_S)
        yield


def _locked(handle: int, byte: int) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        # a file system without locks must not keep anybody from downloading
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True
