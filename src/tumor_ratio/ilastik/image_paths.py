"""Where a project's images are: beside it, below it, or in folders that were allowed.

A project names its images by paths of the machine on which it was saved. An image is looked for
where the path says and, as projects are moved and sent about, below the project's own folder under
the end of that path. What lies elsewhere, by an absolute path, by `..` or through a symbolic link,
is opened only where the caller allowed its folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tumor_ratio.ilastik.errors import IlastikError, Where

HDF5_SUFFIXES = (".h5", ".hdf5", ".ilp")
IN_FILES = re.compile(rf"(.+?({'|'.join(map(re.escape, HDF5_SUFFIXES))}))(?:/(.+))?$", re.I | re.S)
"""`file.h5/inner/path`, ilastik's way to name a dataset."""
DRIVE = re.compile(r"[A-Za-z]:[/\\]")
MAX_PATH = 4096


@dataclass(frozen=True)
class ImagePlace:
    """A file, and the dataset in it where it is HDF5.

    Parameters
    ----------
    path : links followed; it lies in the project's folder or an allowed one.
    inner : path of a dataset in the file; empty for other files.
    """

    path: Path
    inner: str = ""


def find_image(
    stored: str, project: Path, allowed_folders: Sequence[Path], where: Where
) -> ImagePlace:
    """The file that a project's `filePath` means.

    Parameters
    ----------
    stored : the path as the project says it, of any operating system.
    project : the project's own path; its folder is always allowed.
    allowed_folders : other folders that images may lie in.
    where : the path's place in the project, for complaints.

    Raises
    ------
    IlastikError
        If it is no single file, is not there, or lies where it may not.
    """
    outer, inner = split_path(stored, where)
    folder = project.parent
    absolute = outer.startswith("/") or DRIVE.match(outer) is not None
    if not absolute:
        candidates = [folder / outer]
    else:
        candidates = [] if DRIVE.match(outer) else [Path(outer)]
    allowed = [place.resolve() for place in (folder, *allowed_folders)]
    refused: Path | None = None
    for candidate in [*candidates, *_moved(outer, folder)]:
        found = _resolved(candidate)
        if found is None:
            continue
        if any(found.is_relative_to(place) for place in allowed):
            return ImagePlace(found, inner)
        refused = refused or found
    raise _not_found(stored, refused, candidates, allowed, where)


def _resolved(candidate: Path) -> Path | None:
    try:
        found = candidate.resolve()
        return found if found.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a null byte
        return None


def _not_found(
    stored: str, refused: Path | None, candidates: list[Path], allowed: list[Path], where: Where
) -> IlastikError:
    if refused is None:
        for candidate in candidates:
            outside = not any(_inside(candidate, place) for place in allowed)
            refused = candidate if outside and ".." in candidate.parts else refused
    if refused is not None:
        return where.error(
            f"the image '{stored}' lies outside the project's folder",
            f"put it beside the project, or allow {refused.parent} (allowed_folders)",
        )
    return where.error(
        f"the image '{stored}' is not there", "put it beside the project, under the same name"
    )


def _inside(candidate: Path, folder: Path) -> bool:
    try:
        return candidate.resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):
        return False


def split_path(stored: str, where: Where) -> tuple[str, str]:
    """Outer and inner path of `filePath`, with forward slashes.

    Raises
    ------
    IlastikError
        If it is an address in the network, or stands for several files.
    """
    path = stored.replace("\\", "/").strip()
    if not path or len(path) > MAX_PATH or "\0" in path:
        raise where.error("no path of an image", "choose the image again in ilastik")
    if "://" in path:
        raise where.error(f"an image in the network ('{path[:200]}')", "save it as a file")
    rest = path[2:] if DRIVE.match(path) else path
    if "*" in path or ";" in path or ":" in rest:
        raise where.error(
            f"an image put together from several files ('{path[:200]}')", "use single images"
        )
    match = IN_FILES.match(path)
    if match is None:
        return path, ""
    inner = (match.group(3) or "").strip("/")
    if not inner or ".." in inner.split("/"):
        raise where.error(f"no dataset is named in '{path[:200]}'", "choose the image again")
    return match.group(1), inner


def _moved(outer: str, folder: Path) -> list[Path]:
    """Ends of a path below the project's folder, the longest first."""
    parts = [part for part in PurePosixPath(outer).parts if part not in {"/", ".."}]
    parts = [part for part in parts if not re.fullmatch(r"[A-Za-z]:", part)]
    return [folder.joinpath(*parts[k:]) for k in range(len(parts))]
