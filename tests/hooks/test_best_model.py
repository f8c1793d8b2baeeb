"""Which model has the alias `best`, after one run and after the next."""

import logging
from pathlib import Path

import mlflow
import numpy as np
import pytest

from tests.hooks.small_regressor import patches, small_regressor
from tumor_ratio.datasets.mlflow_registry import ALIAS, NAME, SLIDES_NAME
from tumor_ratio.datasets.mlflow_runs import RunTree
from tumor_ratio.datasets.model_facts import FINGERPRINT
from tumor_ratio.hooks.best_model import register_best_of
from tumor_ratio.models.model_folder import load_regressor
from tumor_ratio.reporting.stamps import SYNTHETIC_TRAINING


@pytest.fixture
def evaluate(client, tmp_path):
    """One evaluated run: its models learned from `data`, unless it only evaluates them."""

    def run(models: dict, data: str, *, trains: bool = True) -> str | None:
        with mlflow.start_run() as parent:
            tree = RunTree(client, parent.info.run_id, tmp_path, {})
            tree.set_tags({"data": data})
            for approach, refs in models.items():
                child = tree.child(approach)
                if trains and refs:
                    child.set_tags({FINGERPRINT: refs[0].card["fingerprint"]})
                    child.log_model(refs[0].folder, refs[0].card)
            line = register_best_of(tree, models, data)
            tree.close("FINISHED")
        return line

    return run


@pytest.fixture
def model(tmp_path):
    def make(approach: str, val_mae: float, seed: int, **card) -> list:
        folder = tmp_path / f"{approach}{seed}"
        return [small_regressor(folder, seed=seed, val_mae=val_mae, approach=approach, **card)]

    return make


def best(client):
    return client.get_model_version_by_alias(NAME, ALIAS)


def best_of_slides(client):
    return client.get_model_version_by_alias(SLIDES_NAME, ALIAS)


def versions(client) -> int:
    return len(client.search_model_versions(f"name = '{NAME}'"))


def test_the_lowest_validation_error_wins_whatever_the_test_says(client, evaluate, model):
    good = model("good", 0.1, 0, metrics={"val_mae": 0.1, "region_mae": 0.9})
    bad = model("bad", 0.2, 1, metrics={"val_mae": 0.2, "region_mae": 0.0})
    line = evaluate({"bad": bad, "good": good}, "d1")
    assert line == (
        "Best by validation on this data: `models:/tumor-ratio@best`, version 1 (good, val_mae "
        "0.1000). For whole slides: `models:/tumor-ratio-slides@best`."
    )
    version = best(client)
    assert version.tags["approach"] == "good"
    assert float(version.tags["val_mae"]) == 0.1
    assert version.tags["data"] == "d1"
    assert version.tags["training_data"] == "phantom"
    assert SYNTHETIC_TRAINING in version.tags["stamp"]
    assert client.get_run(version.run_id).info.run_name == "good"
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@{ALIAS}").predict(patches(3))
    expected = load_regressor(good[0].folder).predict(patches(3))
    np.testing.assert_allclose(loaded["tumor_ratio"], expected, rtol=0, atol=1e-6)


def test_the_alias_moves_to_a_better_one_only(client, evaluate, model):
    evaluate({"a": model("a", 0.2, 0)}, "d1")
    evaluate({"a": model("a", 0.3, 1)}, "d1")
    assert (best(client).version, versions(client)) == (1, 1)
    evaluate({"a": model("a", 0.2, 2)}, "d1")  # no better
    assert (best(client).version, versions(client)) == (1, 1)
    evaluate({"a": model("a", 0.1, 3)}, "d1")
    assert (best(client).version, versions(client)) == (2, 2)


def test_the_model_of_slides_follows_the_best(client, evaluate, model):
    evaluate({"bad": model("bad", 0.3, 1), "good": model("good", 0.2, 0)}, "d1")
    first = best_of_slides(client)
    assert first.tags == best(client).tags
    assert client.get_logged_model(first.source.removeprefix("models:/")).name == "good-slides"
    line = evaluate({"bad": model("bad", 0.3, 1)}, "d1")  # stays
    assert "tumor-ratio-slides@best" in line
    assert best_of_slides(client).version == first.version
    evaluate({"new": model("new", 0.1, 2)}, "d1")
    assert best_of_slides(client).tags["approach"] == best(client).tags["approach"] == "new"
    about = mlflow.models.get_model_info(f"models:/{SLIDES_NAME}@{ALIAS}")
    assert about.metadata["approach"] == "new"
    assert about.signature.inputs.input_names()[0] == "slide_path"


def test_a_best_of_earlier_versions_gets_its_model_of_slides(client, evaluate, model, monkeypatch):
    models = {"a": model("a", 0.2, 0)}
    with monkeypatch.context() as patch:
        patch.setattr("tumor_ratio.hooks.best_model.register_slides", lambda *_: None)
        assert "slides" not in evaluate(models, "d1")
    worse = evaluate({"b": model("b", 0.3, 1)}, "d1")
    assert "slides" not in worse  # it would be another regressor's
    assert "tumor-ratio-slides@best" in evaluate(models, "d1")
    assert best_of_slides(client).tags["approach"] == "a"


@pytest.mark.parametrize(
    ("data", "card"),
    [("d2", {}), ("d1", {"protocol": "crossed"}), ("d1", {"label_method": "otsu"})],
)
def test_the_alias_moves_when_the_data_changed(client, evaluate, model, data, card):
    evaluate({"a": model("a", 0.1, 0)}, "d1")
    evaluate({"a": model("a", 0.3, 1, **card)}, data)
    assert best(client).tags["val_mae"] == "0.3"


def test_going_back_to_earlier_data_registers_nothing_anew(client, evaluate, model):
    first, second = model("a", 0.1, 0), model("a", 0.3, 1)
    for models, data in ((first, "d1"), (second, "d2"), (first, "d1")):
        evaluate({"a": models}, data)
    assert best(client).version == 1
    assert versions(client) == 2


def test_evaluation_alone_registers_nothing_twice(client, evaluate, model):
    models = {"a": model("a", 0.1, 0)}
    evaluate(models, "d1")
    line = evaluate(models, "d1", trains=False)
    assert "version 1" in line
    assert versions(client) == 1


def test_models_of_other_data_do_not_count(client, evaluate, model, caplog):
    caplog.set_level(logging.INFO)
    models = {"a": model("a", 0.1, 0)}
    evaluate(models, "d1")
    assert evaluate(models, "d2", trains=False) is None  # the labels were made anew since
    assert best(client).tags["data"] == "d1"
    assert "no tracked run trained it on this data" in caplog.text
    assert evaluate({"b": model("b", 0.01, 1)}, "", trains=False) is None


def test_errors_of_different_labels_are_not_compared(client, evaluate, model, caplog):
    models = {"a": model("a", 0.1, 0), "b": model("b", 0.2, 1, label_method="otsu")}
    assert evaluate(models, "d1") is None
    assert "different protocols or labels" in caplog.text
    assert client.search_registered_models() == []


def test_an_approach_of_several_folds_counts_with_their_mean(client, evaluate, model):
    folds = [*model("folds", 0.05, 0), *model("folds", 0.35, 1)]
    evaluate({"folds": folds, "one": model("one", 0.1, 2)}, "d1")
    assert best(client).tags["approach"] == "one"
    evaluate({"folds": [*model("folds", 0.01, 3), *model("folds", 0.03, 4)]}, "d1")
    assert float(best(client).tags["val_mae"]) == pytest.approx(0.02)


def test_what_is_no_regressor_or_has_no_error_does_not_count(client, evaluate, model, tmp_path):
    (lost,) = model("lost", 0.1, 0)
    (Path(lost.folder) / "model.safetensors").unlink()
    unknown = model("unknown", 0.1, 1, metrics={})
    assert evaluate({"lost": [lost], "unknown": unknown, "median": []}, "d1") is None
    assert client.search_registered_models() == []


def test_a_registry_that_refuses_stops_nothing(client, evaluate, model, monkeypatch, caplog):
    def refuse(*_, **__):
        raise mlflow.MlflowException("registry is down")

    monkeypatch.setattr(type(client), "create_model_version", refuse)
    assert evaluate({"a": model("a", 0.1, 0)}, "d1") is None
    assert "registry is down" in caplog.text
