"""One file from a misbehaving server: nothing twice, nothing wrong, nothing half."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import os
import random
import time
from email.utils import format_datetime
from io import FileIO
from pathlib import Path

import pytest

from tests.zenodo_server import Handler, Repository, answers, drops_after, running, sends
from tumor_ratio.cohort import downloads, one_writer, patient_http
from tumor_ratio.cohort.downloads import fetch_file
from tumor_ratio.cohort.patient_http import DownloadParams
from tumor_ratio.cohort.verified_files import RemoteFile, is_verified
from tumor_ratio.errors import DownloadError

NAME = "s1_HE.tif"
DATA = random.Random(5).randbytes(300_000)
QUICK = DownloadParams(attempts=3, backoff_s=0.01, timeout_s=5)


@pytest.fixture
def server():
    with running(Repository(files={NAME: DATA})) as repository:
        yield repository


@pytest.fixture
def remote(server) -> RemoteFile:
    entry = server.entry(NAME)
    return RemoteFile(NAME, len(DATA), hashlib.md5(DATA).hexdigest(), entry["links"]["self"])


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != one_writer.LOCK_FILE}


def whole(folder: Path) -> bool:
    return (folder / NAME).read_bytes() == DATA and files_in(folder) == {
        NAME,
        f"{NAME}.verified.json",
    }


def test_a_file_arrives_whole_and_is_not_fetched_again(server, remote, tmp_path, monkeypatch):
    assert fetch_file(remote, tmp_path / "new", QUICK).read_bytes() == DATA
    assert whole(tmp_path / "new")
    monkeypatch.setattr(downloads, "difference", lambda *_: pytest.fail("hashed again"))
    fetch_file(remote, tmp_path / "new", QUICK)
    assert server.asked_for(NAME) == [""]


def test_dropped_connections_resume_at_the_very_byte(server, remote, tmp_path):
    server.fail(NAME, drops_after(70_001), drops_after(0), drops_after(100_000))
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.served[NAME] == len(DATA)
    assert server.asked_for(NAME) == ["", "bytes=70001-", "bytes=70001-", "bytes=170001-"]
    assert all(condition for _, _, condition in server.requests[1:])


def test_without_etag_it_resumes_as_well(server, remote, tmp_path):
    server.etags = False
    server.fail(NAME, drops_after(1000))
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.served[NAME] == len(DATA)
    assert server.requests[1][2] == ""


def test_a_server_that_ignores_range_means_starting_over(server, remote, tmp_path):
    server.ranges = False
    server.fail(NAME, drops_after(100_000), drops_after(200_000))
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.served[NAME] == 300_000 + len(DATA)


def test_a_server_that_cannot_resume_at_all_means_starting_over(server, remote, tmp_path):
    server.fail(NAME, drops_after(1000), answers(416))
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.asked_for(NAME) == ["", "bytes=1000-", ""]


@pytest.mark.parametrize("n_bytes", [0, 120_000])
def test_a_body_without_a_length_is_continued_too(server, remote, tmp_path, n_bytes):
    def unsized(handler: Handler, data: bytes) -> bool:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data[:n_bytes])
        return True

    server.fail(NAME, unsized)
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.asked_for(NAME) == ["", f"bytes={n_bytes}-" if n_bytes else ""]


def test_another_part_than_asked_for_is_not_appended(server, remote, tmp_path):
    def shifted(handler: Handler, data: bytes) -> bool:
        handler.send_part(NAME, data, 500)
        return True

    server.fail(NAME, drops_after(1000), shifted)
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)


def test_a_server_that_never_gets_further_is_given_up(server, remote, tmp_path):
    server.ranges = False
    server.fail(NAME, *[drops_after(100_000)] * 20)
    with pytest.raises(DownloadError, match=r"dropped .*at the last of 3 tries; check"):
        fetch_file(remote, tmp_path, QUICK)
    assert len(server.requests) == 3
    assert not (tmp_path / NAME).exists()


def test_what_was_there_counts_after_giving_up(server, remote, tmp_path):
    server.fail(NAME, drops_after(50_000), *[answers(500)] * 3)
    with pytest.raises(DownloadError, match="HTTP 500"):
        fetch_file(remote, tmp_path, QUICK)
    assert (tmp_path / f"{NAME}.part").stat().st_size == 50_000
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.served[NAME] == len(DATA)


@pytest.mark.parametrize("n_bytes", [1, 150_000, len(DATA) - 1, len(DATA)])
def test_interrupted_at_any_byte_nothing_comes_twice(
    server, remote, tmp_path, monkeypatch, n_bytes
):
    class Killed(BaseException):
        pass

    left = n_bytes

    def write_until_killed(file: FileIO, piece: bytes) -> None:
        nonlocal left
        file.write(piece[:left])
        left -= min(left, len(piece))
        if left == 0:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_write", write_until_killed)
        with pytest.raises(Killed):
            fetch_file(remote, tmp_path, QUICK)
    assert not (tmp_path / NAME).exists()
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.asked_for(NAME)[1:] == ([f"bytes={n_bytes}-"] if n_bytes < len(DATA) else [])


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again(server, remote, tmp_path, status):
    server.fail(NAME, answers(status), answers(status))
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)


def test_retry_after_is_honoured(server, remote, tmp_path, monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(patient_http.time, "sleep", slept.append)
    date = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90))
    server.fail(NAME, answers(429, Retry_After="7"), answers(503, Retry_After=date))
    fetch_file(remote, tmp_path, QUICK)
    assert slept[0] == 7
    assert 80 < slept[1] <= 90


def test_too_long_a_wait_ends_it(server, remote, tmp_path):
    server.fail(NAME, answers(429, Retry_After="7200"))
    with pytest.raises(DownloadError, match=r"HTTP 429; the server asks to wait 7200 s; run again"):
        fetch_file(remote, tmp_path, QUICK)


def test_backoff_doubles_up_to_a_limit(server, remote, tmp_path, monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(patient_http.time, "sleep", slept.append)
    server.fail(NAME, *[answers(500)] * 4)
    params = DownloadParams(attempts=5, backoff_s=2, longest_wait_s=5)
    fetch_file(remote, tmp_path, params)
    assert slept == [2, 4, 5, 5]


@pytest.mark.parametrize(("status", "remedy"), [(404, "record_id"), (403, "not open")])
def test_what_will_not_pass_is_not_tried_again(server, remote, tmp_path, status, remedy):
    server.fail(NAME, answers(status))
    with pytest.raises(DownloadError, match=rf"HTTP {status}; .*{remedy}"):
        fetch_file(remote, tmp_path, QUICK)
    assert len(server.requests) == 1


def test_a_wrong_byte_costs_one_more_download(server, remote, tmp_path):
    wrong = DATA[:1000] + bytes([DATA[1000] ^ 1]) + DATA[1001:]
    server.fail(NAME, sends(wrong))
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.asked_for(NAME) == ["", ""]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (DATA[:-1] + b"?", "md5 .* instead of .*"),
        (DATA[:-1], "offers 299999 bytes instead of the listing's 300000"),
        (DATA + b"?", "offers 300001 bytes instead of the listing's 300000"),
    ],
)
def test_a_wrong_file_is_kept_nowhere(server, remote, tmp_path, body, reason):
    server.fail(NAME, sends(body), sends(body), sends(body))
    with pytest.raises(DownloadError, match=rf"{NAME} .*{reason}, 2 times in a row; .*run again"):
        fetch_file(remote, tmp_path, QUICK)
    assert files_in(tmp_path) == set()
    assert len(server.requests) == 2


def test_a_part_of_another_version_is_not_continued(server, remote, tmp_path):
    server.fail(NAME, drops_after(1000), *[answers(500)] * 3)
    with pytest.raises(DownloadError):
        fetch_file(remote, tmp_path, QUICK)
    server.files[NAME] = newer = DATA[::-1]
    fetch_file(
        RemoteFile(NAME, len(newer), hashlib.md5(newer).hexdigest(), remote.url), tmp_path, QUICK
    )
    assert (tmp_path / NAME).read_bytes() == newer
    assert server.asked_for(NAME)[-1] == ""


def test_a_file_brought_by_hand_is_verified_not_fetched(server, remote, tmp_path):
    (tmp_path / NAME).write_bytes(DATA)
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.requests == []


def test_a_touched_file_is_hashed_again_and_a_changed_one_fetched(server, remote, tmp_path):
    file = fetch_file(remote, tmp_path, QUICK)
    os.utime(file, (1, 1))
    assert not is_verified(file, remote)
    fetch_file(remote, tmp_path, QUICK)
    assert is_verified(file, remote)
    assert len(server.requests) == 1
    file.write_bytes(DATA[:-1] + b"?")
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert len(server.requests) == 2


def test_an_empty_file_is_a_file(server, tmp_path):
    server.files["empty_HE.tif"] = b""
    url = server.entry("empty_HE.tif")["links"]["self"]
    remote = RemoteFile("empty_HE.tif", 0, hashlib.md5(b"").hexdigest(), url)
    assert fetch_file(remote, tmp_path, QUICK).read_bytes() == b""


@pytest.mark.parametrize("name", ["../up.tif", "/abs.tif", "a\\b.tif", "", "..", "c:x", "x.part"])
def test_unsafe_names_never_reach_the_disk(server, tmp_path, name):
    with pytest.raises(DownloadError, match="the listing names a file"):
        fetch_file(RemoteFile(name, 1, "0" * 32, server.base_url), tmp_path / "in", QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "s1.tif"])
def test_only_web_addresses_are_asked(tmp_path, url):
    with pytest.raises(DownloadError, match="no http or https address"):
        fetch_file(RemoteFile(NAME, 1, "0" * 32, url), tmp_path, QUICK)


def test_tokens_are_not_shown(server, remote, tmp_path, caplog):
    server.fail(NAME, answers(500), answers(404))
    secret = remote.url.replace("http://", "http://me:secret@") + "?access_token=secret"
    with caplog.at_level("DEBUG", "tumor_ratio"), pytest.raises(DownloadError) as caught:
        fetch_file(RemoteFile(NAME, len(DATA), remote.md5, secret), tmp_path, QUICK)
    assert "secret" not in str(caught.value) + caplog.text


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_while_writing_keeps_the_part(server, remote, tmp_path, monkeypatch):
    def write_some(file: FileIO, piece: bytes) -> None:
        file.write(piece[:100])
        no_space()

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_write", write_some)
        with pytest.raises(DownloadError, match=rf"{NAME}: no space left in .*; free some space"):
            fetch_file(remote, tmp_path, QUICK)
    assert not (tmp_path / NAME).exists()
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.asked_for(NAME) == ["", "bytes=100-"]


@pytest.mark.parametrize("call", [1, 2])
def test_a_full_disk_at_a_rename_keeps_nothing_half(server, remote, tmp_path, monkeypatch, call):
    calls = 0

    def replace(source: str, target: str) -> None:
        nonlocal calls
        calls += 1
        no_space() if calls == call else os.rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)  # 1: the file, 2: its sidecar
        with pytest.raises(DownloadError, match="no space left"):
            fetch_file(remote, tmp_path, QUICK)
    assert not is_verified(tmp_path / NAME, remote)
    fetch_file(remote, tmp_path, QUICK)
    assert (tmp_path / NAME).read_bytes() == DATA
    assert is_verified(tmp_path / NAME, remote)
    assert len(server.requests) == 1


@pytest.mark.parametrize("which", [".part.json", ".verified.json.part"])
def test_a_full_disk_at_a_sidecar(server, remote, tmp_path, monkeypatch, which):
    write_text = Path.write_text

    def write(path: Path, text: str, **options: str) -> int:
        if path.name == f"{NAME}{which}":
            write_text(path, text[:5], **options)
            no_space()
        return write_text(path, text, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", write)
        with pytest.raises(DownloadError, match="no space left"):
            fetch_file(remote, tmp_path, QUICK)
    assert not is_verified(tmp_path / NAME, remote)
    fetch_file(remote, tmp_path, QUICK)
    assert whole(tmp_path)
    assert server.served[NAME] <= len(DATA) or which == ".part.json"


def test_two_writers_take_turns(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, time; from pathlib import Path\n"
        "from tumor_ratio.cohort.one_writer import only_writer\n"
        "with only_writer(Path(sys.argv[1]), 'a'):\n    print('in', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        with one_writer.only_writer(tmp_path, "b"):
            pass
        with (
            pytest.raises(DownloadError, match="another run is downloading it"),
            one_writer.only_writer(tmp_path, "a", wait_s=0.2),
        ):
            pytest.fail("both write")
        other.kill()
        start_s = time.monotonic()
        with one_writer.only_writer(tmp_path, "a"):
            assert time.monotonic() - start_s < 5
