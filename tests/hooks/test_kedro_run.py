"""A small Kedro project with all hooks, run by the real command with the real kedro-mlflow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

FILES = {
    "pyproject.toml": """
[tool.kedro]
package_name = "tiny"
project_name = "tiny"
kedro_init_version = "1.7.0"
source_dir = "src"
""",
    "src/tiny/__init__.py": "",
    "src/tiny/settings.py": """
import logging

from tumor_ratio.hooks.manifests import check_manifests
from tumor_ratio.hooks.preflight import PreflightHook
from tumor_ratio.hooks.summary import SummaryHook
from tumor_ratio.hooks.tracking import TrackingHook

logging.getLogger("tumor_ratio").setLevel("INFO")
HOOKS = (TrackingHook(), SummaryHook(), PreflightHook(["workers"], [check_manifests]))
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry", "kedro-viz")
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "base"}
""",
    "src/tiny/work.py": """
from functools import partial
from tumor_ratio.errors import SlideError
from tumor_ratio.params import Params
from tumor_ratio.steps import step

class Inner(Params):
    rate: float = 0.5

class Measure(Params):
    power: int = 2
    inner: Inner = Inner()

@step(name="measure_slide", version=1)
def measure_slide(number: int, params: Measure) -> dict:
    if number == 3:
        raise SlideError("s3", "the slide is blank", "scan it again")
    return {"value": number ** params.power}

def measure(params: Measure):
    return {f"s{n}": partial(measure_slide, n, params) for n in range(4)}

def table(parts, params: Measure):
    return f"total {sum(ref.load()['value'] for ref in parts.values())}"

def scores(parts):
    return {"tiny": {"mae": 0.25}}
""",
    "src/tiny/pipeline_registry.py": """
from kedro.pipeline import Node, Pipeline
from tiny import work

def register_pipelines():
    measuring = Pipeline([Node(work.measure, "params:measure", "parts", name="measure")])
    evaluation = Pipeline([
        Node(work.table, ["parts", "params:measure"], "results_table", name="table"),
        Node(work.scores, "parts", "run_metrics", name="scores", tags=["approach.tiny"]),
    ])
    return {
        "__default__": measuring + evaluation, "measuring": measuring, "evaluation": evaluation
    }
""",
    "conf/base/parameters.yml": "measure: {power: 2}\n",
    "conf/base/catalog.yml": """
parts:
  type: tumor_ratio.datasets.partitions.SlidePartitions
  path: data/parts
  dataset: {type: json.JSONDataset}
  suffix: .json
  workers: 1
  failures: data/failures
results_table: {type: text.TextDataset, filepath: data/results.txt}
run_metrics:
  type: json.JSONDataset
  filepath: data/metrics.json
  metadata: {mlflow: approach_metrics}
""",
    "conf/base/mlflow.yml": """
server: {mlflow_tracking_uri: "sqlite:///STORE"}
tracking:
  experiment:
    name: tiny
    create_experiment_kwargs: {artifact_location: "file://FOLDER/artifacts"}
  run: {nested: False}
  params: {dict_params: {flatten: True}, long_params_strategy: truncate}
""",
}


@pytest.fixture
def project(tmp_path, empty_store) -> Path:
    store = tmp_path / "mlflow.db"
    shutil.copy(empty_store, store)
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("STORE", str(store)).replace("FOLDER", str(tmp_path)))
    return tmp_path


def kedro_run(project: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "kedro", "run", *options],
        cwd=project,
        env={**os.environ, "DO_NOT_TRACK": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_a_run_from_the_command_line(project):
    first = kedro_run(project, "--pipeline=evaluation")
    assert first.returncode == 1
    assert "Traceback" not in first.stderr
    assert (
        "Error: 1 input(s) are not there yet:\n  - parts (made by measuring)\n"
        "run first: kedro run --pipelines=measuring\n"
    ) in first.stderr

    misspelt = kedro_run(project, "--params=measur.power=3")
    assert misspelt.returncode == 1
    assert "Traceback" not in misspelt.stderr
    assert "unknown parameter 'measur' (did you mean 'measure'?)" in misspelt.stderr
    misspelt = kedro_run(project, "--params=measure.powr=3")
    assert misspelt.returncode == 1
    assert "Traceback" not in misspelt.stderr
    assert "unknown parameter 'powr' (did you mean 'power'?); valid names:" in misspelt.stderr

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny").experiment_id
    assert client.search_runs([experiment]) == []

    good = kedro_run(project)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "4 slides: 0 reused, 3 done, 1 failed" in good.stdout + good.stderr
    assert "1 slide failed in parts: see data/failures/parts.csv" in good.stdout
    assert "\ntotal 5\n" in good.stdout
    assert "make mlflow" in good.stdout

    parent, child = sorted(
        client.search_runs([experiment]), key=lambda run: "approach" in run.data.tags
    )
    assert parent.data.params == {"measure.power": "2", "measure.inner.rate": "0.5"}
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.metrics == {"mae": 0.25}
    assert {parent.info.status, child.info.status} == {"FINISHED"}
