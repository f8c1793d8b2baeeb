"""Reading a project file: which reader its version and workflow ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py

from tumor_ratio.ilastik.hdf5_checks import (
    SAVE_AGAIN,
    check_whole_file,
    dataset_of,
    group_of,
    open_hdf5,
    read_array,
    text_in,
    where_is,
)
from tumor_ratio.ilastik.hdf5_probe import check_survives
from tumor_ratio.ilastik.project import IlastikProject
from tumor_ratio.ilastik.project_05 import read_old_project
from tumor_ratio.ilastik.project_lanes import read_new_project
from tumor_ratio.ilastik.versions import Version, parsed_version

WORKFLOW = "Pixel Classification"
OLDEST = (0, 5)
NEWEST = (1, 4)


def read_project(path: Path, *, allowed_folders: Sequence[Path] = ()) -> IlastikProject:
    """Read a project; its images are found, and read when a lane is asked.

    Parameters
    ----------
    path : the project (.ilp).
    allowed_folders : folders besides the project's own that its images may lie in.

    Returns
    -------
    IlastikProject
        An image that is not there, or lies where it may not, is an error of that lane's
        `read_image` only: the rest of the project is of use without it.

    Raises
    ------
    IlastikError
        If the file is not such a project, is of another workflow or version, has images in depth
        or time, or tells what cannot be true.
    """
    path = Path(path).absolute()
    check_survives(path)
    with open_hdf5(path) as file:
        check_whole_file(file)
        number, version = _version(file)
        if number[:2] == OLDEST:
            return read_old_project(file, path, version)
        _check_workflow(file)
        return read_new_project(file, path, version, number, tuple(allowed_folders))


def _version(file: h5py.File) -> tuple[Version, str]:
    where = where_is(file).inside("ilastikVersion")
    dataset = dataset_of(file, "ilastikVersion")
    if dataset is None:
        raise where.error("no version: not a project of ilastik", "give a project (.ilp)")
    if dataset.dtype.kind == "f":
        text = f"{float(read_array(dataset).ravel()[0]):.2g}"
    else:
        text = text_in(file, "ilastikVersion") or ""
    number = parsed_version(text)
    if number is None or not OLDEST <= number[:2] <= NEWEST:
        raise where.error(
            f"saved by ilastik '{text[:40]}'; projects of 0.5 to 1.4 are read",
            "save it with ilastik 1.4",
        )
    return number, text


def _check_workflow(file: h5py.File) -> None:
    workflow = text_in(file, "workflowName")
    if workflow is None and group_of(file, "PixelClassification") is None:
        raise where_is(file).error("no workflow: not a project of ilastik", SAVE_AGAIN)
    if workflow is not None and workflow.strip() != WORKFLOW:
        raise (
            where_is(file)
            .inside("workflowName")
            .error(
                f"a project of '{workflow[:60]}'", f"only '{WORKFLOW}' is read: make such a project"
            )
        )
