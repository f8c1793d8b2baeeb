"""Which approaches a run trains and compares: the configuration's `approaches`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines

from tumor_ratio.approaches.contract import load
from tumor_ratio.approaches.registry import all_specs
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.pipeline_registry import DEFAULT_APPROACHES, pipelines_of

KEY = "approaches"

_NAME = re.compile(r"[A-Za-z]\w*")


class ApproachesHook:
    """Registers the pipelines of the approaches that `globals.yml` or `--params` name."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Choose the approaches before anything asks for a pipeline.

        Raises
        ------
        ConfigurationError
            If the list is empty or holds something that cannot name an approach, or an approach has
            no block of parameters.
        """
        loader = context.config_loader
        given = getattr(loader, "runtime_params", None) or {}
        configured = loader["globals"].get(KEY, DEFAULT_APPROACHES)
        approaches = names_in(given.get(KEY, configured))
        without = [name for name in approaches if name not in loader["parameters"]]
        if without:
            raise ConfigurationError(
                f"{KEY}: {', '.join(without)} has no parameters",
                "add a block of that name to the parameters of the environment "
                "(docs/regression.md), or correct the name",
            )
        pipelines.update(pipelines_of(approaches))


def names_in(value: Any) -> tuple[str, ...]:
    """Names of approaches: a list, or one text with spaces between them, as `--params` gives it.

    Raises
    ------
    ConfigurationError
        If there is none, one is given twice, or something is no name.
    """
    names = value.split() if isinstance(value, str) else value
    try:
        approaches = tuple(names)
    except TypeError:
        approaches = (names,)
    wrong = [name for name in approaches if not (isinstance(name, str) and _NAME.fullmatch(name))]
    if not approaches or wrong or len(set(approaches)) != len(approaches):
        raise ConfigurationError(
            f"{KEY}: a list of different names is expected, not {value!r}",
            f"for example `approaches: [{', '.join(DEFAULT_APPROACHES[:2])}]` in globals.yml, or "
            f'`--params="approaches={" ".join(DEFAULT_APPROACHES[:2])}"`',
        )
    return approaches


def check_approaches(parameters: Mapping[str, Any], project: Path) -> None:
    """Let each kind of approach look at the parameters that a pipeline reads, and what they name.

    Parameters
    ----------
    parameters : by name, as the pipeline reads them.
    project : not needed: relative paths start where the run does.

    Raises
    ------
    TumorRatioError
        As the kind's own check; a missing file for example.
    """
    for spec in all_specs():
        for value in parameters.values():
            if spec.check and isinstance(value, load(spec.parameters)):
                load(spec.check)(value)
