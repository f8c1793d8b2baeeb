"""Takes places of files out of messages, which may name patients or people."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

LEFT_OUT: Final = "(file)"

_START = (
    r"(?:(?<![\w/\\.<&])(?:[A-Za-z]:[\\/]|~?/|\.{1,2}[\\/]|\\\\)|\b[a-z][a-z0-9+]+://)(?=[^\s/])"
)
_IMAGES = (
    r"(?i:svs|svslide|tiff?|btf|ndpis?|vms|vmu|vsi|scn|mrxs|bif|dcm|dicom|czi|qptiff|isyntax"
    r"|png|jpe?g|jpe|jfif|jp2|j2k|bmp|webp|gif)"
)
_SUFFIX = rf"\.(?:{_IMAGES}|(?i:csv|json|ya?ml|h5|ilp|dat|ini))"
_QUOTED = re.compile(rf"(?P<quote>['\"]){_START}(?:(?!(?P=quote)(?:\W|$))[^\n])*(?P=quote)?")
"""An apostrophe before a letter is part of a name; a quote that a message's end cut off counts."""
_TO_SUFFIX = re.compile(rf"{_START}(?:[^\n;:]|[;:](?=\S))*?{_SUFFIX}\b")
_TO_SPACE = re.compile(rf"{_START}[^\s;,\"]*[^\s;,.:)'\"]")
_PART = r"[\w.@+=~'’-]+(?: +[^\W_a-z][\w.@+=~'’-]*)*"
_RELATIVE = re.compile(rf"(?<![\w/\\])[\w.-]+(?:[\\/]{_PART})+{_SUFFIX}\b")
_FIRST = re.compile(rf"\A[^\n/\\;:(]*?\.{_IMAGES}(?=:| cannot be read\b)")
"""Readers begin a message with the file's name, which may hold blanks."""
_NAME = re.compile(rf"(?<![\w/\\])(?:[^\W_a-z][\w.,'’-]* +)*[\w.@+=~'’-]+\.{_IMAGES}\b")
"""A name, with words before it that begin with a capital or a digit."""
_NET = (_QUOTED, _TO_SUFFIX, _TO_SPACE, _RELATIVE, _FIRST, _NAME)


def without_paths(text: str, known: Collection[str] = ()) -> str:
    """The text with paths, addresses and names of image files replaced by "(file)".

    Parameters
    ----------
    text : a message.
    known : paths of files that it may name; they and their names are found whatever they hold.
        Folders end with a slash: their names alone may be words. Of other files, what stands from a
        path's start to the ending of a slide's, a picture's or a table's file is found, and of bare
        names with blanks what looks like one. Units such as um/px stay.
    """
    if known:
        text = _known_pattern(frozenset(known)).sub(LEFT_OUT, text)
    for pattern in _NET:
        text = pattern.sub(LEFT_OUT, text)
    return text


@lru_cache(maxsize=8)
def _known_pattern(known: frozenset[str]) -> re.Pattern[str]:
    """The paths, the folders that hold a slide's parts, and the names; longest first."""
    spelled: set[str] = set()
    for path in known:
        name = re.split(r"[\\/]", path)[-1]
        stem, dot, _ = path.rpartition(".")
        folder = stem if dot and len(stem) > len(path) - len(name) else ""
        spelled |= {
            path.rstrip("\\/"),
            folder,
            name if len(name) > 2 and not name.isdigit() else "",
        }
    spelled |= {repr(each)[1:-1] for each in spelled}  # as errors of the system spell them
    longest_first = sorted(spelled - {""}, key=len, reverse=True)
    choices = "|".join(re.escape(each) for each in longest_first)
    return re.compile(rf"(?<!\w)(?:{choices})(?:[\\/][^\s;:'\"]+)?(?!\w)")
