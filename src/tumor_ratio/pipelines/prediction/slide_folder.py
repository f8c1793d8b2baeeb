"""Which files of a folder are slides."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tumor_ratio.cohort.slide_names import slide_id_of
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.opening import forget_reader
from tumor_ratio.imaging.readers import UnreadableError, one_line
from tumor_ratio.imaging.slide_checks import choose_reader, slide_identity

SKIPPED_COLUMNS = ["file", "reason"]


def slides_in(folder: Path) -> tuple[dict[str, Path], pd.DataFrame]:
    """Slide files of a folder, and what else lies there.

    Parameters
    ----------
    folder : its subfolders are not searched; parts of a slide lie in some.

    Returns
    -------
    slides : files by slide id, by name; ids come from the names, and differ without regard to case.
        Of links to one file, and of the files of one DICOM slide, the first.
    skipped : DataFrame of file (name only) and reason.

    Raises
    ------
    ConfigurationError
        If there is no such folder, or no slide in it.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be listed: {error.strerror}", "correct `prediction.folder`"
        ) from error
    found: dict[str, Path] = {}
    skipped = []
    for path in entries:
        reason = _why_not(path)
        slide = "" if reason else slide_identity(path)
        if slide in found:
            reason = f"the same slide as {found[slide].name}"
        if reason:
            skipped.append((path.name.encode(errors="backslashreplace").decode(), reason))
        else:
            found[slide] = path
    if not found:
        others = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise ConfigurationError(
            f"{folder} holds no slide" + (f" ({others})" if others else ""),
            "correct `prediction.folder`",
        )
    return _named(list(found.values())), pd.DataFrame(skipped, columns=SKIPPED_COLUMNS, dtype="str")


def _why_not(path: Path) -> str:
    if path.name.startswith("."):
        return "hidden"
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    try:
        if path.is_dir():
            return "a folder"
        choose_reader(path)
    except UnreadableError as error:
        return error.message
    except OSError as error:
        return one_line(error)
    finally:
        forget_reader(path)
    return ""


def _named(paths: list[Path]) -> dict[str, Path]:
    """Files by their stem, by their whole name where stems are equal, and numbered where all is."""
    stems = [slide_id_of(path.stem).lower() for path in paths]
    named: dict[str, Path] = {}
    for path in paths:
        alone = stems.count(slide_id_of(path.stem).lower()) == 1
        name = slide_id_of(path.stem if alone else path.name)
        number, chosen = 1, name
        while chosen.lower() in {known.lower() for known in named}:
            number += 1
            chosen = f"{name[:96]}_{number}"
        named[chosen] = path
    return named
