"""How far a step is, and how long it will still take."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG_EVERY_S = 30.0

logger = logging.getLogger(__name__)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show progress on stderr: a bar with the time left, or a log line now and then in a file.

    Parameters
    ----------
    title : what is going on.
    total : number of things to do.

    Yields
    ------
    callable
        To be called after each thing.
    """
    if not sys.stderr.isatty():
        yield _LogLines(title, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


class _LogLines:
    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._start_s = self._last_s = time.monotonic()

    def __call__(self) -> None:
        self._done += 1
        now_s = time.monotonic()
        if now_s - self._last_s < LOG_EVERY_S or self._done == self._total:
            return
        self._last_s = now_s
        left_s = (now_s - self._start_s) / self._done * (self._total - self._done)
        logger.info(
            "%s: %d of %d, about %.0f min left", self._title, self._done, self._total, left_s / 60
        )
