"""What people and their programs write into a table's cells: nothing, a name, a place."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

MISSING = frozenset(
    {"na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "null", "none", "nil", "-", "--", "–", "—"}
)
"""How R, pandas, databases, Excel and people write that a value is missing, in lower case."""

_NUMBER = re.compile(r"0*(\d+)(?:[.,]0*)?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_DRIVE = re.compile(r"([A-Za-z]):[\\/]")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}


def is_missing(cell: str) -> bool:
    """Whether a cell says that nothing is known."""
    return not cell or cell.lower() in MISSING


def name_key(name: str) -> str:
    """Equal for names that mean the same: `2` and `2.0` and `02`, `M1` and `m1`, however composed.

    Spreadsheets drop leading zeros and add decimals, and file systems compose accents differently.
    """
    number = _NUMBER.fullmatch(name)
    if number:
        return number[1]
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def place_written(text: str, folder: Path) -> tuple[Path, str]:
    """The file or folder that a text means.

    Parameters
    ----------
    text : not empty; absolute, relative to `folder`, or below `~`, the user's own folder.
    folder : where relative ones start.

    Returns
    -------
    path : absolute if `folder` is; with accents composed as on disk, where it is there.
    complaint : what stands there instead of a path, and what is likely meant; empty for a path.
    """
    plain = folder / text
    if text[0] in _QUOTES and text[-1] == _QUOTES[text[0]] and len(text) > 1:
        return plain, f"{text} stands in quotes; leave them out"
    if os.name != "nt":
        if drive := _DRIVE.match(text):
            rest = text[3:].replace("\\", "/")
            return plain, (
                f"'{text}' is a path of Windows; this system knows the file by another, under WSL "
                f"for instance /mnt/{drive[1].lower()}/{rest}"
            )
        if text.startswith("\\\\"):
            return plain, (
                f"'{text}' is a network path of Windows; give the folder where it is mounted here"
            )
    if _URL.match(text):
        return plain, _of_address(text)
    if text.startswith("~"):
        try:
            return Path(text).expanduser(), ""
        except RuntimeError:
            return plain, f"'{text}': no user of that name has a folder here; write the whole path"
    if os.name != "nt" and "\\" in text and not plain.exists():
        slashed = text.replace("\\", "/")
        if (folder / slashed).exists():
            return plain, f"'{text}' has Windows' separators; write {slashed}"
    return _as_on_disk(plain), ""


def _of_address(text: str) -> str:
    scheme = text.partition(":")[0].lower()
    if scheme == "file":
        return f"'{text}' is an address; write the path: {unquote(urlsplit(text).path)}"
    return f"'{text}' is an address; download the file and give its path here"


def _as_on_disk(path: Path) -> Path:
    """The path with each part's accents composed as the file system has them (macOS takes them
    apart, most programs do not); as it is where nothing of the name is there.
    """
    if path.exists() or str(path).isascii():
        return path
    found = Path(path.anchor)
    for part in path.parts[1 if path.anchor else 0 :]:
        forms = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        found /= next((form for form in forms if (found / form).exists()), part)
    return found
