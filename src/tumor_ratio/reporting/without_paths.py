"""Takes places of files out of messages, which may name patients or people."""

from __future__ import annotations

import re
from typing import Final

LEFT_OUT: Final = "(file)"

_START = (
    r"(?:(?<![\w/\\.<&])(?:[A-Za-z]:[\\/]|~?/|\.{1,2}[\\/]|\\\\)|\b[a-z][a-z0-9+]+://)(?=[^\s/])"
)
_QUOTED = re.compile(rf"(?P<quote>['\"]){_START}[^'\"\n]*(?P=quote)")
_IMAGES = r"svs|tiff?|ndpi|vms|vmu|scn|mrxs|bif|dcm|czi|qptiff|png|jpe?g|bmp"
_SUFFIX = rf"\.(?:{_IMAGES}|csv|json|ya?ml|h5|ilp)"
_TO_SUFFIX = re.compile(rf"{_START}[^\n;:'\"]*?{_SUFFIX}\b", re.IGNORECASE)
_TO_SPACE = re.compile(rf"{_START}[^\s;,'\"]*[^\s;,.:)'\"]")
_RELATIVE = re.compile(rf"(?<![\w/\\])[\w.-]+(?:[\\/][\w.@+=~-]+)+{_SUFFIX}\b", re.IGNORECASE)
_NAME = re.compile(rf"(?<![\w/\\])[\w.@+=~-]+\.(?:{_IMAGES})\b", re.IGNORECASE)


def without_paths(text: str) -> str:
    """The text with paths, addresses and names of image files replaced by "(file)".

    A path that holds blanks is known whole only in quotes or by the ending of a slide's, a
    picture's or a table's file; units such as um/px stay.
    """
    for pattern in (_QUOTED, _TO_SUFFIX, _TO_SPACE, _RELATIVE, _NAME):
        text = pattern.sub(LEFT_OUT, text)
    return text
