import io
import logging
import sys
import time

import pytest

from tumor_ratio import progress as module
from tumor_ratio.progress import begin_step, clock, end_step, progress


@pytest.fixture
def lines(caplog):
    """What the logger of the module writes, wherever its configuration sends it."""
    caplog.set_level("INFO", logger=module.logger.name)
    module.logger.addHandler(caplog.handler)
    yield lambda: list(dict.fromkeys(record.getMessage() for record in caplog.records))
    module.logger.removeHandler(caplog.handler)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal whose bars do not wait; call it inside the test, as pytest has its own stdout."""
    monkeypatch.setattr(module, "SHOWN_AFTER_S", 0.02)
    monkeypatch.setattr(module, "REDRAWN_EVERY_S", 0.02)

    def opened() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    yield opened
    end_step()


def wait_for(stream, text):
    deadline = time.monotonic() + 10
    while text not in stream.getvalue():
        assert time.monotonic() < deadline, stream.getvalue()
        time.sleep(0.01)


def on_screen(text: str) -> str:
    """What is left on the screen of lines that are written over."""
    return "\n".join(line.split("\r\x1b[K")[-1].split("\r")[-1] for line in text.split("\n"))


def test_without_a_terminal_there_is_a_line_now_and_then(lines, monkeypatch):
    clock_s = iter([0.0, 0.0, 10.0, 40.0, 40.0, 50.0, 120.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock_s))
    with progress("segment_ihc", 4) as advance:
        advance.tell("epoch 1 of 2")
        for _ in range(4):
            advance()
    assert lines() == ["segment_ihc: 50 %, about 0:40 left (epoch 1 of 2)"]


def test_a_line_in_the_log_is_cut_before_it_wraps(lines, monkeypatch):
    clock_s = iter([0.0, 0.0, 60.0, 60.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock_s))
    with progress("training", 10, done=8) as advance:
        advance.tell("val_mae 0.1 " * 20)
        advance()
    (line,) = lines()
    assert len(line) == 120
    assert line.startswith("training: 90 %, about 1:00 left (val_mae 0.1 val")
    assert line.endswith("...")


def test_what_was_done_before_says_nothing_of_the_pace(lines, monkeypatch):
    clock_s = iter([0.0, 0.0, 60.0, 60.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock_s))
    with progress("training", 10, done=8) as advance:
        advance()
    assert lines() == ["training: 90 %, about 1:00 left"]


def test_a_long_step_has_a_bar_on_a_terminal_that_is_gone_at_the_end(terminal):
    screen = terminal()
    begin_step("[1/2] nuclei")
    with progress("segment_ihc", 4) as advance:
        advance()
        advance()
        wait_for(screen, "2 of 4")
    shown = screen.getvalue()
    assert "[1/2] nuclei  " + "#" * 12 + "-" * 12 + "  2 of 4  0:00" in shown
    assert "segment_ihc" not in shown  # the step has a title
    end_step()
    assert on_screen(screen.getvalue()) == ""


def test_a_step_that_counts_nothing_shows_its_time(terminal):
    screen = terminal()
    begin_step("[1/2] report")
    wait_for(screen, "[1/2] report  0:00")


def test_a_short_step_shows_nothing(terminal, monkeypatch):
    screen = terminal()
    monkeypatch.setattr(module, "SHOWN_AFTER_S", 30.0)
    with progress("quick", 2) as advance:
        advance()
    assert screen.getvalue() == ""


def test_what_is_logged_is_not_written_into_the_bar(terminal):
    screen = terminal()
    handler = logging.StreamHandler(screen)
    other = logging.getLogger("tumor_ratio.tests.bar")
    other.addHandler(handler)
    begin_step("[1/2] nuclei")
    wait_for(screen, "[1/2] nuclei")
    other.warning("slide s3 failed")
    wait_for(screen, "slide s3 failed")
    end_step()
    other.removeHandler(handler)
    assert on_screen(screen.getvalue()) == "slide s3 failed\n"
    assert not handler.filters


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")]
)
def test_durations(seconds, shown):
    assert clock(seconds) == shown
