"""One file from a server to the disk: resumed, verified, and under its own name only when whole."""

from __future__ import annotations

import json
import os
import re
import threading
from io import FileIO
from pathlib import Path

import requests
from tqdm import tqdm

from tumor_ratio.cohort.one_writer import only_writer
from tumor_ratio.cohort.patient_http import (
    DownloadParams,
    Patience,
    TryAgainError,
    pieces_of,
    reply_to,
    shown,
)
from tumor_ratio.cohort.verified_files import (
    PART,
    RemoteFile,
    difference,
    disk_errors_explained,
    is_verified,
    remember_verified,
    why_unsafe,
)
from tumor_ratio.errors import DownloadError

CHANCES = 2
"""A file that arrives whole and wrong is fetched once more."""
GAIN = 0.01
"""Share of a file by which a try must bring it further to count as a gain."""


class _Bar(tqdm):
    """A progress bar without tqdm's lock between processes, which a killed worker would leave."""


_Bar.set_lock(threading.RLock())


class _WrongFileError(Exception):
    """The server offers another file than the listing describes."""


def fetch_file(remote: RemoteFile, folder: Path, params: DownloadParams, title: str = "") -> Path:
    """Bring a file to `folder`, or find it there.

    Parameters
    ----------
    remote : the file as listed.
    folder : where it goes; made where there is none. Until the file is verified it is called
        `<name>.part` there, and a later call continues it.
    params : how patient to be.
    title : name of the progress bar; by default the file's name.

    Returns
    -------
    Path
        The verified file. A file verified before is believed as long as its size and time of
        change are the same.

    Raises
    ------
    DownloadError
        If it cannot be had, is not what the listing says, or does not fit on the disk.
    """
    reason = why_unsafe(remote.name)
    if reason:
        raise DownloadError(f"the listing names a file {remote.name!r}: {reason}", "leave it out")
    target = folder / remote.name
    with disk_errors_explained(folder, remote.name):
        folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder, remote.name):
            if not _is_there(target, remote):
                _download_whole(remote, target, params, title or remote.name)
    return target


def _is_there(target: Path, remote: RemoteFile) -> bool:
    if is_verified(target, remote):
        return True
    if not target.is_file():
        return False
    if difference(target, remote):
        target.unlink()
        return False
    remember_verified(target, remote.md5)
    return True


def _download_whole(remote: RemoteFile, target: Path, params: DownloadParams, title: str) -> None:
    part = Path(f"{target}{PART}")
    problem = ""
    for _ in range(CHANCES):
        try:
            _continue(remote, part, params, title)
            problem = difference(part, remote)
        except _WrongFileError as error:
            problem = str(error)
        if not problem:
            os.replace(part, target)
            _etag_file(part).unlink(missing_ok=True)
            remember_verified(target, remote.md5)
            return
        _forget(part)
    raise DownloadError(
        f"{remote.name} from {shown(remote.url)}: {problem}, {CHANCES} times in a row",
        "the server's file or its listing is damaged: run again later, or leave the slide out "
        "(cohort.zenodo.slides)",
    )


def _continue(remote: RemoteFile, part: Path, params: DownloadParams, title: str) -> None:
    """Request the file, again and again if need be, until all of it has arrived."""
    _forget_other(part, remote)
    patience = Patience(params, remote.name)
    farthest = _size(part)
    # `disable=None`: no bar where the output is a file; the step's own progress is the line above.
    with _Bar(
        total=remote.size,
        desc=title,
        unit="B",
        unit_scale=True,
        disable=None,
        leave=False,
        position=1,
    ) as bar:
        while not part.exists() or _size(part) < remote.size:
            try:
                _receive(remote, part, params, bar)
            except TryAgainError as trouble:
                if _size(part) >= farthest + max(1.0, GAIN * remote.size):
                    farthest = _size(part)
                    patience.renew()
                patience.bear(trouble)


def _receive(remote: RemoteFile, part: Path, params: DownloadParams, bar: _Bar) -> None:
    """Send one request for what is missing, and append what comes."""
    start = _size(part)
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and (etag := _known_of(part).get("etag")):
        headers["If-Range"] = etag
    with reply_to(remote.url, headers, params) as reply:
        if reply.status_code == 416:
            _forget(part)
            raise TryAgainError("the server cannot resume")
        start = _start_of(reply, start, part)
        offered = _offered_bytes(reply, start)
        if offered not in (None, remote.size):
            raise _WrongFileError(
                f"the server offers {offered} bytes instead of the listing's {remote.size}"
            )
        with part.open("ab" if start else "wb", buffering=0) as file:
            if not start:
                _keep_etag(part, remote, reply)
            _show(bar, start)
            for piece in pieces_of(reply):
                start += len(piece)
                if start > remote.size:
                    raise _WrongFileError(f"more bytes than the listing's {remote.size}")
                _write(file, piece)
                _show(bar, start)
    if start < remote.size:
        raise TryAgainError(f"the connection ended at byte {start} of {remote.size}")


def _start_of(reply: requests.Response, asked: int, part: Path) -> int:
    """The byte at which the reply's body begins: 0 where the server does not resume."""
    if reply.status_code != 206:
        return 0
    match = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != asked:
        _forget(part)
        raise TryAgainError("the server sent another part than was asked for")
    return asked


def _offered_bytes(reply: requests.Response, start: int) -> int | None:
    """Size of the whole file as the reply's headers say; None where they do not."""
    total = reply.headers.get("Content-Range", "").rpartition("/")[2]
    if reply.status_code == 206 and total.isdecimal():
        return int(total)
    length = reply.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else None


def _write(file: FileIO, piece: bytes) -> None:
    left = memoryview(piece)
    while left:  # an unbuffered file may take less than it is given
        left = left[file.write(left) :]


def _show(bar: _Bar, done: int) -> None:
    bar.update(done - bar.n)


def _etag_file(part: Path) -> Path:
    return Path(f"{part}.json")


def _keep_etag(part: Path, remote: RemoteFile, reply: requests.Response) -> None:
    """Remember what the part is a part of, so that another file is never appended to it."""
    etag = reply.headers.get("ETag", "")
    strong = "" if etag.startswith("W/") else etag
    _etag_file(part).write_text(json.dumps({"etag": strong, "md5": remote.md5}), encoding="utf-8")


def _known_of(part: Path) -> dict[str, str]:
    try:
        record = json.loads(_etag_file(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # cut off while it was written: resume without it, the md5 will tell
    return record if isinstance(record, dict) else {}


def _forget_other(part: Path, remote: RemoteFile) -> None:
    """Remove a part of what used to have this name."""
    if _known_of(part).get("md5", remote.md5) != remote.md5:
        _forget(part)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
