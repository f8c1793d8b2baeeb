"""The folder that relative paths count from."""

from __future__ import annotations

from pathlib import Path

from kedro.utils import find_kedro_project


def project_root(path: Path) -> Path:
    """Folder of the Kedro project that `path` belongs to; its own folder where there is none."""
    found = find_kedro_project(path)
    return Path(found) if found else path.parent


def from_root(place: str | Path, root: Path) -> Path:
    """Absolute path of `place`, which counts from `root` where it is relative."""
    return root / place  # an absolute place wins


def below_root(path: Path, root: Path) -> str:
    """How `path` is stored: relative to `root` where it is below it, so that a project can move."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
