"""The contract: what each kind says is there, and approaches' names stand in one place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tumor_ratio
from tumor_ratio.approaches import cyclegan, network, registry
from tumor_ratio.approaches.contract import load
from tumor_ratio.approaches.registry import all_specs, spec_of, spec_opening
from tumor_ratio.errors import ConfigurationError, ModelUnavailableError
from tumor_ratio.params import Params
from tumor_ratio.pipeline_registry import DEFAULT_APPROACHES, pipelines_of

SOURCE = Path(tumor_ratio.__file__).parent
OTHER_MEANINGS = {
    "label_methods.py": "a way to label Ki-67 tiles",
    "models/shipped.py": "timm's name of a backbone",
}
"""Files in which a word is no approach's name, and what it is."""


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.kind)
def test_what_a_kind_names_is_there(spec):
    assert issubclass(load(spec.parameters), Params)
    assert spec.learned_from
    for reference in (spec.create_pipeline, spec.open_model, spec.check):
        assert not reference or callable(load(reference))
    assert set(spec.default) <= set(spec.names)


@pytest.mark.parametrize("approach", [*DEFAULT_APPROACHES, "any_name"])
def test_every_approach_ends_in_the_same_datasets(approach):
    made = pipelines_of([approach])[spec_of(approach).pipeline].all_outputs()
    ends = ("predictions", "account", "new_slide_calibration")
    assert {f"{approach}.{name}" for name in ends} <= made


def test_the_pipelines_depend_on_the_approaches_alone():
    first, other = pipelines_of(["a", "ilastik"]), pipelines_of(["b"])
    assert first.keys() == other.keys()
    assert any("ilastik" in node.name for node in first["__default__"].nodes)
    assert not any("ilastik" in node.name for node in other["__default__"].nodes)


def test_a_model_that_no_kind_opens_is_refused():
    assert spec_opening("") is network.SPEC
    with pytest.raises(ModelUnavailableError, match="install the package"):
        spec_opening("tea_leaves")


class Point:
    name, value = "mine", "mine:SPEC"

    def __init__(self, spec):
        self.load = lambda: spec


@pytest.mark.parametrize(
    "spec", ["no spec", replace(cyclegan.SPEC, kind="mine", pipeline="mine", answers="mine")]
)
def test_what_a_package_brings_must_be_a_kind_of_its_own(spec, monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: [Point(spec)])
    with pytest.raises(ConfigurationError, match=r"is no ApproachSpec|claim approach 'cyclegan'"):
        all_specs.__wrapped__()


def test_no_name_of_an_approach_stands_elsewhere():
    names = {*registry.known_names(), *network.BACKBONES}
    named = re.compile(rf"({'|'.join(sorted(names))})(\.\w+)*")
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE)
        if place.parts[0] == "approaches" or place.as_posix() in OTHER_MEANINGS:
            continue
        found += [
            f"{place}:{node.lineno}: {node.value!r}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and named.fullmatch(node.value)
        ]
    assert not found


def test_registering_pipelines_imports_no_slow_library():
    code = (
        "import sys; from tumor_ratio.pipeline_registry import register_pipelines; "
        "register_pipelines(); print({'torch', 'tensorflow', 'stardist'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
