import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from tumor_ratio.datasets.fingerprint import canonical_json, file_hash, fingerprint, table_hash
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.params import ChangesNoResult, Params
from tumor_ratio.steps import step


class Inner(Params):
    level: int = 1


class Outer(Params):
    name: str = "a"
    inner: Inner = Inner()
    cache_mb: Annotated[int, ChangesNoResult()] = Field(default=8, ge=0)


@dataclass(frozen=True)
class Handle:
    path: Path
    cache: int = field(default=0, compare=False)


class Stain(Enum):
    HE = 1
    IHC = 2


@step(name="work", version=1)
def work(*args: Any, **kwargs: Any) -> None:
    """Takes anything."""


@step(name="other", version=1)
def other(*args: Any) -> None:
    """Takes anything, too."""


@step(name="user", version=1, uses=[work])
def user(*args: Any) -> None:
    """Is taken to call `work`."""


@step(name="outermost", version=1, uses=[user, other])
def outermost(*args: Any) -> None:
    """Is taken to call both."""


def of(*args: Any, root: Path = Path("/project"), **kwargs: Any) -> str:
    return fingerprint(partial(work, *args, **kwargs), root)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(plain, plain)
def test_equal_values_equal_fingerprints_and_only_these(first, second):
    assert of(first) == of(first)
    assert (of(first) == of(second)) == (_sorted_repr(first) == _sorted_repr(second))


def _sorted_repr(value: Any) -> str:
    if isinstance(value, dict):
        return f"dict{sorted((key, _sorted_repr(entry)) for key, entry in value.items())}"
    if isinstance(value, list):
        return str([_sorted_repr(entry) for entry in value])
    return repr(value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Outer(), Outer(inner=Inner(level=2))),
        (Handle(Path("a")), Handle(Path("b"))),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros(2, np.float32), np.zeros(2, np.float64)),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]})),
        (pd.DataFrame({"a": ["x", "y"]}), pd.DataFrame({"a": ["y", "x"]})),
        (pd.DataFrame({"a": []}), pd.DataFrame({"b": []})),
        (pd.DataFrame({"a": [1]}, index=pd.Index(["x"])), pd.DataFrame({"a": [1]})),
        (Stain.HE, Stain.IHC),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (b"a", b"b"),
        (1, True),
        (np.random.SeedSequence(1), np.random.SeedSequence(2)),
        (partial(work, 1), partial(work, 2)),
    ],
)
def test_what_differs_has_another_fingerprint(first, second):
    assert of(first) != of(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Outer(), Outer()),
        (Outer(), Outer(cache_mb=9)),
        (Handle(Path("a"), cache=1), Handle(Path("a"), cache=2)),
        (np.arange(6).reshape(2, 3).T, np.ascontiguousarray(np.arange(6).reshape(2, 3).T)),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 2]}, index=[7, 9])),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.float64(0.5), 0.5),
        ((1, 2), [1, 2]),
    ],
)
def test_what_means_the_same_has_the_same_fingerprint(first, second):
    assert of(first) == of(second)


def test_step_version_and_argument_names_count(monkeypatch):
    assert fingerprint(partial(other, 1), Path()) != of(1)
    assert of(1) != of(value=1)
    before = of(1)
    monkeypatch.setattr(work, "step_version", 2)
    assert of(1) != before


def test_a_step_is_known_by_its_name_wherever_it_lives(monkeypatch):
    before = of(1)
    monkeypatch.setattr(work, "__module__", "elsewhere")
    monkeypatch.setattr(work, "__qualname__", "renamed")
    assert of(1) == before
    monkeypatch.setattr(work, "step_name", "another")
    assert of(1) != before


def test_the_versions_of_used_steps_count_however_far_away(monkeypatch):
    task = partial(outermost, 1)
    before = fingerprint(task, Path())
    monkeypatch.setattr(work, "step_version", 2)
    raised = fingerprint(task, Path())
    assert raised != before
    monkeypatch.setattr(user, "step_uses", ())
    assert fingerprint(task, Path()) not in (before, raised)


def test_results_from_before_steps_had_names_still_hold():
    before = {
        "step": "tumor_ratio.labelling.segmentation.segment_slide@5",
        "args": [],
        "kwargs": {},
    }
    expected = hashlib.sha256(canonical_json(before).encode()).hexdigest()
    assert fingerprint(partial(segment_slide), Path()) == expected


def test_files_count_by_place_size_and_time_relative_to_the_project(tmp_path):
    first, second = tmp_path / "one", tmp_path / "two"
    for project in (first, second):
        (project / "data").mkdir(parents=True)
        (project / "data/slide.tif").write_bytes(b"pixels")
        os.utime(project / "data/slide.tif", ns=(1, 1))
    inside = Path("data/slide.tif")
    assert of(first / inside, root=first) == of(second / inside, root=second)
    assert of(inside, root=first) == of(first / inside, root=first)
    folder = of(first / "data", root=first)
    os.utime(second / inside, ns=(2, 2))
    assert of(first / inside, root=first) != of(second / inside, root=second)
    (first / "data/more").write_bytes(b"")
    assert of(first / "data", root=first) != folder
    assert of(first / "gone", root=first) != of(first / inside, root=first)


def test_references_count_by_content():
    ref = PartitionRef("s1", Path("/x/s1.json"), "abc", {"type": "json.JSONDataset"})
    moved = PartitionRef("s1", Path("/y/s1.json"), "abc", {"type": "json.JSONDataset"})
    changed = PartitionRef("s1", Path("/x/s1.json"), "abd", {"type": "json.JSONDataset"})
    assert of(ref) == of(moved) != of(changed)


def test_the_same_in_every_process_and_under_every_hash_seed():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy as np, pandas as pd\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "import sample_steps\n"
        "from tumor_ratio.datasets.fingerprint import fingerprint\n"
        "table = pd.DataFrame({'id': ['a', 'b'], 'x': [1.5, None]})\n"
        "table['c'] = pd.Categorical(['u', 'v'])\n"
        "task = partial(sample_steps.square, {'x', 'y', 'z'}, {'k': table}, np.arange(3))\n"
        "print(fingerprint(task, Path('/project')))\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "4711")
    }
    assert len(seen) == 1
    assert len(seen.pop().strip()) == 64


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"argument 0: no fingerprint of a builtins.object"),
        ([np.random.default_rng(0)], r"argument 0\[0\]: no fingerprint of a numpy"),
        (np.array([object()]), r"array of Python objects"),
        (pd.DataFrame({"a": [[1], [2]]}), r"a column holds values without a fingerprint"),
    ],
)
def test_unknown_kinds_are_refused_by_name(value, message):
    with pytest.raises(TypeError, match=message):
        of(value)


def test_only_steps_have_fingerprints():
    with pytest.raises(TypeError, match=r"len is no step; mark it with @step\("):
        fingerprint(partial(len, []), Path())

    @step(name="local", version=1)
    def local() -> None:
        """Inside another function."""

    with pytest.raises(TypeError, match="not a function at the top of a module"):
        fingerprint(partial(local), Path())


def test_hashes_of_files_and_tables(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    before = file_hash(tmp_path)
    assert file_hash(tmp_path / "a") != before
    (tmp_path / "a").rename(tmp_path / "b")
    assert file_hash(tmp_path) != before
    assert table_hash(pd.DataFrame({"a": [1]})) == table_hash(pd.DataFrame({"a": [1]}))
