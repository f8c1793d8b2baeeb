"""A step has a name, a version and the steps that it uses; the package's steps name them all."""

from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

import tumor_ratio
from tests.foundation.step_calls import PackageSource
from tumor_ratio.datasets.fingerprint import BEFORE_NAMES, fingerprint
from tumor_ratio.steps import step, step_identity

PACKAGE = Path(tumor_ratio.__file__).parent


@step(name="double", version=3)
def double(x: int) -> int:
    return 2 * x


@step(name="fourfold", version=1, uses=[double])
def fourfold(x: int) -> int:
    return double(double(x))


@step(name="eightfold", version=2, uses=[fourfold, double])
def eightfold(x: int) -> int:
    return double(fourfold(x))


def test_a_step_works_as_before():
    assert eightfold(2) == 16


def test_its_identity_names_once_each_step_that_it_uses():
    assert step_identity(double) == "double@3"
    assert step_identity(eightfold) == "eightfold@2 double@3 fourfold@1"


def test_versions_start_at_one():
    with pytest.raises(ValueError, match="step 'half': a version starts at 1"):
        step(name="half", version=0)


def test_only_steps_can_be_used():
    with pytest.raises(TypeError, match=r"step 'half': .*len.* is not marked with @step"):
        step(name="half", version=1, uses=[len])


@pytest.fixture(scope="module")
def source() -> PackageSource:
    return PackageSource(PACKAGE)


def _function(place):
    module, name = place
    return getattr(import_module(module), name)


def test_each_name_belongs_to_one_step_of_the_package(source):
    names = [_function(place).step_name for place in source.steps]
    assert len(names) > 20
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if not name.isidentifier()] == []


def test_each_step_of_the_package_names_the_steps_that_it_calls(source):
    missing = {
        f"{_function(place).step_name} calls {_function(called).step_name}"
        for place in source.steps
        for called in source.called_by(place)
        if _function(called) not in _function(place).step_uses
    }
    assert not missing, "name them in the step's `uses`"


def test_a_raised_version_makes_anew_what_uses_it_and_nothing_else(source, monkeypatch):
    tasks = {place: partial(_function(place)) for place in source.steps}
    users = {place: _users(source, place) for place in tasks}
    assert sum(len(found) > 1 for found in users.values()) >= 5
    before = {place: fingerprint(task, PACKAGE) for place, task in tasks.items()}
    for place, task in tasks.items():
        with monkeypatch.context() as patch:
            patch.setattr(task.func, "step_version", task.func.step_version + 1)
            changed = {p for p, t in tasks.items() if fingerprint(t, PACKAGE) != before[p]}
        assert changed == users[place], task.func.step_name


def _users(source, step):
    """The step itself, and what uses it, or uses what uses it."""
    found, size = {step}, 0
    while len(found) > size:
        size = len(found)
        wanted = {_function(place) for place in found}
        found |= {place for place in source.steps if wanted & {*_function(place).step_uses}}
    return found


def test_results_of_before_are_reused_only_for_steps_as_they_are(source):
    assert set(BEFORE_NAMES) <= {step_identity(_function(place)) for place in source.steps}


STEPS = """
from tumor_ratio import steps
from house import attic, rooms
from house.rooms import Cellar as Below
import house.attic as roof

@steps.step(name="a", version=1)
def direct(): return plain()

@steps.step(name="b", version=1)
def plain(): return 1

@steps.step(name="c", version=1)
def by_helper(): return attic.helper()

@steps.step(name="d", version=1)
def by_class(cellar: Below): return cellar.dig()

@steps.step(name="e", version=1)
def by_step(): return direct()

@steps.step(name="f", version=1)
def late():
    from house import shown
    return shown()

@steps.step(name="g", version=1)
def by_table(): return TABLE["x"]()

@steps.step(name="h", version=1, uses=[plain])
def by_nothing(attic): return [by_nothing, "direct"]

@steps.step(name="i", version=1)
def by_text(): return load("house.rooms:Cellar"), roof.nothing

TABLE = {"x": direct}
"""


def test_calls_are_found_through_whatever_is_no_step(tmp_path):
    house = tmp_path / "house"
    house.mkdir()
    (house / "__init__.py").write_text("from house.attic import helper as shown")
    (house / "work.py").write_text(STEPS)
    (house / "attic.py").write_text("def helper():\n from house.work import plain\n plain()")
    (house / "rooms.py").write_text(
        "from house.attic import helper\nclass Cellar:\n def dig(self): return helper()"
    )
    source = PackageSource(house)
    calls = {name: {c for _, c in source.called_by((m, name))} for m, name in source.steps}
    assert calls == {
        "direct": {"plain"},
        "plain": set(),
        "by_helper": {"plain"},
        "by_class": {"plain"},
        "by_step": {"direct"},
        "late": {"plain"},
        "by_table": {"direct"},
        "by_nothing": set(),
        "by_text": {"plain"},
    }
