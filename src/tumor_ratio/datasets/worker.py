"""What runs inside a worker process: receive a task, carry it out, say what came of it."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tumor_ratio.errors import SlideError, TumorRatioError

PARENT_POLL_S = 1.0
IDLE_EXIT_S = 300.0
"""A worker that nobody asks for so long ends, and gives its memory back."""


@dataclass(frozen=True)
class Outcome:
    """What came of one task.

    Parameters
    ----------
    name : the task's name.
    value : what its function returned; None where it failed.
    seconds : how long it took.
    error : name of the exception's class; empty where all went well.
    message : what went wrong and what to do about it, one line.
    details : the traceback where the exception is not one of the user's to act on.
    """

    name: str
    value: Any = None
    seconds: float = 0.0
    error: str = ""
    message: str = ""
    details: str = ""

    @property
    def failed(self) -> bool:
        """Whether the task ended in an error."""
        return bool(self.error)

    @classmethod
    def of_dead_worker(cls, name: str, reason: str) -> Outcome:
        """The outcome of a task over which worker processes die."""
        return cls(
            name,
            error="WorkerDied",
            message=f"the worker process died twice over this slide ({reason}), out of memory?; "
            "give the step fewer `workers`, or the machine more memory",
        )


def carry_out(name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Outcome:
    """Call the function; whatever it raises becomes a failed outcome."""
    start_s = time.monotonic()
    try:
        value = function(*args)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _failure(name, error, time.monotonic() - start_s)
    return Outcome(name, value, time.monotonic() - start_s)


def _failure(name: str, error: BaseException, seconds: float) -> Outcome:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TumorRatioError):
        cause = cause.__cause__
    if isinstance(cause, TumorRatioError):
        text = TumorRatioError.__str__(cause) if isinstance(cause, SlideError) else str(cause)
        return Outcome(name, None, seconds, type(cause).__name__, one_line(text))
    text = one_line(str(error)) or "no message"
    details = "".join(traceback.format_exception(error))
    return Outcome(name, None, seconds, type(error).__name__, text, details)


def one_line(text: str, limit: int = 500) -> str:
    """The text without line breaks, at most `limit` characters."""
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else joined[: limit - 3] + "..."


def worker_main(pipe: Connection, parent: int) -> None:
    """Serve tasks until the parent closes the pipe, falls silent or dies.

    Parameters
    ----------
    pipe : tasks come in as pickled (name, function, arguments), outcomes go back.
    parent : the process to end with.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format="%(processName)s: %(message)s")
    try:
        while pipe.poll(IDLE_EXIT_S):
            pipe.send(serve(pipe.recv_bytes()))
    except (EOFError, OSError):
        return


def serve(message: bytes) -> Outcome:
    """Carry out a pickled (name, function, arguments); what cannot be unpickled is a failure."""
    try:
        name, function, args = pickle.loads(message)  # our own parent wrote it
    except Exception as error:
        return _failure("", error, 0.0)
    return carry_out(name, function, args)


def end_with(parent: int) -> None:
    """End this process, in the middle of whatever it does, once its parent is gone."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_S)
    os._exit(1)
