"""The list of approaches in the configuration decides what is registered, compared and tagged."""

from pathlib import Path

import pytest
import yaml
from kedro.framework.project import pipelines as registry
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from tumor_ratio.approaches.network import DESCRIBED
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.hooks.approaches import names_in
from tumor_ratio.pipelines.regression.params import RegressionParams

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def defaults_afterwards():
    bootstrap_project(PROJECT)
    yield
    bootstrap_project(PROJECT)


def context_of(env: str, **runtime_params):
    with KedroSession.create(PROJECT, env=env, runtime_params=runtime_params) as session:
        return session.load_context()


def tags_of(name: str) -> set[str]:
    return {tag for node in registry[name].nodes for tag in node.tags if "approach." in tag}


def compared() -> list[str]:
    inputs = registry["evaluation"].inputs()
    return sorted(name.removesuffix(".predictions") for name in inputs if ".predictions" in name)


def test_a_plain_run_has_the_shipped_approaches():
    context_of("base")
    assert compared() == ["cyclegan", "efficientnet_lite0", "ilastik", "lite0_vit", "resnet18"]
    assert tags_of("__default__") == {f"approach.{name}" for name in compared()}


def test_an_environment_names_its_own():
    context = context_of("benchmark")
    networks = ["efficientnet_lite0", "resnet18", "resnet18_bins", "resnet18_study"]
    assert compared() == networks
    assert tags_of("__default__") == {f"approach.{name}" for name in networks}
    assert "gan_translation" in registry  # on request
    typed = context.params
    assert isinstance(typed["resnet18_study"], RegressionParams)
    context_of("base")
    assert "lite0_vit" in compared()  # another environment in the same process


def test_the_command_line_chooses_approaches_and_protocol():
    context = context_of("base", approaches="resnet18 ilastik", protocol="cross_validation")
    assert compared() == ["ilastik", "resnet18"]
    params = context.params
    protocols = {params[name].protocol for name in ("resnet18", "ilastik", "cyclegan", "split")}
    assert protocols == {"cross_validation"}
    assert params["evaluation"].headline.protocol == "cross_validation"


def test_every_described_network_may_be_left_out():
    described = yaml.safe_load((PROJECT / "conf/base/parameters_regression.yml").read_text())
    assert set(described) == set(DESCRIBED)


def test_an_approach_without_parameters_is_refused():
    with pytest.raises(ConfigurationError, match=r"resnet81 has no parameters; add a block"):
        context_of("base", approaches="resnet81")


def test_an_empty_list_on_the_command_line_is_refused():
    with pytest.raises(ConfigurationError, match="a list of different names is expected"):
        context_of("base", approaches=None)  # what Kedro makes of `approaches=`


@pytest.mark.parametrize("value", ["", [], ["a", "a"], ["a b"], [3], 3, None])
def test_what_is_no_list_of_names_is_refused(value):
    with pytest.raises(ConfigurationError, match="a list of different names is expected"):
        names_in(value)


def test_the_benchmark_is_large_enough_and_its_slides_are_its_own():
    params, base = context_of("benchmark").params, context_of("base").params
    phantom = params["cohort"].phantom
    assert phantom.n_slides >= 60
    assert phantom.family == "final"
    assert phantom.seed != base["cohort"].phantom.seed
    assert params["split"].protocol == params["resnet18"].protocol == "cross_validation"
    assert params["evaluation"].headline.protocol == "cross_validation"
    shortened = RegressionParams(protocol="cross_validation", backbone={"name": "resnet18"})
    study = params["resnet18_study"]
    assert study.training.epochs == 10
    assert study.model_copy(update={"training": shortened.training}) == shortened
    same = {**study.training.__dict__, "epochs": 50}
    assert same == shortened.training.__dict__


def test_the_study_has_the_studys_values():
    params = context_of("study").params
    resnet = params["resnet18_study"]
    as_published = RegressionParams(backbone={"name": "resnet18", "pretrained": True})
    assert resnet == as_published
    assert params["vit_b16_study"].training == resnet.training
    assert params["vit_b16_study"].backbone.name == "vit_base_patch16_224"
    split = params["split"]
    assert (round(49 * split.test_share), round(49 * split.validation_share)) == (4, 4)
    assert params["evaluation"].test_regions_per_slide == 300
