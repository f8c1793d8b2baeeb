"""What is checked before any node runs: parameters, the user's own files, earlier results."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines as registry
from kedro.io import CatalogProtocol, MemoryDataset
from kedro.io.core import is_parameter
from kedro.pipeline import Pipeline

from tumor_ratio.hooks.errors import (
    MissingInputsError,
    UnknownParametersError,
    show_errors_shortly,
)
from tumor_ratio.schemas import Predictions

logger = logging.getLogger(__name__)

PREDICTIONS = ".predictions"
ACCOUNT = ".account"

Check = Callable[[Mapping[str, Any], Path], None]
"""`check(the pipeline's parameters by name, the project's folder)` raises what it finds."""


class PreflightHook:
    """Stops a run before its first node, and before MLflow hears of it, with all that is missing.

    Parameters
    ----------
    allowed_parameters : top-level names that may be given though no node reads them, such as those
        that only the catalog's interpolation uses.
    checks : further checks, of the files that parameters name for example.
    """

    def __init__(
        self, allowed_parameters: Sequence[str] = (), checks: Sequence[Check] = ()
    ) -> None:
        self._allowed = tuple(allowed_parameters)
        self._checks = tuple(checks)
        self._project = Path.cwd()

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the project; show errors for users without a traceback from here on."""
        self._project = Path(context.project_path)
        show_errors_shortly()

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Check parameters first, then the user's files, then earlier results."""
        configured = catalog["parameters"].load() if "parameters" in catalog else {}
        registered = dict(registry)
        check_parameter_names(configured, [*registered.values(), pipeline], self._allowed)
        used = [name for name in pipeline.inputs() if is_parameter(name) and name in catalog]
        for check in self._checks:
            check({name: catalog[name].load() for name in used}, self._project)
        env = run_params.get("env") or ""
        leave_out_approaches(pipeline, catalog, registered)
        check_inputs(pipeline, catalog, registered, env)


def check_parameter_names(
    parameters: Mapping[str, Any], pipelines: Sequence[Pipeline], allowed: Sequence[str] = ()
) -> None:
    """Refuse parameters that nothing reads.

    Parameters
    ----------
    parameters : configuration with what the command line added.
    pipelines : all that are registered.
    allowed : top-level names that are fine all the same.

    Raises
    ------
    UnknownParametersError
        Listing each unknown name with the valid names beside it.
    """
    used = {name for pipeline in pipelines for name in pipeline.inputs() if is_parameter(name)}
    if "parameters" in used:
        return  # some node reads them all
    paths = {name.removeprefix("params:") for name in used} | set(allowed)
    problems = list(_unknown(parameters, paths, ""))
    if problems:
        raise UnknownParametersError("\n".join(problems))


def _unknown(group: Mapping[str, Any], paths: set[str], prefix: str) -> Iterator[str]:
    """Complaints about names in `group`, whose own dotted path is `prefix` with a dot."""
    valid = sorted({p[len(prefix) :].split(".")[0] for p in paths if p.startswith(prefix)})
    for name, value in group.items():
        path = f"{prefix}{name}"
        if path in paths:
            continue  # what is inside is checked by the parameter's own type
        if name not in valid:
            close = difflib.get_close_matches(str(name), valid, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            yield f"unknown parameter '{path}'{hint}; valid names: {', '.join(valid)}"
        elif isinstance(value, Mapping):
            yield from _unknown(value, paths, f"{path}.")


def leave_out_approaches(
    pipeline: Pipeline, catalog: CatalogProtocol, registered: Mapping[str, Pipeline]
) -> None:
    """Let a comparison go on without approaches that never ran; it names them as such.

    Their predictions are taken for empty, where nothing but comparisons reads them. If no approach
    of a comparison has any, nothing is done: that is a missing input.

    Parameters
    ----------
    pipeline : what is about to run; a node that reads several `<approach>.predictions` compares.
    catalog : where they would be; gets empty ones in their place.
    registered : the pipelines that could make them, for the message.
    """
    missing = _missing_inputs(pipeline, catalog)
    read = [{name for name in n.inputs if name.endswith(PREDICTIONS)} for n in pipeline.nodes]
    compared = set[str]().union(*(names for names in read if len(names) > 1))
    alone = set[str]().union(*(names for names in read if len(names) == 1))
    late = [name.removesuffix(PREDICTIONS) for name in missing if name in compared - alone]
    if len(late) == len(compared):
        return
    makers = {name: p for name, p in registered.items() if not name.startswith("__")}
    for approach in late:
        maker = _maker_of(approach + PREDICTIONS, makers, catalog)
        catalog[approach + PREDICTIONS] = MemoryDataset(Predictions.empty())
        if approach + ACCOUNT in missing:
            catalog[approach + ACCOUNT] = MemoryDataset({})
        logger.warning(
            "%s has no predictions yet: the comparison goes on without it and names it "
            "(kedro run --pipelines=%s makes them)",
            approach,
            maker,
        )


def check_inputs(
    pipeline: Pipeline,
    catalog: CatalogProtocol,
    registered: Mapping[str, Pipeline],
    env: str = "",
) -> None:
    """Refuse a pipeline whose inputs no earlier run has made.

    Parameters
    ----------
    pipeline : what is about to run.
    catalog : where its inputs would be.
    registered : the pipelines that could make them, in the order of the story.
    env : the run's configuration environment, for the message.

    Raises
    ------
    MissingInputsError
        Naming the inputs and all pipelines that must run first.
    """
    missing = _missing_inputs(pipeline, catalog)
    if not missing:
        return
    makers = {name: p for name, p in registered.items() if not name.startswith("__")}
    needed = _pipelines_to_run(missing, makers, catalog)
    lines = [_line(name, makers, catalog) for name in missing]
    raise MissingInputsError(lines, [name for name in makers if name in needed], env)


def _missing_inputs(pipeline: Pipeline, catalog: CatalogProtocol) -> list[str]:
    return sorted(
        name
        for name in pipeline.inputs()
        if not (name in catalog and (is_parameter(name) or catalog.exists(name)))
    )


def _pipelines_to_run(
    missing: Sequence[str], makers: Mapping[str, Pipeline], catalog: CatalogProtocol
) -> set[str]:
    """Names of the pipelines that make the datasets, and what those need in turn."""
    needed: set[str] = set()
    wanted, seen = list(missing), set(missing)
    while wanted:
        maker = _maker_of(wanted.pop(), makers, catalog)
        if maker is None or maker in needed:
            continue
        needed.add(maker)
        new = [each for each in _missing_inputs(makers[maker], catalog) if each not in seen]
        wanted += new
        seen |= set(new)
    return needed


def _maker_of(name: str, makers: Mapping[str, Pipeline], catalog: CatalogProtocol) -> str | None:
    """Pipeline that makes the dataset, or another one in the same place; None where none does."""
    for key, pipeline in makers.items():
        if name in pipeline.all_outputs():
            return key
    place = _place(name, catalog)
    for key, pipeline in makers.items():
        if place and any(_place(each, catalog) == place for each in pipeline.all_outputs()):
            return key
    return None


def _place(name: str, catalog: CatalogProtocol) -> str:
    """File or folder of a dataset; empty where it has none."""
    dataset = catalog.get(name) if name in catalog and not is_parameter(name) else None
    described = dataset._describe() if dataset is not None else {}
    return str(described.get("filepath") or described.get("path") or "")


def _line(name: str, makers: Mapping[str, Pipeline], catalog: CatalogProtocol) -> str:
    maker, place = _maker_of(name, makers, catalog), _place(name, catalog)
    if maker:
        return f"{name} (made by {maker})"
    if is_parameter(name):
        return f"{name} (conf/ sets no such parameter)"
    return (
        f"{name} (no pipeline makes it; bring {place})" if place else f"{name} (not in the catalog)"
    )
