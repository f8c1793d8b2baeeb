"""The user's lists of slides, checked whole before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tumor_ratio.cohort.manifest import ManifestParams, read_manifest

MANIFEST = "manifest"


def check_manifests(parameters: Mapping[str, Any], project: Path) -> None:
    """Read every manifest that a pipeline's parameters name.

    Parameters
    ----------
    parameters : by name, as the pipeline reads them. A manifest is a `ManifestParams`, or a text
        field `manifest` that is not empty. A group with a field `source` uses its manifest only
        where that says "manifest".
    project : folder from which relative manifests start.

    Raises
    ------
    ManifestError
        Naming all bad rows of the first manifest that has any.
    """
    for value in parameters.values():
        for path in _manifests_in(value):
            read_manifest(path, project, warn=False)


def _manifests_in(value: Any) -> Iterator[str]:
    if isinstance(value, ManifestParams):
        yield value.path
    elif isinstance(value, BaseModel) and getattr(value, "source", MANIFEST) == MANIFEST:
        for name in type(value).model_fields:
            entry = getattr(value, name)
            if name == MANIFEST and isinstance(entry, str) and entry:
                yield entry
            else:
                yield from _manifests_in(entry)
