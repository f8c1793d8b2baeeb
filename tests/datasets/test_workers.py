import os
import signal
import sys
import time
from pathlib import Path

import pytest
import sample_steps as steps

from tumor_ratio.datasets.worker import carry_out, one_line
from tumor_ratio.datasets.worker_start import THREAD_LIMITS, start_environment
from tumor_ratio.datasets.workers import run_tasks, worker_count
from tumor_ratio.errors import SlideError, TumorRatioError
from tumor_ratio.processes import available_cores


def test_workers_are_never_more_than_tasks():
    assert worker_count("auto", 1000) == available_cores()
    assert worker_count("auto", 1) == 1
    assert worker_count(8, 3) == 3
    assert worker_count(0, 3) == 0
    assert worker_count("auto", 0) == 0


def test_a_new_process_gets_its_share_of_threads_and_no_main_script(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("MKL_NUM_THREADS", "64")
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    main = sys.modules["__main__"]
    with start_environment(4):
        assert os.environ["OMP_NUM_THREADS"] == "2"  # the user's own, smaller limit
        assert os.environ["MKL_NUM_THREADS"] == "4"
        assert os.environ["TF_NUM_INTRAOP_THREADS"] == "4"
        assert not hasattr(sys.modules["__main__"], "__file__")
    assert sys.modules["__main__"] is main
    assert os.environ["MKL_NUM_THREADS"] == "64"
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ
    assert "OMP_NUM_THREADS" in THREAD_LIMITS


def fail(error):
    raise error


def caused() -> Exception:
    error = RuntimeError("Failed while saving")
    error.__cause__ = SlideError("s1", "blank", "scan again")
    return error


@pytest.mark.parametrize(
    ("error", "kind", "message", "is_bug"),
    [
        (SlideError("s1", "blank", "scan again"), "SlideError", "blank; scan again", False),
        (TumorRatioError("a\nb"), "TumorRatioError", "a b", False),
        (caused(), "SlideError", "blank; scan again", False),
        (ValueError(), "ValueError", "no message", True),
        (SystemExit(3), "SystemExit", "3", True),
    ],
)
def test_whatever_a_task_raises_is_one_line(error, kind, message, is_bug):
    outcome = carry_out("s1", fail, (error,))
    assert (outcome.error, outcome.message, bool(outcome.details)) == (kind, message, is_bug)
    assert outcome.failed


def test_one_line_is_short():
    assert one_line("a\n  b") == "a b"
    assert len(one_line("x" * 1000)) == 500


def test_what_cannot_travel_is_refused_before_anything_runs(monkeypatch):
    with pytest.raises(TypeError, match="s1: the task cannot be sent to a worker"):
        list(run_tasks({"s1": (steps.square, (lambda: None,))}, 1))
    monkeypatch.setattr(steps.square, "__module__", "__main__")
    with pytest.raises(TypeError, match="defined in a script or notebook"):
        list(run_tasks({"s1": (steps.square, (1,))}, 1))


def test_main_process_when_zero():
    tasks = {"s1": (os.getpid, ()), "s2": (fail, (ValueError("no"),))}
    first, second = run_tasks(tasks, 0)
    assert first.value == os.getpid()
    assert second.message == "no"


def test_nothing_to_do_is_no_work():
    assert list(run_tasks({}, "auto")) == []


def test_a_task_that_a_worker_cannot_import_fails_alone(monkeypatch, tmp_path):
    (tmp_path / "here_only.py").write_text("def f():\n    return 1\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        import here_only
    (tmp_path / "here_only.py").unlink()
    (outcome,) = run_tasks({"s1": (here_only.f, ())}, 1)
    assert outcome.name == "s1"
    assert outcome.error == "ModuleNotFoundError"


def test_leaving_early_ends_the_workers(tmp_path):
    pid = tmp_path / "pid"
    tasks = {
        "quick": (steps.square, (1,)),
        "slow": (steps.wait_forever, (str(pid),)),
    }
    outcomes = run_tasks(tasks, 2)
    assert next(outcomes).name == "quick"
    outcomes.close()
    if pid.exists() and pid.read_text():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


def test_a_worker_that_ends_while_idle_leaves_no_zombie():
    (outcome,) = run_tasks({"s1": (os.getpid, ())}, 1)
    os.kill(outcome.value, signal.SIGKILL)
    end_s = time.monotonic() + 10
    while (Path("/proc") / str(outcome.value)).exists():
        assert time.monotonic() < end_s, "still there, if only as a zombie"
        time.sleep(0.02)
    (again,) = run_tasks({"s1": (os.getpid, ())}, 1)
    assert again.value != outcome.value
