"""Tiles that a person has ruled out, kept in a file so that a set can be rebuilt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

COLUMNS = ("region_id", "slide_id", "x_px", "y_px", "note")


class ExclusionsDataset(AbstractDataset[None, pd.DataFrame]):
    """A CSV that a person writes: a row a tile, by `region_id` or by `slide_id, x_px, y_px`.

    No file means that nothing is excluded, so this dataset always exists; it is read only.

    Parameters
    ----------
    filepath : the CSV; a `note` column says why.
    metadata : for kedro-viz and other tools.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read the file, all columns as text; an empty table where there is none.

        Raises
        ------
        kedro.io.DatasetError
            If the file is no CSV.
        """
        if not self._filepath.exists():
            return pd.DataFrame(columns=list(COLUMNS), dtype=str)
        try:
            return pd.read_csv(
                self._filepath, dtype=str, encoding="utf-8-sig", skipinitialspace=True
            )
        except (ValueError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"{self._filepath}: not a table of excluded tiles ({error}); "
                f"expected is a CSV with the columns {', '.join(COLUMNS)}"
            ) from error

    def save(self, data: None) -> None:
        """Refuse: a person writes this file."""
        raise DatasetError(f"{self._filepath} is written by hand, never by a run")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
