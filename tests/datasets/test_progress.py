import sys

from tumor_ratio.datasets import progress as module
from tumor_ratio.datasets.progress import progress


def test_without_a_terminal_there_is_a_line_now_and_then(caplog, monkeypatch):
    caplog.set_level("INFO")
    clock = iter([0.0, 10.0, 40.0, 50.0, 120.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress("segment_ihc", 4) as advance:
        for _ in range(4):
            advance()
    assert [record.getMessage() for record in caplog.records] == [
        "segment_ihc: 2 of 4, about 1 min left"
    ]


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("segment_ihc", 2) as advance:
        advance()
        advance()
    assert capsys.readouterr().out == ""
