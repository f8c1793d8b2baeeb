import pandas as pd
import pytest
from kedro.framework.hooks import _create_hook_manager
from kedro.framework.hooks.manager import _register_hooks
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from tumor_ratio.cohort.manifest import ManifestParams
from tumor_ratio.errors import ManifestError
from tumor_ratio.hooks import preflight
from tumor_ratio.hooks.errors import MissingInputsError, UnknownParametersError
from tumor_ratio.hooks.manifests import check_manifests
from tumor_ratio.hooks.preflight import (
    PreflightHook,
    check_inputs,
    check_parameter_names,
    leave_out_approaches,
)
from tumor_ratio.params import Params


def same(*inputs):
    return inputs[0]


PIPELINES = {
    "__default__": Pipeline([]),
    "data_processing": Pipeline([Node(same, ["params:tiles", "exclusions"], "tiles")]),
    "ground_truth": Pipeline(
        [Node(same, "tiles", "nuclei"), Node(same, ["nuclei", "params:labels"], "labels")]
    ),
    "regression": Pipeline([Node(same, ["labels", "params:resnet18.training"], "model")]),
    "prediction": Pipeline([Node(same, ["model", "new_slides"], "ratios")]),
}
PIPELINES["__default__"] = (
    PIPELINES["data_processing"] + PIPELINES["ground_truth"] + PIPELINES["regression"]
)


def catalog_in(path, *present: str) -> DataCatalog:
    names = ("exclusions", "tiles", "nuclei", "labels", "model", "new_slides")
    config = {
        name: {"type": "pandas.CSVDataset", "filepath": str(path / f"{name}.csv")} for name in names
    }
    catalog = DataCatalog.from_config(config)
    for name in present:
        catalog.save(name, pd.DataFrame({"x": [1]}))
    for name in ("tiles", "labels", "resnet18.training"):
        catalog[f"params:{name}"] = MemoryDataset(1)
    return catalog


def test_nothing_is_said_when_all_is_there(tmp_path):
    check_inputs(PIPELINES["regression"], catalog_in(tmp_path, "labels"), PIPELINES)
    check_inputs(PIPELINES["__default__"], catalog_in(tmp_path, "exclusions"), PIPELINES)


def test_all_pipelines_to_run_first_are_named_in_order(tmp_path):
    with pytest.raises(MissingInputsError) as caught:
        check_inputs(PIPELINES["regression"], catalog_in(tmp_path, "exclusions"), PIPELINES)
    assert str(caught.value) == (
        "1 input(s) are not there yet:\n"
        "  - labels (made by ground_truth)\n"
        "run first: kedro run --pipelines=data_processing,ground_truth"
    )


def test_what_is_there_already_need_not_run(tmp_path):
    with pytest.raises(MissingInputsError) as caught:
        check_inputs(PIPELINES["regression"], catalog_in(tmp_path, "tiles"), PIPELINES)
    assert caught.value.pipelines == ("ground_truth",)


def test_another_name_for_what_a_pipeline_makes_has_the_same_maker(tmp_path):
    catalog = catalog_in(tmp_path, "labels")
    catalog["chosen_model"] = catalog["model"]
    apply = Pipeline([Node(same, "chosen_model", "ratios")])
    with pytest.raises(MissingInputsError) as caught:
        check_inputs(apply, catalog, PIPELINES, env="test")
    assert str(caught.value).splitlines()[1:] == [
        "  - chosen_model (made by regression)",
        "run first: kedro run --env=test --pipelines=regression",
    ]


COMPARED = ("a.predictions", "b.predictions", "a.account", "labels")


def comparison_in(path, *present: str) -> tuple[dict[str, Pipeline], DataCatalog]:
    pipelines = {
        "__default__": Pipeline([]),
        "regression": Pipeline([Node(lambda x: (x, x, x), "labels", list(COMPARED[:3]))]),
        "evaluation": Pipeline([Node(same, list(COMPARED), "scores")]),
    }
    catalog = DataCatalog.from_config(
        {n: {"type": "pandas.CSVDataset", "filepath": str(path / f"{n}.csv")} for n in COMPARED}
    )
    for name in present:
        catalog.save(name, pd.DataFrame({"x": [1]}))
    return pipelines, catalog


def test_a_comparison_goes_on_without_an_approach_that_never_ran(tmp_path, caplog):
    pipelines, catalog = comparison_in(tmp_path, "b.predictions", "labels")
    leave_out_approaches(pipelines["evaluation"], catalog, pipelines)
    check_inputs(pipelines["evaluation"], catalog, pipelines)
    assert catalog.load("a.predictions").empty
    assert catalog.load("a.account") == {}
    assert len(catalog.load("b.predictions")) == 1
    assert "a has no predictions yet" in caplog.text
    assert "kedro run --pipelines=regression makes them" in caplog.text
    assert "b has no" not in caplog.text


def test_what_needs_one_approachs_predictions_is_no_comparison(tmp_path):
    pipelines, catalog = comparison_in(tmp_path, "b.predictions", "labels", "a.account")
    calibration = Pipeline(
        [Node(same, f"{each}.predictions", f"{each}_map", name=each) for each in "ab"]
    )
    for asked in (calibration, calibration + pipelines["evaluation"]):
        leave_out_approaches(asked, catalog, pipelines)
        with pytest.raises(MissingInputsError, match=r"a\.predictions"):
            check_inputs(asked, catalog, pipelines)


def test_the_hook_lets_a_comparison_go_on(tmp_path, monkeypatch):
    pipelines, catalog = comparison_in(tmp_path, "b.predictions", "labels")
    monkeypatch.setattr(preflight, "registry", pipelines)
    PreflightHook().before_pipeline_run({}, pipelines["evaluation"], catalog)
    assert catalog.load("a.predictions").empty


def test_predictions_of_the_same_run_and_of_no_approach_are_left_alone(tmp_path):
    pipelines, catalog = comparison_in(tmp_path, "labels")
    both = pipelines["regression"] + pipelines["evaluation"]
    leave_out_approaches(both, catalog, pipelines)
    assert not catalog.exists("a.predictions")
    leave_out_approaches(pipelines["evaluation"], catalog, pipelines)
    with pytest.raises(MissingInputsError, match="run first: kedro run --pipelines=regression"):
        check_inputs(pipelines["evaluation"], catalog, pipelines)


def test_inputs_that_no_pipeline_makes_are_named_with_their_place(tmp_path):
    with pytest.raises(MissingInputsError) as caught:
        check_inputs(PIPELINES["prediction"], catalog_in(tmp_path, "model"), PIPELINES)
    assert caught.value.inputs == (
        f"new_slides (no pipeline makes it; bring {tmp_path / 'new_slides.csv'})",
    )
    assert caught.value.pipelines == ()
    unknown = Pipeline([Node(same, ["nowhere", "params:nowhere"], "x")])
    with pytest.raises(MissingInputsError, match=r"nowhere \(not in the catalog\)") as caught:
        check_inputs(unknown, catalog_in(tmp_path), PIPELINES)
    assert "params:nowhere (conf/ sets no such parameter)" in caught.value.inputs


def test_known_parameters_pass():
    known = {
        "tiles": {"anything": 1},
        "labels": 2,
        "resnet18": {"training": {"x": 1}},
        "retrain": 1,
    }
    check_parameter_names(known, list(PIPELINES.values()), allowed=["retrain"])
    reads_all = Pipeline([Node(same, "parameters", "x")])
    check_parameter_names({"whatever": 1}, [reads_all])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"tils": {"size_px": 1}},
            r"unknown parameter 'tils' \(did you mean 'tiles'\?\); "
            r"valid names: labels, resnet18, tiles",
        ),
        (
            {"resnet18": {"trainin": {}}},
            r"unknown parameter 'resnet18.trainin' \(did you mean 'training'\?\); "
            r"valid names: training",
        ),
        ({"xyz": 1}, r"unknown parameter 'xyz'; valid names: "),
    ],
)
def test_unknown_parameters_are_refused_with_the_valid_names(parameters, message):
    with pytest.raises(UnknownParametersError, match=message):
        check_parameter_names(parameters, list(PIPELINES.values()))


class Source(Params):
    source: str = "manifest"
    manifest: ManifestParams = ManifestParams(path="slides.csv")


class Direct(Params):
    manifest: ManifestParams = ManifestParams(path="slides.csv")


class Text(Params):
    manifest: str = "slides.csv"
    mpp: float = 0.5


@pytest.mark.parametrize("params", [Source(), Direct(), Text(), ManifestParams(path="slides.csv")])
def test_manifests_are_checked_whole(tmp_path, params):
    (tmp_path / "slides.csv").write_text("slide_id,he_path\na,\nb,\n")
    with pytest.raises(ManifestError, match=r"2 problem\(s\)(?s:.)*line 2(?s:.)*line 3"):
        check_manifests({"params:cohort": params, "params:x": 3}, tmp_path)


def test_a_manifest_that_is_not_used_is_not_checked(tmp_path):
    check_manifests({"params:cohort": Source(source="phantom")}, tmp_path)
    check_manifests({"params:prediction": Text(manifest="")}, tmp_path)


def test_the_hook_checks_in_turn_before_any_other_hook(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "registry", PIPELINES)
    order = []

    class Other:
        from kedro.framework.hooks import hook_impl

        @hook_impl(tryfirst=False)
        def before_pipeline_run(self):
            order.append("other")

    def note(parameters, project):
        order.append(sorted(parameters))

    manager = _create_hook_manager()
    _register_hooks(manager, [PreflightHook(checks=[note]), Other()])
    catalog = catalog_in(tmp_path)
    run = {"run_params": {}, "pipeline": PIPELINES["regression"], "catalog": catalog}
    with pytest.raises(MissingInputsError):
        manager.hook.before_pipeline_run(**run)
    assert order == [["params:resnet18.training"]]
    catalog["parameters"] = MemoryDataset({"tils": 1})
    with pytest.raises(UnknownParametersError):
        manager.hook.before_pipeline_run(**run)
    assert len(order) == 1
    catalog["parameters"] = MemoryDataset({"tiles": 1})
    catalog.save("labels", pd.DataFrame({"x": [1]}))
    manager.hook.before_pipeline_run(**run)
    assert order[-1] == "other"
