"""The ilastik projects and the program that parameters name, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumor_ratio.pipelines.baseline_ilastik.params import IlastikParams
from tumor_ratio.pipelines.baseline_ilastik.projects import check_ilastik


def check_ilastik_projects(parameters: Mapping[str, Any], project: Path) -> None:
    """Open what a pipeline's parameters name.

    Parameters
    ----------
    parameters : by name, as the pipeline reads them.
    project : not needed: relative paths start where the run does.

    Raises
    ------
    ConfigurationError, IlastikError
        If a project or the program is missing, or cannot be used.
    """
    for value in parameters.values():
        if isinstance(value, IlastikParams):
            check_ilastik(value)
