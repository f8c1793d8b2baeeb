"""Slide ids made of file names."""

from __future__ import annotations

import re


def slide_id_of(name: str) -> str:
    """A slide id made of a file's name: what cannot be part of one becomes "_"."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip("_.-")[:100] or "slide"
