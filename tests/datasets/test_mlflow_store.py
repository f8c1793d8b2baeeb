"""A tracking store is made whole; one that does not serve is known within seconds, in one line."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections import UserDict
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from mlflow.store.tracking import sqlalchemy_store
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import OperationalError

from tumor_ratio.datasets import mlflow_store
from tumor_ratio.datasets.mlflow_store import SQLITE, StoreError, check_store, make_store
from tumor_ratio.errors import DiskFullError
from tumor_ratio.hooks.tracking import OWN_STORES, TrackingHook


def test_the_store_is_made_whole_once(tmp_path) -> None:
    uri = f"sqlite:///{tmp_path}/deep/mlflow.db"
    make_store(uri)
    assert os.listdir(tmp_path / "deep") == ["mlflow.db"]
    client = MlflowClient(uri)
    experiment = client.create_experiment("one", artifact_location=str(tmp_path / "a"))
    make_store(uri)
    assert MlflowClient(uri).get_experiment(experiment).name == "one"


def test_a_full_disk_leaves_no_half_store(tmp_path, monkeypatch) -> None:
    def fill(uri: str, artifacts: str) -> None:
        for name in (uri, f"{uri}-journal"):
            with open(name.removeprefix("sqlite:///"), "w") as file:
                file.write("half")
        cause = sqlite3.OperationalError("database or disk is full")
        raise OperationalError("DROP TABLE assessments", None, cause) from cause

    monkeypatch.setattr(sqlalchemy_store, "SqlAlchemyStore", fill)
    with pytest.raises(DiskFullError, match=r"no space left to write mlflow.db in .*; free some"):
        make_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert os.listdir(tmp_path) == []


def test_a_store_that_another_run_made_meanwhile_stays(tmp_path, monkeypatch) -> None:
    class Slow(sqlalchemy_store.SqlAlchemyStore):
        def __init__(self, uri: str, artifacts: str) -> None:
            super().__init__(uri, artifacts)
            (tmp_path / "mlflow.db").write_text("theirs")

    monkeypatch.setattr(sqlalchemy_store, "SqlAlchemyStore", Slow)
    make_store(f"sqlite:///{tmp_path}/mlflow.db?timeout=60")
    assert os.listdir(tmp_path) == ["mlflow.db"]
    assert (tmp_path / "mlflow.db").read_text() == "theirs"


@pytest.mark.parametrize("uri", ["", "mlruns", "http://127.0.0.1:1", "sqlite:///:memory:"])
def test_other_stores_are_not_ours_to_make(tmp_path, monkeypatch, uri) -> None:
    monkeypatch.chdir(tmp_path)
    make_store(uri)
    assert os.listdir(tmp_path) == []


def refusal(uri: str) -> str:
    with pytest.raises(StoreError) as caught:
        check_store(uri)
    assert "\n" not in str(caught.value)
    assert "--params=mlflow.required=false" in caught.value.remedy
    return str(caught.value)


@pytest.fixture
def store(tmp_path):
    def make(version: str | None = None):
        path = tmp_path / "my store.db"
        with sqlite3.connect(path) as opened:
            if version:
                opened.execute("create table alembic_version (version_num text)")
                opened.execute("insert into alembic_version values (?)", [version])
        return f"{SQLITE}{path}"

    return make


@pytest.fixture
def environment(monkeypatch):
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    yield
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        os.environ.pop(name, None)


def test_a_new_store_serves_and_so_does_one_that_is_still_to_be_made(tmp_path):
    uri = f"{SQLITE}{tmp_path / 'a' / 'mlflow.db'}"
    check_store(uri)
    assert not (tmp_path / "a").exists()
    make_store(uri)
    check_store(uri)


@pytest.mark.parametrize("uri", ["", "sqlite:///:memory:", "file:///nowhere", "postgresql://x/y"])
def test_of_other_stores_nothing_is_said(uri):
    check_store(uri)


def test_a_damaged_file(tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"no database at all" * 300)
    said = refusal(f"{SQLITE}{path}")
    assert f"MLflow's store {path} is damaged (file is not a database)" in said
    assert "move it away" in said
    assert path.read_bytes().startswith(b"no database")


def test_a_store_of_another_mlflow(store):
    newest, known = mlflow_store._revisions()
    assert newest in known
    check_store(store(newest))


def test_an_older_store_says_how_to_go_on(store):
    newest, known = mlflow_store._revisions()
    uri = store(min(known - {newest}))
    said = refusal(uri)
    assert "made by an older version" in said
    assert f"mlflow db upgrade {uri}" in said


def test_a_newer_store_says_how_to_go_on(store):
    assert "made by a newer version" in refusal(store("ffffffffffff"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="may write everywhere")
def test_a_place_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "is read-only" in refusal(f"{SQLITE}{tmp_path / 'mlflow.db'}")
    finally:
        tmp_path.chmod(0o700)


def test_a_server_that_is_not_there(environment):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = refusal(f"http://127.0.0.1:{port}")
    assert f"tracking server http://127.0.0.1:{port} does not answer" in said
    assert "mlflow_tracking_uri" in said


def test_a_server_that_is_silent(monkeypatch, environment):
    monkeypatch.setattr(mlflow_store, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in refusal(f"http://127.0.0.1:{silent.getsockname()[1]}/")


@pytest.mark.parametrize("status", [200, 401, 404])
def test_a_server_that_answers_serves(status, environment):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        check_store(f"http://127.0.0.1:{server.server_port}")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"


class Loader(UserDict):
    config_patterns: dict = {}  # noqa: RUF012 - never written to


def context_with(tmp_path, required) -> SimpleNamespace:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 300)
    server = {"mlflow_tracking_uri": f"{SQLITE}{tmp_path / 'mlflow.db'}", "credentials": None}
    return SimpleNamespace(
        config_loader=Loader(mlflow={"server": server, "ui": {"port": "5000"}}),
        params={} if required is None else {"mlflow": {"required": required}},
        project_path=tmp_path,
    )


@pytest.mark.parametrize("required", [None, True])
def test_a_run_ends_where_its_store_does_not_serve(tmp_path, required):
    with pytest.raises(StoreError):
        TrackingHook().after_context_created(context_with(tmp_path, required))


def test_a_run_that_needs_no_store_has_one_of_its_own(tmp_path, caplog):
    context = context_with(tmp_path, required=False)
    TrackingHook().after_context_created(context)
    (own,) = (tmp_path / OWN_STORES).glob("*.db")
    config = context.config_loader["mlflow"]
    assert config["server"] == {"mlflow_tracking_uri": f"{SQLITE}{own}", "credentials": None}
    assert config["ui"] == {"port": "5000"}
    assert "is damaged" in caplog.text
    assert f"This run is kept in {SQLITE}{own} instead" in caplog.text
    check_store(f"{SQLITE}{own}")
