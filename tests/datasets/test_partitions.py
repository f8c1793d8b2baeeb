import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import sample_steps as steps
from kedro.io import DataCatalog, DatasetError

from tumor_ratio.atomic import temporary_name
from tumor_ratio.datasets.partitions import SlidePartitions, StepFailedError

PARQUET = {"type": "pandas.ParquetDataset"}
JSON = {"type": "json.JSONDataset"}


def tables(path: Path, **options) -> SlidePartitions:
    return SlidePartitions(str(path / "squares"), PARQUET, ".parquet", **{"workers": 2, **options})


def records(path: Path, **options) -> SlidePartitions:
    return SlidePartitions(str(path / "records"), JSON, ".json", **{"workers": 2, **options})


def marked(path: Path, numbers) -> dict[str, partial]:
    return {f"s{n}": partial(steps.square_with_mark, n, str(path)) for n in numbers}


def runs(path: Path) -> list[str]:
    trace = path / "ran.txt"
    return trace.read_text().split() if trace.exists() else []


def test_results_come_back_in_the_cohorts_order(tmp_path):
    dataset = tables(tmp_path)
    dataset.save({f"s{n}": partial(steps.square, n) for n in (3, 1, 2)})
    refs = dataset.load()
    assert list(refs) == ["s3", "s1", "s2"]
    assert [ref.load()["square"].item() for ref in refs.values()] == [9, 1, 4]


def test_finished_slides_are_reused_and_counted(tmp_path, caplog):
    caplog.set_level("INFO", logger="tumor_ratio.datasets.partitions")
    tables(tmp_path, workers=0).save(marked(tmp_path, (1, 2)))
    dataset = tables(tmp_path, workers=0)
    dataset.save(marked(tmp_path, (1, 2, 3)))
    assert runs(tmp_path) == ["1", "2", "3"]
    assert "squares: 3 slides: 2 reused, 1 done, 0 failed" in caplog.text
    assert dataset.told == "3 slides, 2 reused"
    dataset.save(marked(tmp_path, (3,)))
    assert dataset.told == "1 slide, reused"


def test_a_changed_argument_or_version_runs_again(tmp_path, monkeypatch):
    dataset = tables(tmp_path, workers=0)
    dataset.save(marked(tmp_path, (1,)))
    dataset.save({"s1": partial(steps.square_with_mark, 2, str(tmp_path))})
    monkeypatch.setattr(steps.square_with_mark, "step_version", 2)
    dataset.save({"s1": partial(steps.square_with_mark, 2, str(tmp_path))})
    assert runs(tmp_path) == ["1", "2", "2"]
    assert dataset.load()["s1"].load()["square"].item() == 4


def test_a_removed_or_truncated_result_runs_again(tmp_path):
    dataset = tables(tmp_path, workers=0)
    dataset.save(marked(tmp_path, (1, 2)))
    (tmp_path / "squares/s1.parquet").unlink()
    (tmp_path / "squares/s2.parquet").write_bytes(b"PAR1")
    dataset.save(marked(tmp_path, (1, 2)))
    assert runs(tmp_path) == ["1", "2", "1", "2"]


def test_slides_that_left_the_cohort_are_not_loaded_but_kept(tmp_path):
    dataset = tables(tmp_path, workers=0)
    dataset.save(marked(tmp_path, (1, 2)))
    dataset.save(marked(tmp_path, (2,)))
    assert list(dataset.load()) == ["s2"]
    dataset.save(marked(tmp_path, (1, 2)))
    assert runs(tmp_path) == ["1", "2"]


def test_unfinished_files_are_never_loaded_and_are_swept(tmp_path):
    folder = tmp_path / "squares"
    folder.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    own = temporary_name(folder / "s1.parquet").name
    left = folder / own.replace(str(os.getpid()), str(dead.pid), 1)
    left.write_bytes(b"half")
    dataset = tables(tmp_path, workers=0)
    assert not dataset.exists()
    dataset.save(marked(tmp_path, (1,)))
    assert not left.exists()
    assert list(dataset.load()) == ["s1"]


def test_nothing_is_there_until_a_save_has_ended(tmp_path):
    dataset = tables(tmp_path, workers=0, pipeline="ground_truth")
    with pytest.raises(DatasetError, match="kedro run --pipelines=ground_truth"):
        dataset.load()
    dataset.save(marked(tmp_path, (1,)))
    assert dataset.exists()
    with pytest.raises(StepFailedError):
        dataset.save({"s1": partial(steps.fail_when_odd, 1)})
    assert not dataset.exists()
    dataset.save({})
    assert dataset.exists()
    assert dataset.load() == {}


def test_a_failed_slide_is_a_row_and_the_others_go_on(tmp_path):
    dataset = tables(tmp_path, step="measure", failures=str(tmp_path / "failed"))
    dataset.save({f"s{n}": partial(steps.fail_when_odd, n) for n in (0, 1, 2)})
    assert list(dataset.load()) == ["s0", "s2"]
    lines = (tmp_path / "failed/measure.csv").read_text().splitlines()
    assert lines[1:] == [
        "s1,measure,SlideError,no pixel size in the file; set he_mpp in the manifest"
    ]
    assert dataset.failures == tmp_path / "failed/measure.csv"


def test_a_failure_is_retried_and_its_row_goes_when_it_succeeds(tmp_path):
    late = tmp_path / "late"
    tasks = {"s0": partial(steps.square, 0), "s1": partial(steps.fail_unless, str(late))}
    dataset = tables(tmp_path, workers=0)
    dataset.save(tasks)
    row = (tmp_path / "failures/squares.csv").read_text().splitlines()[1]
    assert row == "s1,squares,ValueError,two lines"
    late.touch()
    dataset.save(tasks)
    assert list(dataset.load()) == ["s0", "s1"]
    assert not (tmp_path / "failures/squares.csv").exists()


def test_too_many_failures_stop_the_run_after_all_slides(tmp_path):
    dataset = tables(tmp_path, workers=0, allowed_failures=0.4)
    with pytest.raises(StepFailedError, match=r"2 of 4 slides failed.*(?s:.)*slide s1: no pixel"):
        dataset.save({f"s{n}": partial(steps.fail_when_odd, n) for n in range(4)})
    assert (tmp_path / "squares/s2.parquet").exists()


def test_all_slides_failing_always_stops(tmp_path):
    dataset = tables(tmp_path, workers=0, allowed_failures=1.0)
    with pytest.raises(StepFailedError, match="1 of 1 slides failed"):
        dataset.save({"s1": partial(steps.fail_when_odd, 1)})


def test_a_killed_worker_costs_its_slide_only(tmp_path):
    dataset = tables(tmp_path)
    dataset.save({f"s{n}": partial(steps.die_when_two, n) for n in range(5)})
    assert list(dataset.load()) == ["s0", "s1", "s3", "s4"]
    row = (tmp_path / "failures/squares.csv").read_text().splitlines()[1]
    assert row.startswith("s2,squares,WorkerDied,")
    assert "killed by signal 9" in row
    assert "out of memory?" in row


def test_a_slide_whose_worker_died_by_chance_is_finished(tmp_path):
    dataset = tables(tmp_path, workers=1)
    dataset.save({"s1": partial(steps.die_once, str(tmp_path / "died"))})
    assert list(dataset.load()) == ["s1"]


def test_workers_are_spawned_limited_reused_and_do_not_import_the_main_script(tmp_path):
    dataset = records(tmp_path, workers=1)
    dataset.save({"s1": partial(steps.environment, 1)})
    first = dataset.load()["s1"].load()
    dataset.save({"s1": partial(steps.environment, 2)})
    second = dataset.load()["s1"].load()
    assert first["pid"] == second["pid"] != os.getpid()
    assert int(first["threads"]) >= 1
    assert first["main"] is None


def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "run.py"  # no __main__ guard on purpose
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(steps.__file__).parent)!r})\n"
        "from functools import partial\n"
        "import sample_steps as steps\n"
        "from tumor_ratio.datasets.partitions import SlidePartitions\n"
        f"d = SlidePartitions({str(tmp_path / 'w')!r}, {JSON!r}, '.json', workers=1)\n"
        f"d.save({{'s1': partial(steps.wait_forever, {str(tmp_path / 'pid')!r})}})\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    pid_file = tmp_path / "pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text())
    worker = int(pid_file.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not running(worker))


def wait_until(condition, limit_s: float = 30.0) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.05)


def running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    return "State:\tZ" not in status


def test_a_killed_run_is_continued(tmp_path):
    tasks = marked(tmp_path, (1, 2, 3))
    dataset = tables(tmp_path, workers=0)
    dataset.save({name: tasks[name] for name in ("s1", "s2")})
    (tmp_path / "squares/.index.json").unlink()  # as if killed before the end
    (tmp_path / "squares/s2.parquet.fingerprint.json").unlink()  # ... and in between
    dataset.save(tasks)
    assert runs(tmp_path) == ["1", "2", "2", "3"]


def test_produced_files_must_still_be_there(tmp_path):
    dataset = records(tmp_path, workers=0)
    tasks = {"s1": partial(steps.produce, str(tmp_path))}
    dataset.save(tasks)
    before = (tmp_path / "made.bin").stat().st_mtime_ns
    dataset.save(tasks)
    assert (tmp_path / "made.bin").stat().st_mtime_ns == before
    (tmp_path / "made.bin").unlink()
    dataset.save(tasks)
    assert (tmp_path / "made.bin").read_bytes() == b"12345"


def test_references_travel_and_depend_on_content(tmp_path):
    squares, totals = tables(tmp_path, workers=0), records(tmp_path, workers=1)
    squares.save({"s1": partial(steps.square, 3)})
    totals.save({"s1": partial(steps.total_of, squares.load()["s1"])})
    sidecar = tmp_path / "records/s1.json.fingerprint.json"
    before = sidecar.stat().st_mtime_ns
    squares.save({"s1": partial(steps.square, number=3)})  # done again, same content
    totals.save({"s1": partial(steps.total_of, squares.load()["s1"])})
    assert sidecar.stat().st_mtime_ns == before
    squares.save({"s1": partial(steps.square, 4)})
    totals.save({"s1": partial(steps.total_of, squares.load()["s1"])})
    assert totals.load()["s1"].load() == {"total": 16}


def test_any_slide_name_makes_a_file_inside_the_folder(tmp_path):
    dataset = records(tmp_path, workers=0)
    names = ["../up", ".index", "a/b", "Ki-67 (1)", "ä"]
    dataset.save({name: partial(steps.record, name) for name in names})
    assert {ref.load()["slide_id"] for ref in dataset.load().values()} == set(names)
    assert all(ref.path.parent == tmp_path / "records" for ref in dataset.load().values())


@pytest.mark.parametrize("workers", [0, 1])
def test_relative_paths_start_from_the_project_wherever_one_stands(tmp_path, monkeypatch, workers):
    (tmp_path / "pyproject.toml").write_text('[tool.kedro]\npackage_name = "x"\n')
    (tmp_path / "note.txt").write_text("read")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    dataset = records(tmp_path / "data", workers=workers, failures="data/failures")
    dataset.save({"s1": partial(steps.here, "note.txt")})
    assert dataset.load()["s1"].load() == {"here": str(tmp_path), "there": "read"}
    assert dataset.failures == tmp_path / "data/failures/records.csv"
    assert Path.cwd() == tmp_path / "elsewhere"


def test_schema_is_checked_before_a_result_is_written(tmp_path):
    dataset = tables(tmp_path, workers=0, schema="tumor_ratio.schemas.Regions")
    with pytest.raises(StepFailedError, match="region_id"):
        dataset.save({"s1": partial(steps.square, 1)})
    assert not (tmp_path / "squares/s1.parquet").exists()


def test_tasks_that_workers_could_not_find_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"mark it with @step"):
        tables(tmp_path).save({"s1": partial(len, [])})
    with pytest.raises(DatasetError, match=r"a task is a functools.partial"):
        tables(tmp_path).save({"s1": lambda: None})


def test_options_are_checked():
    with pytest.raises(ValueError, match="'auto' or a number"):
        SlidePartitions("x", JSON, ".json", workers="many")
    with pytest.raises(ValueError, match="a share"):
        SlidePartitions("x", JSON, ".json", allowed_failures=2)


def test_in_a_catalog_with_a_preview_for_viz(tmp_path):
    config = {
        "type": "tumor_ratio.datasets.partitions.SlidePartitions",
        "path": str(tmp_path / "squares"),
        "dataset": PARQUET,
        "suffix": ".parquet",
        "workers": 0,
        "metadata": {"kedro-viz": {"layer": "raw"}},
    }
    catalog = DataCatalog.from_config({"squares": config})
    assert not catalog.exists("squares")
    assert catalog["squares"].preview()["data"] == []
    catalog.save("squares", {f"s{n}": partial(steps.fail_when_odd, n) for n in range(2)})
    assert catalog.exists("squares")
    assert list(catalog.load("squares")) == ["s0"]
    preview = catalog["squares"].preview()
    assert [row[:2] for row in preview["data"]] == [
        ["s0", "finished"],
        ["s1", "no pixel size in the file; set he_mpp in the manifest"],
    ]
    json.dumps(preview)
    assert "SlidePartitions" in repr(catalog["squares"])
