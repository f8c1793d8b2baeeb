import errno
import logging
import pickle
import sqlite3
import sys

import click
import pytest
from kedro.io import DatasetError
from kedro.validation import ParameterValidationError

from tumor_ratio.errors import DiskFullError, SlideError, TumorRatioError
from tumor_ratio.hooks.errors import (
    FULL_TRACEBACK,
    MissingInputsError,
    reason_for_user,
    show_errors_shortly,
)


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TumorRatioError("no", "do"), "no; do"),
        (chained(DatasetError("Failed while saving"), SlideError("s1", "bad")), "slide s1: bad"),
        (ParameterValidationError("unknown parameter"), "unknown parameter"),
        (
            ParameterValidationError(
                "- Parameter 'x': 1 error\n  unknown name [type=x, input_value={'a': [1]}]\n"
                "    For further information visit https://errors.pydantic.dev/2/v/value_error"
            ),
            "- Parameter 'x': 1 error\n  unknown name",
        ),
        (click.ClickException("no such command"), "no such command"),
        (
            DatasetError(
                "net.predictions: Failed while loading data from dataset Parquet(filepath=a:b).\n"
                "Could not open 'x':\n file is 4 bytes"
            ),
            "net.predictions cannot be read (Could not open 'x': file is 4 bytes); remove the file "
            "and make it anew",
        ),
        (DatasetError("net.model: Failed while saving data to dataset Model(x=1).\nbug"), None),
        (ValueError("a bug"), None),
    ],
)
def test_the_reason_for_the_user_is_found_in_the_chain(error, reason):
    assert reason_for_user(error) == reason


def test_short_display_for_users_full_display_for_bugs(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: shown.append(args[1]))
    show_errors_shortly()
    show_errors_shortly()  # installs itself once
    sys.excepthook(TumorRatioError, TumorRatioError("no slides", "bring some"), None)
    assert shown == []
    assert capsys.readouterr().err == "Error: no slides; bring some\n"
    bug = ValueError("bug")
    sys.excepthook(ValueError, bug, None)
    assert shown == [bug]
    monkeypatch.setenv(FULL_TRACEBACK, "1")
    sys.excepthook(TumorRatioError, TumorRatioError("x"), None)
    assert len(shown) == 2


def test_missing_inputs_survive_pickling():
    error = MissingInputsError(["labels"], ["ground_truth"])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/mlflow"),
        RuntimeError("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT ...]"),
    ],
)
def test_a_full_disk_is_told_in_one_line_wherever_it_is_met(error):
    told = reason_for_user(error)
    assert "no space left on the disk" in told
    assert "free some space and run again" in told
    assert "\n" not in told


def test_mlflows_own_trouble_with_a_full_disk_does_not_hide_the_first(caplog):
    first = DiskFullError("no space left to write a.csv in /data", "free some space")
    second = RuntimeError("(sqlite3.OperationalError) database or disk is full\n[SQL: UPDATE")
    second.__cause__ = sqlite3.OperationalError("database or disk is full")
    second.__cause__.__context__ = first
    assert reason_for_user(second) == str(first)
    show_errors_shortly()
    logger = logging.getLogger("mlflow.store.db.utils")
    for error in (second, RuntimeError("a bug")):
        try:
            raise error
        except RuntimeError:
            logger.error("SQLAlchemy database error", exc_info=True)
    assert [record.exc_info[1].args for record in caplog.records] == [("a bug",)]
