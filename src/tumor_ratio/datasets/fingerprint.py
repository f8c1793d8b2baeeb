"""What a task's result depends on, as one hash: equal fingerprints mean equal results.

The hash is taken of canonical JSON, never of a pickle, so that it is the same in every process, on
every day and under every hash seed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Set
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from tumor_ratio.params import ChangesNoResult
from tumor_ratio.steps import is_step, step_identity


def fingerprint(task: partial[Any], root: Path) -> str:
    """Hash of a task: name and version of its step and of those it uses, and all its arguments.

    Parameters
    ----------
    task : a `functools.partial` of a function marked with `tumor_ratio.steps.step`.
    root : the project's folder; paths below it count relative to it, so that a moved project keeps
        its results.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    TypeError
        If the function is no step, or an argument is of a kind whose content is not
        defined; the message names the argument.

    Notes
    -----
    - A pydantic model or dataclass counts by its class's name and its fields, without those marked
      `ChangesNoResult` or `compare=False`.
    - A table counts by columns, dtypes and values in order; an unnamed integer index does not
      count, since it changes when rows of *other* slides come or go.
    - A `Path` counts as something that is *read*: by its place, size and time of change, a folder
      by the files in it. A place that is *written* is passed as `str`.
    - Other objects say what they depend on through a method `__fingerprint__()`.
    """
    return hashlib.sha256(canonical_json(_describe_task(task, root, "task")).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of the files in a folder."""
    digest = hashlib.sha256()
    for part in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if part != path:
            digest.update(part.relative_to(path).as_posix().encode() + b"\0")
        with part.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def table_hash(table: pd.DataFrame) -> str:
    """SHA-256 of a table's columns, dtypes and values, in order."""
    digest = hashlib.sha256(str(len(table)).encode())
    columns = table if _is_plain_index(table.index) else table.reset_index()
    for position, name in enumerate(columns.columns):
        column = columns.iloc[:, position]
        digest.update(canonical_json([str(name), str(column.dtype)]).encode())
        digest.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _is_plain_index(index: pd.Index) -> bool:
    return index.nlevels == 1 and index.name is None and pd.api.types.is_integer_dtype(index.dtype)


def _describe_task(task: partial[Any], root: Path, where: str) -> dict[str, Any]:
    if not isinstance(task, partial):
        raise TypeError(f"{where}: a task is a functools.partial, not {type(task).__name__}")
    return {
        "step": _describe_function(task.func, where),
        "args": [
            describe(value, root, f"argument {index}") for index, value in enumerate(task.args)
        ],
        "kwargs": {
            name: describe(value, root, f"argument '{name}'")
            for name, value in task.keywords.items()
        },
    }


def _describe_function(function: Callable[..., Any], where: str) -> str:
    name = getattr(function, "__qualname__", type(function).__name__)
    if not is_step(function):
        raise TypeError(f"{where}: {name} is no step; mark it with @step(name=..., version=1)")
    if "<" in name:
        raise TypeError(f"{where}: {name} is not a function at the top of a module")
    identity = step_identity(function)
    before = BEFORE_NAMES.get(identity)
    return f"tumor_ratio.{before}" if before else identity


def describe(value: Any, root: Path, where: str = "value") -> Any:
    """Plain JSON values that stand for the content of `value`.

    Parameters
    ----------
    value : an argument of a step.
    root : the project's folder.
    where : how to name the value in an error.

    Raises
    ------
    TypeError
        If nothing is known about values of this kind.
    """
    if value is None or isinstance(value, bool | str) or type(value) in (int, float):
        return value
    for kinds, describe_kind in _KINDS:
        if isinstance(value, kinds) and not isinstance(value, type):
            return describe_kind(value, root, where)
    if hasattr(value, "__fingerprint__") and not isinstance(value, type):
        return [type(value).__name__, describe(value.__fingerprint__(), root, where)]
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        counted = [name for name in fields if ChangesNoResult() not in fields[name].metadata]
        return _describe_fields(value, counted, root, where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.compare]
        return _describe_fields(value, names, root, where)
    if callable(value) and hasattr(value, "__qualname__"):
        return _describe_function(value, where)
    raise TypeError(
        f"{where}: no fingerprint of a {type(value).__module__}.{type(value).__qualname__}; pass "
        "plain values, tables, arrays, paths, parameters, or an object with __fingerprint__()"
    )


def _describe_fields(value: Any, names: Any, root: Path, where: str) -> list[Any]:
    fields = {name: describe(getattr(value, name), root, f"{where}.{name}") for name in names}
    return [type(value).__name__, fields]


def _describe_mapping(value: Mapping[Any, Any], root: Path, where: str) -> list[Any]:
    pairs = [
        [describe(key, root, where), describe(entry, root, f"{where}[{key!r}]")]
        for key, entry in value.items()
    ]
    return ["mapping", *sorted(pairs, key=canonical_json)]


def _describe_sequence(value: Any, root: Path, where: str) -> list[Any]:
    entries = [describe(entry, root, f"{where}[{index}]") for index, entry in enumerate(value)]
    return ["sequence", *entries]


def _describe_set(value: Set[Any], root: Path, where: str) -> list[Any]:
    return ["set", *sorted((describe(entry, root, where) for entry in value), key=canonical_json)]


def _describe_table(value: pd.DataFrame, root: Path, where: str) -> list[Any]:
    try:
        return ["table", table_hash(value)]
    except TypeError as error:
        raise TypeError(f"{where}: a column holds values without a fingerprint: {error}") from error


def _describe_array(value: np.ndarray, root: Path, where: str) -> list[Any]:
    if value.dtype.hasobject:
        raise TypeError(f"{where}: no fingerprint of an array of Python objects")
    content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return ["array", str(value.dtype), list(value.shape), content]


def _describe_path(value: Path, root: Path, where: str) -> list[Any]:
    place = Path(os.path.abspath(value if value.is_absolute() else root / value))
    files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    return ["path", _place(place, root), [_stat_of(file, place) for file in files]]


def _place(path: Path, root: Path) -> str:
    root = Path(os.path.abspath(root))
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _stat_of(file: Path, folder: Path) -> list[Any] | None:
    if not file.exists():
        return None
    stat = file.stat()
    return [file.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns]


_KINDS: tuple[tuple[Any, Callable[[Any, Path, str], Any]], ...] = (
    (enum.Enum, lambda value, root, where: [type(value).__name__, value.name]),
    (np.generic, lambda value, root, where: describe(value.item(), root, where)),
    (np.ndarray, _describe_array),
    (pd.DataFrame, _describe_table),
    (pd.Series, lambda value, root, where: _describe_table(value.to_frame(), root, where)),
    (np.random.SeedSequence, lambda value, root, where: ["seed", value.entropy, *value.spawn_key]),
    (Path, _describe_path),
    (bytes, lambda value, root, where: ["bytes", hashlib.sha256(value).hexdigest()]),
    ((dt.date, dt.time), lambda value, root, where: [type(value).__name__, value.isoformat()]),
    (partial, _describe_task),
    (Mapping, _describe_mapping),
    (Set, _describe_set),
    ((list, tuple), _describe_sequence),
)

BEFORE_NAMES = {
    "assess_staining@1": "labelling.staining_quality.judge_staining@1",
    "classify_pixels@1": "pipelines.baseline_ilastik.classify_step.classify_slide@1",
    "compare_load_sizes@1 segment_nuclei@5 train_cyclegan@1": (
        "pipelines.gan_translation.load_sizes.compare_load_sizes@501"
    ),
    "describe_appearance@2": "pipelines.data_processing.appearance_step.describe_slide@2",
    "describe_patches@2": "pipelines.ground_truth.labels.describe_slide_patches@2",
    "export_cyclegan@1": "pipelines.gan_translation.slide_model.assemble_translator@501",
    "export_nuclei@1": "pipelines.nuclei_export.nodes.nuclei_geojson@1",
    "export_pixel_forest@1": "pipelines.baseline_ilastik.slide_model.assemble_forest@1",
    "import_generator@1": "pipelines.gan_translation.training_step.adopt_generator@1",
    "measure_comparison_labels@1": "labelling.compared_methods.measure_slide_otherwise@1",
    "measure_hematoxylin@1": "inference.calibration_areas.hematoxylin_areas@1",
    "measure_ratio_labels@1": "pipelines.ground_truth.labels.measure_slide@1",
    "measure_truths@1": "phantom.region_truths.measure_slide_truths@1",
    "open_pair@4": "cohort.opening.open_planned_pair@4",
    "render_phantom@1": "pipelines.data_processing.phantom_slides.render_phantom_pair@1",
    "score_tiles@3": "cohort.tile_scores.score_pair_tiles@3",
    "segment_nuclei@5": "labelling.segmentation.segment_slide@5",
    "segment_virtual_nuclei@1 segment_nuclei@5": (
        "pipelines.gan_translation.slide_steps.measure_translation@501"
    ),
    "summarise_new_slide@5": "pipelines.prediction.slide_steps.summarise_new_slide@5",
    "train_cyclegan@1 segment_nuclei@5": (
        "pipelines.gan_translation.training_step.train_cyclegan@501"
    ),
    "train_pixel_forest@1": "pipelines.baseline_ilastik.forest_step.train_section_forest@1",
    "translate_slide@1": "pipelines.gan_translation.slide_steps.translate_slide@1",
}
"""What was hashed of a step before steps had names: its module, function and a version. It still
is, so that results of before hold, until the version of the step or of one that it uses is raised;
then the line goes. Steps that did not follow those they use are not listed."""
