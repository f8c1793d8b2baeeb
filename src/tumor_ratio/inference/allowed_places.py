"""From which folders slides may be read for whoever asks a served model."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from tumor_ratio.errors import SlideError

ALLOWED_ROOTS = "TUMOR_RATIO_ALLOWED_ROOTS"
"""Environment variable: the folders, separated as in PATH."""

OUTSIDE = f"name a file in one of the folders of {ALLOWED_ROOTS}"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\\)|//")


def allowed_roots(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Folders that slides may come from, links followed.

    Parameters
    ----------
    environment : as `os.environ`. What is not an absolute path in it counts as not there: an empty
        entry must not stand for the current folder.
    """
    entries = environment.get(ALLOWED_ROOTS, "").split(os.pathsep)
    return tuple(Path(entry).resolve() for entry in entries if Path(entry).is_absolute())


def allowed_file(named: str, slide_id: str, roots: Sequence[Path]) -> Path:
    """The regular file that a path means, if it lies where files may be read.

    Parameters
    ----------
    named : the path as it was asked for; anyone may have written it.
    slide_id : for errors.
    roots : from `allowed_roots`; none allow nothing.

    Returns
    -------
    Path
        With all links followed, so that what was checked is what is opened.

    Raises
    ------
    SlideError
        If it is a URL, is not absolute, climbs by "..", lies outside all roots, does not exist, or
        is no regular file. Outside the roots nothing is said about what exists.
    """
    if not roots:
        raise SlideError(
            slide_id,
            f"no folder is allowed: {ALLOWED_ROOTS} names none",
            f"start with {ALLOWED_ROOTS}=/path/of/slides (absolute, several separated by "
            f"'{os.pathsep}')",
        )
    if _URL.match(named):
        raise SlideError(slide_id, "slides are not fetched from URLs", OUTSIDE)
    if not named or "\0" in named or not Path(named).is_absolute():
        raise SlideError(slide_id, "the path is not absolute", OUTSIDE)
    if ".." in Path(named).parts:
        raise SlideError(slide_id, "the path climbs by '..'", OUTSIDE)
    try:
        path = Path(named).resolve()
        inside = any(path.is_relative_to(root) for root in roots)
        is_file = inside and stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        raise SlideError(slide_id, "there is no such file", "correct the path") from None
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a name of no letters
        raise SlideError(slide_id, "the path cannot be followed", "correct the path") from error
    if not inside:
        raise SlideError(slide_id, "the file lies outside the allowed folders", OUTSIDE)
    if not is_file:
        raise SlideError(slide_id, "the path is no regular file", "name a slide's file")
    return path
