"""Which code ran: the package's version and, in a git checkout, the commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tumor_ratio import __version__

LIMIT_S = 10
CODE = ("src", "conf", "pyproject.toml")
"""What makes a checkout dirty; notes and results beside it do not."""


def code_tags(project: Path) -> dict[str, str]:
    """Tags `code.version` and, where the project is a git checkout, `code.commit`, `code.dirty`.

    Parameters
    ----------
    project : the project's folder.

    Returns
    -------
    dict
        `code.dirty` is `true` if code or configuration differ from the commit. Both are left out
        where git is absent or refuses, or where the folder only lies somewhere inside a repository.
    """
    tags = {"code.version": __version__}
    found = _git(project, "rev-parse", "--show-toplevel", "HEAD")
    top, _, commit = (found or "").rpartition("\n")
    if not top or Path(top).resolve() != project.resolve():
        return tags
    changes = _git(project, "status", "--porcelain", "--", *CODE)
    tags["code.commit"] = commit
    if changes is not None:
        tags["code.dirty"] = "true" if changes else "false"
    return tags


def _git(project: Path, *arguments: str) -> str | None:
    """What git prints; None where it cannot."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(project), *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return done.stdout.strip()
