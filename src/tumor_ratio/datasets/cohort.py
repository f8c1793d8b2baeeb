"""The cohort of slide pairs as one JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from tumor_ratio.atomic import write_json
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.project_root import below_root, from_root, project_root

PATH_KEYS = ("path", "source_path", "truth_dir")


class CohortDataset(AbstractDataset[Cohort, Cohort]):
    """A `Cohort`, written whole; paths below the project are stored relative to it.

    Parameters
    ----------
    filepath : the JSON file.
    pipeline : the pipeline that makes the cohort, for the message where there is none.
    metadata : for kedro-viz and other tools.
    """

    def __init__(
        self,
        filepath: str,
        pipeline: str = "data_processing",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = Path(filepath)
        self._root = project_root(self._filepath)
        self._pipeline = pipeline
        self.metadata = metadata

    def load(self) -> Cohort:
        """Read the cohort; slides open when they are read.

        Raises
        ------
        NotMadeYetError
            If there is no cohort yet; the message names the pipeline to run.
        """
        if not self._exists():
            raise NotMadeYetError(self._filepath, "the cohort", self._pipeline)
        record = json.loads(self._filepath.read_text(encoding="utf-8"))
        return Cohort.from_record(_with_paths(record, self._absolute))

    def save(self, data: Cohort) -> None:
        """Write the cohort in place of the earlier one."""
        write_json(self._filepath, _with_paths(data.to_record(), self._relative))

    def _absolute(self, place: str) -> str:
        return from_root(place, self._root).as_posix()

    def _relative(self, place: str) -> str:
        return below_root(Path(place), self._root)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}


def _with_paths(record: Any, change: Callable[[str], str]) -> Any:
    """Copy of nested lists and dicts with every path in it changed."""
    if isinstance(record, dict):
        return {
            key: change(value)
            if key in PATH_KEYS and isinstance(value, str)
            else _with_paths(value, change)
            for key, value in record.items()
        }
    return [_with_paths(entry, change) for entry in record] if isinstance(record, list) else record
