import os
import sqlite3

import pytest
from mlflow.store.tracking import sqlalchemy_store
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import OperationalError

from tumor_ratio.datasets.mlflow_store import make_store
from tumor_ratio.errors import DiskFullError


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
