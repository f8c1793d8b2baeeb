import logging
import math
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
from kedro.framework.hooks import _create_hook_manager, hook_impl
from kedro.framework.hooks.manager import _register_hooks
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from tumor_ratio.datasets import tracking
from tumor_ratio.datasets.mlflow_runs import (
    APPROACH,
    HOST,
    PARENT,
    PROCESS,
    PROJECT,
    TRAINED_IN,
    RunTree,
    process_mark,
)
from tumor_ratio.hooks import tracking as tracking_hook
from tumor_ratio.hooks.tracking import TrackingHook
from tumor_ratio.params import Params
from tumor_ratio.reporting.stamps import RESEARCH_USE
from tumor_ratio.steps import step


class Training(Params):
    epochs: int = 2
    rate: float = 0.5


@step(name="train", version=1)
def train(params: Training, *, folder: Path, on_epoch) -> dict:
    for epoch in range(params.epochs):
        on_epoch({"loss": params.rate / (epoch + 1), "undefined": math.nan}, epoch)
    return {"metrics": {"validation_mae": params.rate}}


def train_node(params: Training):
    return partial(train, params)


def scores(first, second) -> dict:
    return {"tiny": {"test_mae": 0.1}, "other": {"test_mae": 0.2}, "median": {"test_mae": 0.3}}


def report() -> str:
    return "<html>report</html>"


def failing(model):
    raise RuntimeError("a bug")


def train_pipeline(name: str) -> Pipeline:
    return Pipeline(
        [Node(train_node, f"params:{name}.training", f"{name}.model", tags=[f"approach.{name}"])]
    )


REGRESSION = train_pipeline("tiny") + train_pipeline("other")
EVALUATION = Pipeline(
    [Node(scores, ["tiny.model", "other.model"], "run_metrics"), Node(report, None, "report")]
)


class StandIn:
    """Does what kedro-mlflow does with runs and parameters."""

    @hook_impl
    def before_pipeline_run(self):
        mlflow.start_run(run_name="kedro run", nested=False)

    @hook_impl
    def before_node_run(self, inputs):
        for name, value in inputs.items():
            if name.startswith("params:"):
                mlflow.log_param(name.removeprefix("params:"), str(value))

    @hook_impl
    def after_pipeline_run(self):
        mlflow.end_run()

    @hook_impl
    def on_pipeline_error(self):
        mlflow.end_run("FAILED")


@pytest.fixture
def project(tmp_path, client, monkeypatch):
    """Runs pipelines the way a Kedro session does."""
    monkeypatch.setattr(tracking_hook, "registry", {"a": REGRESSION, "b": EVALUATION})
    config = {
        f"{name}.model": {
            "type": "tumor_ratio.datasets.trained_model.TrainedModelDataset",
            "path": str(tmp_path / name),
        }
        for name in ("tiny", "other")
    }
    config["run_metrics"] = {
        "type": "json.JSONDataset",
        "filepath": str(tmp_path / "metrics.json"),
        "metadata": {"mlflow": "approach_metrics"},
    }
    config["report"] = {
        "type": "text.TextDataset",
        "filepath": str(tmp_path / "report.html"),
        "versioned": True,
        "metadata": {"mlflow": "artifact"},
    }

    def run(pipeline: Pipeline, *hooks, **training) -> str:
        catalog = DataCatalog.from_config(config)
        for name in ("tiny", "other"):
            catalog[f"params:{name}.training"] = MemoryDataset(Training(**training))
        manager = _create_hook_manager()
        _register_hooks(manager, hooks or [StandIn(), TrackingHook()])
        common = {
            "run_params": {"project_path": str(tmp_path)},
            "pipeline": pipeline,
            "catalog": catalog,
        }
        manager.hook.before_pipeline_run(**common)
        active = mlflow.active_run()
        try:
            SequentialRunner().run(pipeline, catalog, manager)
        except Exception as error:
            manager.hook.on_pipeline_error(error=error, **common)
            raise
        manager.hook.after_pipeline_run(run_result={}, **common)
        return active.info.run_id if active else ""

    return run


def children(client, parent: str) -> dict:
    experiment = client.get_experiment_by_name("tests").experiment_id
    runs = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'")
    return {run.data.tags[APPROACH]: run for run in runs}


def losses(client, run) -> list:
    history = client.get_metric_history(run.info.run_id, "loss")
    return [(point.step, point.value) for point in history]


def test_one_child_an_approach_with_equal_names(project, client):
    parent = project(REGRESSION + EVALUATION)
    runs = children(client, parent)
    assert set(runs) == {"tiny", "other", "median"}
    for name in ("tiny", "other"):
        run = runs[name]
        assert run.info.run_name == name
        assert run.info.status == "FINISHED"
        assert run.data.params == {
            "approach": name,
            "training.epochs": "2",
            "training.rate": "0.5",
        }
        assert run.data.metrics.keys() == {"loss", "validation_mae", "test_mae"}
        assert losses(client, run) == [(0, 0.5), (1, 0.25)]
        assert run.data.tags["research_use"] == RESEARCH_USE
        assert TRAINED_IN not in run.data.tags
    assert runs["median"].data.metrics == {"test_mae": 0.3}
    assert [f.path for f in client.list_artifacts(runs["tiny"].info.run_id, "model")] == [
        "model/card.json",
        "model/history.json",
    ]


def test_the_parent_has_flat_parameters_once_and_the_report(project, client):
    parent = client.get_run(project(REGRESSION + EVALUATION))
    assert parent.data.params.keys() == {"tiny.training", "other.training"}
    assert parent.data.params["tiny.training"] == "{'epochs': 2, 'rate': 0.5}"  # plain by then
    assert [f.path for f in client.list_artifacts(parent.info.run_id)] == ["report.html"]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {}
    assert PARENT not in parent.data.tags


def test_a_reused_training_is_in_the_next_run_with_its_history(project, client):
    first = children(client, project(REGRESSION))
    second = children(client, project(REGRESSION))
    assert losses(client, second["tiny"]) == losses(client, first["tiny"])
    assert second["tiny"].data.metrics == first["tiny"].data.metrics
    assert second["tiny"].data.tags[TRAINED_IN] == first["tiny"].info.run_id


def test_evaluation_alone_takes_over_what_training_knew(project, client):
    trained = children(client, project(REGRESSION))
    parent = project(EVALUATION)
    runs = children(client, parent)
    assert runs["tiny"].data.tags[TRAINED_IN] == trained["tiny"].info.run_id
    assert runs["tiny"].data.params == trained["tiny"].data.params
    assert runs["tiny"].data.metrics == {
        **trained["tiny"].data.metrics,
        "test_mae": 0.1,
    }
    assert losses(client, runs["tiny"]) == losses(client, trained["tiny"])
    assert TRAINED_IN not in runs["median"].data.tags


def test_a_run_of_several_pipelines_is_named_in_their_order(client, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking_hook, "registry", {"first": REGRESSION, "second": EVALUATION})
    for requested, name in ((["second", "first"], "first+second"), (["second"], "as named")):
        hook = TrackingHook()
        run = mlflow.start_run(run_name="as named")
        asked = {"project_path": str(tmp_path), "pipeline_names": requested}
        hook.before_pipeline_run(run_params=asked, catalog=DataCatalog())
        assert client.get_run(run.info.run_id).info.run_name == name
        hook._interrupted()


def test_an_interrupted_process_leaves_killed_runs(client, tmp_path):
    hook = TrackingHook()
    parent = mlflow.start_run()
    hook.before_pipeline_run(run_params={"project_path": str(tmp_path)}, catalog=DataCatalog())
    node = Node(report, None, "x", tags=["approach.tiny"])
    hook.before_node_run(node=node, inputs={})
    child = tracking.current_run_id()
    hook._interrupted()
    assert client.get_run(child).info.status == "KILLED"
    assert client.get_run(parent.info.run_id).info.status == "KILLED"
    assert mlflow.active_run() is None


def test_a_failed_run_has_failed_children(project, client):
    bug = Pipeline([Node(failing, "tiny.model", None)])
    with pytest.raises(RuntimeError, match="a bug"):
        project(REGRESSION + bug)
    experiment = client.get_experiment_by_name("tests").experiment_id
    assert {run.info.status for run in client.search_runs([experiment])} == {"FAILED"}
    assert mlflow.active_run() is None
    assert tracking.current_run_id() == ""


def test_killed_runs_are_marked_and_living_ones_are_not(project, client, tmp_path):
    experiment = client.get_experiment_by_name("tests").experiment_id
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def running(process: str, host: str = socket.gethostname(), folder: Path = tmp_path) -> str:
        tags = {HOST: host, PROCESS: process, PROJECT: str(folder)}
        return client.create_run(experiment, tags=tags).info.run_id

    expected = {
        running(f"{dead.pid}/1"): "KILLED",
        running(f"{alive.pid}/1"): "KILLED",  # another process had this number
        running(process_mark(alive.pid)): "RUNNING",
        running(f"{dead.pid}/1", host="elsewhere"): "RUNNING",
        running(f"{dead.pid}/1", folder=tmp_path / "other"): "RUNNING",
        running(process_mark(os.getpid())): "KILLED",  # interrupted in this process
    }
    project(EVALUATION.only_nodes_with_outputs("report"))
    alive.communicate(b"\n")
    assert {run_id: client.get_run(run_id).info.status for run_id in expected} == expected


def test_the_store_is_made_before_kedro_mlflow_opens_it(tmp_path):
    uri = f"sqlite:///{tmp_path}/deep/mlflow.db"
    context = SimpleNamespace(config_loader={"mlflow": {"server": {"mlflow_tracking_uri": uri}}})
    TrackingHook().after_context_created(context)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["mlflow.db"]


def test_nothing_is_tracked_while_kedro_mlflow_is_off(project, client, tmp_path):
    assert project(REGRESSION + EVALUATION, TrackingHook()) == ""
    experiment = client.get_experiment_by_name("tests").experiment_id
    assert client.search_runs([experiment]) == []
    assert (tmp_path / "metrics.json").exists()
    tracking.log_metrics({"x": 1.0})
    tracking.log_artifact(tmp_path / "metrics.json")
    tracking.set_tags({"x": "y"})


def test_a_child_is_opened_again(client, tmp_path):
    with mlflow.start_run() as parent:
        tree = RunTree(client, parent.info.run_id, tmp_path, {})
        child = tree.child("tiny")
        tree.close("FAILED")
        again = RunTree(client, parent.info.run_id, tmp_path, {})
        assert again.child("tiny").run_id == child.run_id
        assert client.get_run(child.run_id).info.status == "RUNNING"
        again.close("FINISHED")
        assert client.get_run(child.run_id).info.status == "FINISHED"
        assert mlflow.active_run().info.run_id == parent.info.run_id


def test_mlflows_own_errors_do_not_stop_the_work_and_empty_values_are_left_out(
    client, tmp_path, caplog
):
    caplog.set_level(logging.WARNING)
    with mlflow.start_run() as parent:
        run = RunTree(client, parent.info.run_id, tmp_path, {}).parent
        run.log_parameters({"rate": 1})
        run.log_parameters({"rate": 2})  # MLflow's parameters cannot change
        run.log_parameters({"odd name?": "x" * 10_000})
        run.log_parameters({"a": "", "b": (), "c": [], "d": "()", "zero": 0, "none": None})
        run.copy_parameters("0" * 32)
    data = client.get_run(parent.info.run_id).data
    assert data.params["rate"] == "1"
    assert data.params["odd name_"] == "x" * 6000
    assert data.params.keys() == {"rate", "odd name_", "zero", "none"}
    assert caplog.text.count("MLflow did not take it") == 2


def test_metrics_go_to_the_current_run_and_big_folders_nowhere(client, tmp_path, caplog):
    folder = tmp_path / "tiles"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.png").touch()
    catalog = DataCatalog.from_config(
        {
            "numbers": {
                "type": "json.JSONDataset",
                "filepath": str(tmp_path / "n.json"),
                "metadata": {"mlflow": "metrics"},
            },
            "slides": {
                "type": "tumor_ratio.datasets.failures.FailuresDataset",
                "path": str(folder),
                "metadata": {"mlflow": "artifact"},
            },
            "odd": {
                "type": "json.JSONDataset",
                "filepath": str(tmp_path / "o.json"),
                "metadata": {"mlflow": "everything"},
            },
        }
    )
    hook = TrackingHook()
    with mlflow.start_run() as parent:
        hook.before_pipeline_run(run_params={"project_path": str(tmp_path)}, catalog=catalog)
        hook.after_dataset_saved("numbers", {"n_slides": 3})
        hook.after_dataset_saved("slides", None)
        hook.after_dataset_saved("odd", None)
        hook.after_pipeline_run()
    assert client.get_run(parent.info.run_id).data.metrics == {"n_slides": 3}
    assert client.list_artifacts(parent.info.run_id) == []
    assert "30 files are too many for MLflow" in caplog.text
    assert "unknown `metadata: {mlflow: everything}`" in caplog.text
