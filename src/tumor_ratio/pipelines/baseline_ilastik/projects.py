"""The user's ilastik projects and program, found and checked before anything is computed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tumor_ratio.approaches.ilastik import NAME as APPROACH
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.ilastik.image_paths import ImagePlace
from tumor_ratio.pipelines.baseline_ilastik.engine import IlastikEngine
from tumor_ratio.pipelines.baseline_ilastik.forest_step import ProjectOfUser, check_project
from tumor_ratio.pipelines.baseline_ilastik.params import IlastikParams


def project_of_user(params: IlastikParams, section: str) -> ProjectOfUser | None:
    """The project of a stain, with the files of its images; None where none is named.

    Raises
    ------
    ConfigurationError, IlastikError
        If it is missing, cannot be read, or has other labels than are named.
    """
    options = params.section(section)
    if not options.project:
        return None
    path = Path(options.project).absolute()
    if not path.is_file():
        raise ConfigurationError(
            f"there is no ilastik project {path}",
            f"correct {APPROACH}.{section}.project, or leave it empty to draw strokes on phantoms",
        )
    folders = tuple(str(Path(name).absolute()) for name in params.allowed_folders)
    project = ProjectOfUser(path, (), folders)
    opened = project.read()
    check_project(opened, options, section)
    places = [lane.image for lane in opened.lanes if isinstance(lane.image, ImagePlace)]
    return ProjectOfUser(path, tuple(place.path for place in places), folders)


def engine_of(params: IlastikParams, section: str) -> IlastikEngine | None:
    """Ilastik itself, where it is named.

    Raises
    ------
    ConfigurationError
        If there is no such program.
    """
    if not params.executable:
        return None
    found = shutil.which(params.executable)
    if found is None:
        raise ConfigurationError(
            f"{params.executable} is no program that can be run",
            f"correct {APPROACH}.executable, or leave it empty: the built-in forest classifies",
        )
    project = params.section(section).project
    return IlastikEngine(
        Path(found).absolute(),
        Path(project).absolute() if project else None,
        params.timeout_s,
        params.ram_mb,
    )


def check_ilastik(params: IlastikParams) -> None:
    """Raise what is wrong with the projects and the program that are named."""
    for section in ("he", "ihc"):
        project_of_user(params, section)
        engine_of(params, section)
