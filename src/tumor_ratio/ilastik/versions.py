"""Versions of ilastik, as numbers that can be compared."""

from __future__ import annotations

import re

Version = tuple[int, int, int, int, int]
"""Major, minor, micro; -2 beta, -1 candidate, 0 release, 1 post-release; its number."""

PATTERN = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:\.?(b|rc|post|dev)(\d{0,3}))?")
KINDS = {"dev": -3, "b": -2, "rc": -1, "": 0, "post": 1}


def parsed_version(text: str) -> Version | None:
    """Numbers of a version such as `1.4.0b7` or `1.3.3post2`; None where it is none."""
    match = PATTERN.match(text.strip())
    if match is None:
        return None
    major, minor, micro, kind, number = match.groups(default="")
    return int(major), int(minor), int(micro or 0), KINDS[kind], int(number or 0)
