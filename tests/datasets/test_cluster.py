"""The same tasks on a Dask cluster: an embedded one, and one that others have started."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import sample_steps as steps
from distributed import LocalCluster
from kedro.io import DataCatalog, DatasetError

from tumor_ratio.datasets import dask_host, dask_tasks, dask_worker, partition_folder
from tumor_ratio.datasets.cluster import check_cluster, run_tasks_on
from tumor_ratio.datasets.errors import ClusterError, SupersededError
from tumor_ratio.datasets.partition_folder import PartitionFolder
from tumor_ratio.datasets.partitions import SlidePartitions
from tumor_ratio.errors import ConfigurationError, TumorRatioError

PARQUET = {"type": "pandas.ParquetDataset"}
JSON = {"type": "json.JSONDataset"}
READY = (len, ())  # `len(name of the worker)`: nothing to check


def tables(path: Path, **options) -> SlidePartitions:
    options = {"workers": 2, "cluster": "dask", **options}
    return SlidePartitions(str(path / "squares"), PARQUET, ".parquet", **options)


def records(path: Path, **options) -> SlidePartitions:
    options = {"workers": 2, "cluster": "dask", **options}
    return SlidePartitions(str(path / "records"), JSON, ".json", **options)


@pytest.fixture(scope="module")
def threaded() -> Iterator[str]:
    """Address of a cluster whose one worker has four threads."""
    with in_this_process(n_workers=1, threads_per_worker=4) as cluster:
        yield cluster.scheduler_address


def in_this_process(**options) -> LocalCluster:
    loopback = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "protocol": "tcp://"}
    return LocalCluster(processes=False, **loopback, **options)


def wait_until(condition, limit_s: float = 30.0) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.05)


def when_written(path: Path, act) -> None:
    """Call `act(the file's text)` in a thread once the file has content."""

    def watch() -> None:
        wait_until(lambda: path.exists() and path.read_text())
        act(path.read_text())

    threading.Thread(target=watch, daemon=True).start()


def contents(folder: Path) -> dict[str, object]:
    """Every file by name; sidecars without their durations."""
    found: dict[str, object] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != ".run"):
        name = path.relative_to(folder).as_posix()
        if name.endswith(".fingerprint.json"):
            found[name] = {k: v for k, v in json.loads(path.read_text()).items() if k != "seconds"}
        else:
            found[name] = path.read_bytes()
    return found


@pytest.mark.parametrize("cluster", ["processes", "dask", "tcp://host:8786", "tls://[::1]:8786"])
def test_places_to_run_tasks(cluster):
    assert check_cluster(cluster) == cluster


@pytest.mark.parametrize("cluster", ["Dask", "", "host:8786", "tcp://host", "http://h:1", 4, None])
def test_another_value_is_one_error_with_the_choices(cluster):
    with pytest.raises(ConfigurationError, match=r"'processes'.*'dask'.*tcp://host:8786"):
        check_cluster(cluster)


def test_the_catalog_passes_a_wrong_value_on_as_an_error_for_the_user():
    config = {
        "type": "tumor_ratio.datasets.partitions.SlidePartitions",
        "path": "x",
        "dataset": JSON,
        "suffix": ".json",
        "cluster": "slurm",
    }
    with pytest.raises(DatasetError) as caught:
        DataCatalog.from_config({"squares": config})["squares"]
    assert isinstance(caught.value.__cause__, TumorRatioError)


def test_an_absent_scheduler_is_one_error_within_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_tasks, "CONNECT_S", 1.0)
    start_s = time.monotonic()
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9.*--params=cluster=processes"):
        tables(tmp_path, cluster="tcp://127.0.0.1:9").save({"s1": partial(steps.square, 1)})
    assert time.monotonic() - start_s < 10


def test_a_cluster_without_workers_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_tasks, "NO_WORKERS_S", 0.5)
    with (
        in_this_process(n_workers=0) as cluster,
        pytest.raises(ClusterError, match=r"has had no workers.*dask worker tcp://"),
    ):
        tables(tmp_path, cluster=cluster.scheduler_address).save({"s1": partial(steps.square, 1)})


def test_results_on_disk_are_those_of_the_local_pool(tmp_path):
    tasks = {f"s{n}": partial(steps.fail_when_odd, n) for n in (4, 1, 2, 0)}
    for cluster in ("processes", "dask"):
        dataset = tables(tmp_path / cluster, cluster=cluster)
        dataset.save(tasks)
        assert list(dataset.load()) == ["s4", "s2", "s0"]
    local, remote = (contents(tmp_path / cluster) for cluster in ("processes", "dask"))
    assert {"squares/.index.json", "failures/squares.csv", "squares/s4.parquet"} <= set(local)
    assert remote == local


def test_what_another_place_has_finished_is_reused(tmp_path, caplog):
    caplog.set_level("INFO", logger="tumor_ratio.datasets.partitions")
    tasks = {f"s{n}": partial(steps.square_with_mark, n, str(tmp_path)) for n in (1, 2)}
    tables(tmp_path, cluster="processes").save(tasks)
    tables(tmp_path, cluster="dask").save(tasks)
    assert sorted((tmp_path / "ran.txt").read_text().split()) == ["1", "2"]
    assert "2 reused, 0 done" in caplog.text


def test_workers_are_kept_limited_on_loopback_and_without_the_main_script(tmp_path):
    dataset = records(tmp_path)
    pids = set()
    for start in (0, 10):
        dataset.save({f"s{n}": partial(steps.environment, n) for n in range(start, start + 4)})
        found = [ref.load() for ref in dataset.load().values()]
        assert all(int(each["threads"]) >= 1 and each["main"] is None for each in found)
        pids |= {each["pid"] for each in found}
    assert len(pids) <= 2
    assert os.getpid() not in pids
    host = psutil.Process(dask_host._CURRENT[0]._process.pid)
    listening = {
        connection.laddr.ip
        for process in [host, *host.children(recursive=True)]
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_a_worker_killed_in_the_middle_costs_no_slide(tmp_path):
    pid = tmp_path / "pid"
    when_written(pid, lambda text: os.kill(int(text), signal.SIGKILL))
    tasks = {"slow": partial(steps.linger_once, str(pid))}
    dataset = tables(tmp_path)
    dataset.save({**tasks, **{f"s{n}": partial(steps.square, n) for n in range(4)}})
    assert list(dataset.load()) == ["slow", "s0", "s1", "s2", "s3"]
    assert not dataset.failures.exists()


def test_a_slide_that_kills_its_workers_is_blamed_and_the_others_go_on(tmp_path):
    dataset = tables(tmp_path)
    dataset.save({f"s{n}": partial(steps.die_when_two, n) for n in range(5)})
    assert list(dataset.load()) == ["s0", "s1", "s3", "s4"]
    (row,) = dataset.failures.read_text().splitlines()[1:]
    assert row.startswith("s2,squares,WorkerDied,")
    assert "out of memory?" in row


def test_no_process_outlives_a_killed_parent(tmp_path):
    pid_file = tmp_path / "pid"
    script = tmp_path / "run.py"  # no __main__ guard on purpose
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(steps.__file__).parent)!r})\n"
        "from functools import partial\n"
        "import sample_steps as steps\n"
        "from tumor_ratio.datasets.partitions import SlidePartitions\n"
        f"d = SlidePartitions({str(tmp_path / 'w')!r}, {JSON!r}, '.json', workers=2,\n"
        "                    cluster='dask')\n"
        f"d.save({{'s1': partial(steps.wait_forever, {str(pid_file)!r}),\n"
        "         's2': partial(steps.square, 1)})\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    wait_until(lambda: pid_file.exists() and pid_file.read_text())
    family = psutil.Process(parent.pid).children(recursive=True)
    assert int(pid_file.read_text()) in {process.pid for process in family}
    assert len(family) >= 3
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_leaving_early_ends_the_embedded_cluster(tmp_path):
    pid = tmp_path / "pid"
    tasks = {"quick": (steps.square, (1,)), "slow": (steps.wait_forever, (str(pid),))}
    outcomes = run_tasks_on("dask", tasks, 2, READY)
    assert next(outcomes).name == "quick"
    wait_until(lambda: pid.exists() and pid.read_text())
    outcomes.close()
    assert dask_host._CURRENT == []
    wait_until(lambda: not psutil.pid_exists(int(pid.read_text())))


def test_a_lost_scheduler_is_one_error(tmp_path):
    pid = tmp_path / "pid"
    when_written(pid, lambda _: dask_host._CURRENT[0]._process.kill())
    with pytest.raises(ClusterError, match="is gone in the middle of the work"):
        records(tmp_path, workers=1).save({"s1": partial(steps.wait_forever, str(pid))})
    assert dask_host._CURRENT == []


def test_a_worker_with_several_threads_takes_one_slide_at_a_time(tmp_path, threaded, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[tool.kedro]\npackage_name = "x"\n')
    (tmp_path / "note.txt").write_text("read")
    tasks = {f"s{n}": partial(steps.read_slowly, "note.txt", 0.1 * (n % 3)) for n in range(6)}
    # Let everything go at once, as another client of the same cluster could.
    monkeypatch.setattr(dask_tasks._Run, "_count_workers", lambda self: 99)
    dataset = records(tmp_path / "data", cluster=threaded, workers="auto")
    dataset.save(tasks)
    assert [ref.load()["same"] for ref in dataset.load().values()] == [True] * 6
    assert {ref.load()["here"] for ref in dataset.load().values()} == {str(tmp_path)}


def test_a_worker_that_does_not_see_the_folder_is_one_error(tmp_path, threaded, monkeypatch):
    monkeypatch.setattr(partition_folder, "SHARED_FOLDER_S", 0.3)
    monkeypatch.setattr(PartitionFolder, "prepare", lambda folder: "mark in another folder")
    with pytest.raises(ClusterError, match=r"Dask worker tcp://.* does not see .*squares; share"):
        tables(tmp_path, cluster=threaded).save({"s1": partial(steps.square, 1)})
    assert not (tmp_path / "squares/s1.parquet").exists()


def test_a_worker_with_another_version_is_one_error(tmp_path, threaded, monkeypatch):
    monkeypatch.setattr(dask_worker, "tumor_ratio", SimpleNamespace(__version__="0.0.1"))
    with pytest.raises(ClusterError, match=r"has tumor-ratio 0\.0\.1, the run has"):
        tables(tmp_path, cluster=threaded).save({"s1": partial(steps.square, 1)})


def test_a_worker_without_the_package_is_one_error(tmp_path):
    (tmp_path / "lib/tumor_ratio").mkdir(parents=True)
    (tmp_path / "lib/tumor_ratio/__init__.py").touch()
    with in_this_process(n_workers=0) as cluster:
        address = cluster.scheduler_address
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny"]
        path = os.pathsep.join([str(tmp_path / "lib"), *sys.path])
        worker = subprocess.Popen(
            [*command, "--nthreads=1", "--no-dashboard", f"--local-directory={tmp_path}"],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
        )
        try:
            with pytest.raises(ClusterError, match=r"cannot take tasks.*install tumor-ratio"):
                tables(tmp_path, cluster=address).save({"s1": partial(steps.square, 1)})
        finally:
            worker.kill()
            worker.wait()


def test_no_more_tasks_at_a_time_than_workers_says(tmp_path, threaded):
    tasks = {f"s{n}": (steps.square, (n,)) for n in range(5)}
    assert len(list(run_tasks_on(threaded, tasks, 1, READY))) == 5
    assert [o.value for o in run_tasks_on(threaded, {"s": (os.getpid, ())}, 0, READY)] == [
        os.getpid()
    ]


def test_a_task_left_behind_by_a_dead_run_does_not_overwrite_the_next_ones_result(tmp_path):
    folder = PartitionFolder(tmp_path / "f", ".json", JSON, tmp_path)
    folder.write("s1", partial(steps.record, "s1"), "new")
    before = contents(tmp_path)
    mark = folder.prepare()
    with pytest.raises(SupersededError, match="another run"):
        folder.write("s1", partial(steps.begin_anew, folder), "old", mark)
    assert contents(tmp_path) == before
    folder.check_shared((tmp_path / "f/.run").read_text(), "this process")
