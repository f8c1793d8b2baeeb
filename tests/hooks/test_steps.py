import os
import subprocess
import sys
from functools import partial

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from tumor_ratio.datasets.partitions import SlidePartitions
from tumor_ratio.errors import SlideError
from tumor_ratio.hooks import steps
from tumor_ratio.hooks.step_words import WORDS
from tumor_ratio.hooks.steps import StepsHook, title_of
from tumor_ratio.pipeline_registry import register_pipelines
from tumor_ratio.steps import step


@step(name="third_fails", version=1)
def third_fails(number: int) -> dict:
    if number == 3:
        raise SlideError("s3", "blank")
    return {}


def tasks():
    return {f"s{n}": partial(third_fails, n) for n in range(4)}


def both(parts):
    return len(parts), "b"


def nothing(number):
    return None


@pytest.fixture
def lines(caplog):
    caplog.set_level("INFO", logger=steps.logger.name)
    steps.logger.addHandler(caplog.handler)
    yield lambda: list(
        dict.fromkeys(
            record.getMessage() for record in caplog.records if record.name == steps.logger.name
        )
    )
    steps.logger.removeHandler(caplog.handler)


def test_a_line_a_step_with_what_was_done_and_its_time(tmp_path, lines):
    pipeline = Pipeline(
        [
            Node(tasks, None, "parts", name="segment_ihc", namespace="ground_truth"),
            Node(both, "parts", ["n", "letter"], name="weigh_up", namespace="regression.net"),
            Node(nothing, "n", None, name="look"),
        ]
    )
    catalog = DataCatalog()
    catalog["parts"] = SlidePartitions(
        str(tmp_path / "parts"), {"type": "json.JSONDataset"}, ".json", workers=0
    )
    for _ in range(2):
        manager = _create_hook_manager()
        manager.register(StepsHook())
        manager.hook.before_pipeline_run(pipeline=pipeline, catalog=catalog, run_params={})
        SequentialRunner().run(pipeline, catalog, manager)
        manager.hook.after_pipeline_run(
            pipeline=pipeline, catalog=catalog, run_params={}, run_result={}
        )
    assert [" ".join(line.split()) for line in lines()] == [
        "3 steps (ground_truth, regression); a line each when it is done",
        "[1/3] ground_truth: nuclei on Ki-67 sections 4 slides, 1 failed 0:00",
        "[2/3] regression, net: weigh up 0:00",
        "[3/3] look 0:00",
        "done in 0:00",
        "[1/3] ground_truth: nuclei on Ki-67 sections 4 slides, 3 reused, 1 failed 0:00",
    ]
    ends = {len(line) for line in lines() if line.startswith("[")}
    assert len(ends) == 1  # the times stand below one another


def test_every_word_is_of_a_step_and_every_step_of_a_plain_run_has_words():
    pipelines = register_pipelines()
    names = {node.name.split(".")[-1] for each in pipelines.values() for node in each.nodes}
    assert set(WORDS) <= names
    assert {node.name.split(".")[-1] for node in pipelines["__default__"].nodes} <= set(WORDS)
    titles = [title_of(node) for node in pipelines["__default__"].nodes]
    assert len(set(titles)) == len(titles)
    assert max(map(len, titles)) <= steps.TITLE_WIDTH


CODE = """
import logging, warnings
from kedro.framework.project import LOGGING
logging.getLogger("tumor_ratio.hooks.steps").info("a line")
logging.getLogger("tumor_ratio.progress").info("50 %")
logging.getLogger("tumor_ratio.datasets.partitions").info("4 slides: 0 reused")
logging.getLogger("tumor_ratio.cohort").warning("odd")
logging.getLogger("kedro.runner").info("Completed node")
logging.getLogger("kedro.runner").error("failed")
warnings.warn("deprecated")
"""


@pytest.mark.parametrize("config", ["", "conf/logging_kedro.yml"])
def test_the_configured_log_is_lines_and_kedros_own_is_one_variable_away(project, config):
    environment = {name: os.environ[name] for name in os.environ if name != "KEDRO_LOGGING_CONFIG"}
    chosen = {"KEDRO_LOGGING_CONFIG": config} if config else {}
    found = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=project,
        env={**environment, **chosen},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stderr == ""
    if config:
        assert "Completed node" in found.stdout
        assert "4 slides: 0 reused" in found.stdout
        assert "a line" not in found.stdout
    else:
        assert found.stdout == "a line\n50 %\nWARNING: odd\nERROR: failed\n"
