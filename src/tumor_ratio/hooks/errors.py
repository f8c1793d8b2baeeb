"""Errors of the checks before a run, and how the command line shows any error a user can act on."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from types import TracebackType

import click
from kedro.io import DatasetError
from kedro.validation import ParameterValidationError

from tumor_ratio.atomic import SQLITE_FULL, is_full_disk
from tumor_ratio.errors import ConfigurationError, DiskFullError, TumorRatioError

FULL_TRACEBACK = "TUMOR_RATIO_TRACEBACK"
"""Environment variable: any value shows Python's traceback as well."""

_PYDANTIC_NOISE = re.compile(r" \[type=\w+, input_value=.*\]$|\n +For further information.*", re.M)

_UNREAD = re.compile(r"(?P<name>[^\s:]+): Failed while loading data.*?\n(?P<reason>.+)", re.S)
"""How Kedro says that a file of the catalog could not be read."""

FOR_USERS = (TumorRatioError, ParameterValidationError, click.ClickException)


class MissingInputsError(ConfigurationError):
    """A pipeline needs what no earlier run has made.

    Parameters
    ----------
    inputs : one line each: the dataset, and where it would be.
    pipelines : what makes them, in the order to run.
    env : the configuration environment of the run; empty for the default.
    """

    def __init__(self, inputs: Sequence[str], pipelines: Sequence[str], env: str = "") -> None:
        listing = "\n".join(f"  - {line}" for line in inputs)
        message = f"{len(inputs)} input(s) are not there yet:\n{listing}"
        if pipelines:
            option = f" --env={env}" if env else ""
            message += f"\nrun first: kedro run{option} --pipelines={','.join(pipelines)}"
        super().__init__(message)
        self.args = (list(inputs), list(pipelines), env)
        self.inputs = tuple(inputs)
        self.pipelines = tuple(pipelines)


class UnknownParametersError(ConfigurationError):
    """Configuration or `--params` name parameters that no pipeline reads."""


def show_errors_shortly() -> None:
    """From now on an error for the user ends the process with its message, not with a traceback.

    Other errors, and sessions in notebooks, keep Python's own display.
    """
    if not isinstance(sys.excepthook, _ShortDisplay):
        sys.excepthook = _ShortDisplay(sys.excepthook)
        logging.getLogger("mlflow.store.db.utils").addFilter(_without_full_disk)


def _without_full_disk(record: logging.LogRecord) -> bool:
    """Whether to show what MLflow logs: of a full disk the error itself tells, without a trace."""
    error = record.exc_info[1] if record.exc_info else None
    return not is_full_disk(error) or bool(os.environ.get(FULL_TRACEBACK))


class _ShortDisplay:
    def __init__(self, before: object) -> None:
        self._before = before

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        reason = reason_for_user(error)
        if reason is None or os.environ.get(FULL_TRACEBACK):
            self._before(kind, error, trace)  # type: ignore[operator]
        else:
            click.secho(f"Error: {reason}", fg="red", err=True)


def reason_for_user(error: BaseException) -> str | None:
    """Message of the error, or of the one that caused it, that is meant for the user; else None."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FOR_USERS):
            return _PYDANTIC_NOISE.sub("", str(cause))
        cause = cause.__cause__
    if isinstance(error, DatasetError) and (unread := _UNREAD.match(str(error))):
        reason = " ".join(unread["reason"].split())
        return f"{unread['name']} cannot be read ({reason}); remove the file and make it anew"
    if is_full_disk(error) or SQLITE_FULL in str(error):
        cause = error
        while cause is not None:  # MLflow cannot note the failure on a full disk, and fails in turn
            if isinstance(cause, DiskFullError):
                return str(cause)
            cause = cause.__cause__ or cause.__context__
        first = (str(error).strip().splitlines() or [""])[0][:200]
        return f"no space left on the disk ({first}); free some space and run again"
    return None
