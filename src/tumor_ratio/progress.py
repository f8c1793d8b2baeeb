"""How far the step is that runs: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import atexit
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

SHOWN_AFTER_S = 5.0
"""A shorter step shows no bar."""
REDRAWN_EVERY_S = 0.5
LOG_EVERY_S = 30.0
LOG_WIDTH = 120
BAR_CELLS = 24
CELLS = "#-"  # any terminal has them

logger = logging.getLogger(__name__)


@dataclass
class Count:
    """Things of a step that are done, of how many.

    Parameters
    ----------
    total, done : things in all, and those done before this process took over.
    """

    total: int
    done: int = 0
    told: str = ""
    _start_s: float = field(default_factory=lambda: time.monotonic())
    _first: int = 0

    def __post_init__(self) -> None:
        self._first = self.done

    def left(self) -> str:
        """How long the rest takes at the pace so far; empty before the first thing is done."""
        own = self.done - self._first
        if own < 1:
            return ""
        seconds = (time.monotonic() - self._start_s) / own * (self.total - self.done)
        return f", about {clock(seconds)} left"


class StepProgress:
    """What is shown of a step while it runs.

    On a terminal a line with the time, and a bar where the step counts what it does, from
    `SHOWN_AFTER_S` on, and cleared at the end. Elsewhere a line in the log every `LOG_EVERY_S` of
    a step that counts.

    Parameters
    ----------
    title : of the step.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._count: Count | None = None
        self._start_s = self._logged_s = time.monotonic()
        self._bar = _Bar(self.line, sys.stdout) if sys.stdout.isatty() else None

    @contextmanager
    def counting(self, total: int, done: int = 0) -> Iterator[Advance]:
        """Count things inside the block; the yielded callable is called after each."""
        self._count = Count(total, done)
        try:
            yield Advance(self, self._count)
        finally:
            self._count = None

    def advanced(self) -> None:
        """Log how far the step is, if it was not logged lately and no bar shows it."""
        now_s, count = time.monotonic(), self._count
        if self._bar is None and count and count.done < count.total:
            if now_s - self._logged_s < LOG_EVERY_S:
                return
            self._logged_s = now_s
            told = f" ({count.told})" if count.told else ""
            share = f"{100 * count.done // count.total} %"
            said = f"{self._title}: {share}{count.left()}{told}"
            logger.info("%s", said if len(said) <= LOG_WIDTH else said[: LOG_WIDTH - 3] + "...")

    def line(self, width: int) -> str:
        """The step on one line of at most `width` characters."""
        time_taken, count = clock(time.monotonic() - self._start_s), self._count
        if count is None:
            return f"{self._title}  {time_taken}"[:width]
        full = BAR_CELLS * count.done // max(count.total, 1)
        parts = [
            self._title,
            CELLS[0] * full + CELLS[1] * (BAR_CELLS - full),
            f"{count.done} of {count.total}",
            time_taken + count.left(),
            count.told,
        ]
        return "  ".join(part for part in parts if part)[:width]

    def close(self) -> None:
        """Show it no longer."""
        if self._bar:
            self._bar.close()


class Advance:
    """Call after each thing that is done."""

    def __init__(self, step: StepProgress, count: Count) -> None:
        self._step, self._count = step, count

    def __call__(self) -> None:
        """Count one more."""
        self._count.done += 1
        self._step.advanced()

    def tell(self, text: str) -> None:
        """Show a few words beside the count from now on."""
        self._count.told = text


class _Shown:
    """The step that the process shows, if it shows one."""

    step: StepProgress | None = None


def begin_step(title: str) -> None:
    """Show a step; what counts inside it from now on is shown with it."""
    end_step()
    _Shown.step = StepProgress(title)


def end_step() -> None:
    """Show no step any longer."""
    step, _Shown.step = _Shown.step, None
    if step:
        step.close()


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show how many things are done: in the step that is shown, or as a step of this title.

    Parameters
    ----------
    title : what is going on.
    total, done : number of things to do, and of those that had been done before.

    Yields
    ------
    Advance
        To be called after each thing.
    """
    step = _Shown.step or StepProgress(title)
    try:
        with step.counting(total, done) as advance:
            yield advance
    finally:
        if step is not _Shown.step:
            step.close()


def clock(seconds: float) -> str:
    """A duration: 0:07, 12:34, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Bar:
    """A line of a terminal that a thread writes anew, and that makes way for what is logged."""

    def __init__(self, line: Callable[[int], str], stream: TextIO) -> None:
        self._line, self._stream = line, stream
        self._lock, self._ended, self._drawn = threading.RLock(), threading.Event(), False
        for handler in _handlers():
            handler.addFilter(self._make_way)
        atexit.register(self.close)
        threading.Thread(target=self._redraw, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self._clear()
        for handler in _handlers():
            handler.removeFilter(self._make_way)
        atexit.unregister(self.close)

    def _redraw(self) -> None:
        wait_s = SHOWN_AFTER_S
        while not self._ended.wait(wait_s):
            wait_s = REDRAWN_EVERY_S
            text = self._line(shutil.get_terminal_size().columns - 1)
            with self._lock:
                if not self._ended.is_set():
                    self._stream.write(f"\r{text}\x1b[K")
                    self._stream.flush()
                    self._drawn = True

    def _clear(self) -> None:
        with self._lock:
            if self._drawn:
                self._stream.write("\r\x1b[K")
                self._stream.flush()
                self._drawn = False

    def _make_way(self, record: logging.LogRecord) -> bool:
        self._clear()
        return True


def _handlers() -> list[logging.Handler]:
    named = [each for each in logging.root.manager.loggerDict.values() if hasattr(each, "handlers")]
    return list(
        dict.fromkeys(handler for each in (logging.root, *named) for handler in each.handlers)
    )
