"""What a whole run tells of itself: data, code, stamps, description, and the best model."""

from functools import partial
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from kedro.framework.hooks import _create_hook_manager
from kedro.framework.hooks.manager import _register_hooks
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from tests.hooks.small_regressor import small_regressor
from tests.hooks.test_tracking import StandIn, children
from tumor_ratio import __version__
from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.mlflow_registry import ALIAS, NAME
from tumor_ratio.datasets.trained_model import TrainedModelDataset
from tumor_ratio.hooks import tracking as tracking_hook
from tumor_ratio.hooks.tracking import TrackingHook
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.pipelines.gan_translation import create_load_size_pipeline
from tumor_ratio.reporting.stamps import CIRCULAR, RESEARCH_USE, SYNTHETIC_TRAINING
from tumor_ratio.schemas import LoadSizeScores
from tumor_ratio.steps import step

PHANTOM = f"{RESEARCH_USE} {SYNTHETIC_TRAINING}"


@step(name="train", version=1)
def train(name: str, seed: int, val_mae: float, kind: str, *, folder: Path, on_epoch) -> dict:
    on_epoch({"val_mae": val_mae}, 1)
    stamps = [RESEARCH_USE]
    own = {"approach": name, "training_data": kind, "stamps": stamps}
    return dict(small_regressor(folder, seed=seed, val_mae=val_mae, **own).card)


@step(name="train_sizes", version=1)
def train_sizes(kind: str, *, folder: Path, on_epoch) -> dict:
    names = LoadSizeScores.to_schema().columns
    return {
        "training_data": kind,
        "scores": [{**dict.fromkeys(names, 1.0), "load_size": size} for size in (32, 64)],
    }


def train_node(labels, folds, task):
    return task


def score(models, cohort, labels, folds, params):
    about = [("a", "model", "ratios"), ("b", "model", "ratios"), ("median", "baseline", "none")]
    metrics = {"a": {"region_mae": 0.1}, "b": {"region_mae": 0.9}, "median": {"region_mae": 0.5}}
    return pd.DataFrame(about, columns=["approach", "role", "supervision"]), metrics


def tabulate(models):
    return {"a_size_48": {"spearman": 0.5}}


def fit_forest(params):
    return params["protocol"]


def train_pipeline(name: str) -> Pipeline:
    inputs = ["ratio_labels", "folds", f"{name}.task"]
    return Pipeline([Node(train_node, inputs, f"{name}.model", tags=[f"approach.{name}"])])


REGRESSION = train_pipeline("a") + train_pipeline("b")
SCORES = Pipeline(
    [
        Node(
            score,
            ["a.model", "cohort", "ratio_labels", "folds", "params:evaluation"],
            ["approaches", "run_metrics"],
        )
    ]
)
LOAD_SIZES = create_load_size_pipeline().filter(node_names=["cyclegan.tabulate"])
SIZES = Pipeline([Node(tabulate, "a.model", "size_metrics", tags=["approach.a"])])
FOREST = Pipeline([Node(fit_forest, "params:median", "median.fit", tags=["approach.median"])])


def cohort(kind: str) -> Cohort:
    slide = Slide("s1", Path("s1.tif"), 10, 10, 0.5, ((10, 10, 1.0),), "openslide")
    return Cohort((SlidePair("s1", "c1", slide, None, data_kind=kind),), "manifest")


@pytest.fixture
def run(tmp_path, client, monkeypatch):
    """Runs pipelines as a session does; says the id of the run."""
    monkeypatch.setattr(tracking_hook, "registry", {"r": REGRESSION, "s": SCORES, "l": SIZES})
    config = {
        f"{name}.model": {
            "type": "tumor_ratio.datasets.trained_model.TrainedModelDataset",
            "path": str(tmp_path / name),
        }
        for name in ("a", "b")
    }
    for name in ("run_metrics", "size_metrics", "cyclegan.load_size_metrics"):
        path, marked = str(tmp_path / f"{name}.json"), {"mlflow": "approach_metrics"}
        config[name] = {"type": "json.JSONDataset", "filepath": path, "metadata": marked}
    models = "cyclegan.load_size_models"
    config[models] = {**config["a.model"], "path": str(tmp_path / models)}
    config["approaches"] = {
        "type": "pandas.CSVDataset",
        "filepath": str(tmp_path / "approaches.csv"),
        "metadata": {"mlflow": "approach_tags"},
    }

    def go(pipeline, *hooks, a=0.3, b=0.2, labels=(0.1,), slides="phantom", models="phantom"):
        catalog = DataCatalog.from_config(config)
        catalog["a.task"] = MemoryDataset(partial(train, "a", 0, a, models))
        catalog["b.task"] = MemoryDataset(partial(train, "b", 1, b, models))
        catalog["ratio_labels"] = MemoryDataset(pd.DataFrame({"tumor_ratio": labels}))
        catalog["folds"] = MemoryDataset(pd.DataFrame({"slide_id": ["s1"]}))
        catalog["cohort"] = MemoryDataset(cohort(slides))
        phantom = {"source": "phantom", "phantom": {"family": "final", "seed": 7}}
        catalog["params:cohort"] = MemoryDataset(phantom)
        headline = {"headline": {"protocol": "of_evaluation"}, "protocol": "of_nothing"}
        catalog["params:evaluation"] = MemoryDataset(headline)
        catalog["params:median"] = MemoryDataset({"protocol": "of_forest"})
        manager = _create_hook_manager()
        _register_hooks(manager, hooks or [StandIn(), TrackingHook()])
        common = {"run_params": {"project_path": str(tmp_path)}, "catalog": catalog}
        common["pipeline"] = pipeline
        manager.hook.before_pipeline_run(**common)
        active = mlflow.active_run()
        SequentialRunner().run(pipeline, catalog, manager)
        manager.hook.after_pipeline_run(run_result={}, **common)
        return active.info.run_id if active else ""

    return go


def test_a_run_and_its_children_say_which_data_and_code(run, client):
    parent = run(REGRESSION + SCORES)
    runs = [client.get_run(parent), *children(client, parent).values()]
    assert len(runs) == 4
    tags = [each.data.tags for each in runs]
    for name in ("data", "data.labels", "data.folds", "data.cohort"):
        assert len({each[name] for each in tags}) == 1, name
    for each in tags:
        assert each["code.version"] == __version__
        assert (each["data.source"], each["data.family"], each["data.seed"]) == (
            "manifest",
            "final",
            "7",
        )
    other = client.get_run(run(REGRESSION + SCORES, labels=(0.2,))).data.tags
    assert other["data"] != tags[0]["data"]
    assert other["data.folds"] == tags[0]["data.folds"]
    child = children(client, parent)["a"].data.tags
    assert (child["protocol"], child["role"], child["supervision"]) == (
        "holdout",
        "model",
        "ratios",
    )


def test_runs_without_a_card_have_the_protocol_of_their_parameters_or_of_the_results(run, client):
    def protocols(pipeline) -> dict:
        found = children(client, run(pipeline))
        return {name: each.data.tags.get("protocol") for name, each in found.items()}

    assert protocols(FOREST) == {"median": "of_forest"}
    own = {"a": "holdout", "b": "holdout"}  # of their cards
    assert protocols(REGRESSION + SCORES) == {**own, "median": "of_evaluation"}
    assert protocols(SCORES) == {**own, "median": "of_evaluation"}


def test_the_description_is_the_table_with_stamps_and_the_best(run, client):
    parent = run(REGRESSION + SCORES)
    note = client.get_run(parent).data.tags["mlflow.note.content"]
    assert note.split("\n\n")[:3] == [RESEARCH_USE, SYNTHETIC_TRAINING, CIRCULAR]
    assert "| a | model | 0.1000 |" in note
    assert "| median | baseline | 0.5000 |" in note
    assert "version 1 (b, val_mae 0.2000). For whole slides: `models:/tumor-ratio-slides" in note
    assert client.get_model_version_by_alias(NAME, ALIAS).tags["approach"] == "b"
    own = children(client, parent)["median"].data.tags["mlflow.note.content"]
    assert own.startswith("**median** (baseline)\n\nLearned from: none.")


def test_every_result_has_the_stamp_of_its_origin(run, client):
    def stamps(parent: str) -> dict:
        return {n: r.data.tags["stamp"] for n, r in children(client, parent).items()}

    assert set(stamps(run(REGRESSION + SCORES)).values()) == {PHANTOM}
    real = stamps(run(REGRESSION + SCORES, slides="real", models="real"))
    assert set(real.values()) == {RESEARCH_USE}
    mixed = stamps(run(REGRESSION + SCORES, slides="real", models="phantom"))
    assert mixed == {"a": PHANTOM, "b": PHANTOM, "median": RESEARCH_USE}
    parent = client.get_run(run(REGRESSION + SCORES, slides="real", models="phantom"))
    assert parent.data.tags["stamp"] == PHANTOM
    assert CIRCULAR not in parent.data.tags["mlflow.note.content"]


def test_children_without_a_model_have_the_stamp_of_the_models_they_come_from(run, client):
    run(REGRESSION)
    sizes = children(client, run(SIZES))
    assert sizes["a_size_48"].data.tags["stamp"] == PHANTOM
    run(REGRESSION, a=0.4, models="real")
    sizes = children(client, run(SIZES))
    assert sizes["a_size_48"].data.tags["stamp"] == RESEARCH_USE


def test_the_load_sizes_of_a_cyclegan_have_the_stamp_of_their_training(run, client, tmp_path):
    for kind, stamp in (("phantom", PHANTOM), ("real", RESEARCH_USE)):
        models = TrainedModelDataset(str(tmp_path / "cyclegan.load_size_models"))
        models.save(partial(train_sizes, kind))
        found = children(client, run(LOAD_SIZES))
        for name in ("cyclegan_load_32", "cyclegan_load_64"):
            assert found[name].data.tags["stamp"] == stamp


def test_evaluation_alone_registers_nothing_twice(run, client):
    run(REGRESSION + SCORES)
    parent = run(SCORES)
    assert [v.version for v in client.search_model_versions(f"name = '{NAME}'")] == [1]
    tags = children(client, parent)["b"].data.tags
    assert tags["stamp"] == PHANTOM
    assert "fingerprint" not in tags  # it learned nothing here
    assert "version 1 (b" in client.get_run(parent).data.tags["mlflow.note.content"]


def test_evaluation_alone_on_new_labels_registers_nothing(run, client):
    run(REGRESSION + SCORES)
    parent = run(SCORES, labels=(0.2,))
    assert "Best by validation" not in client.get_run(parent).data.tags["mlflow.note.content"]
    parent = run(SCORES, labels=(0.2,))  # nor does an evaluation count as learning
    assert "Best by validation" not in client.get_run(parent).data.tags["mlflow.note.content"]


def test_nothing_is_registered_without_results_or_tracking(run, client):
    run(REGRESSION)
    assert client.search_registered_models() == []
    run(REGRESSION + SCORES, TrackingHook())
    assert client.search_registered_models() == []
