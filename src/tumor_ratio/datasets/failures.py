"""Which slides a step could not finish, and why: one small table a step."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from tumor_ratio.atomic import written_whole
from tumor_ratio.datasets.worker import Outcome

COLUMNS = ["slide_id", "step", "error", "message"]


def failures_file(folder: Path, step: str) -> Path:
    """Where a step's failures are listed."""
    return folder / f"{step}.csv"


def write_failures(folder: Path, step: str, failed: Iterable[Outcome]) -> None:
    """List a step's failures in place of the earlier list; no failures, no file."""
    rows = [[outcome.name, step, outcome.error, outcome.message] for outcome in failed]
    target = failures_file(folder, step)
    if not rows:
        target.unlink(missing_ok=True)
        return
    with written_whole(target) as temporary:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(temporary, index=False)


def read_failures(folder: Path, step: str = "*") -> pd.DataFrame:
    """Read the failures of one step, or of all; see `tumor_ratio.schemas.Failures`."""
    tables = [
        pd.read_csv(path, dtype=str, keep_default_na=False)
        for path in sorted(folder.glob(f"{step}.csv"))
    ]
    return pd.concat([pd.DataFrame(columns=COLUMNS, dtype=str), *tables], ignore_index=True)


class FailuresDataset(AbstractDataset[None, pd.DataFrame]):
    """The failures of all steps as they stand, in one table; read only.

    A slide's row goes when the step has finished it in a later run. No failures is a table without
    rows, so this dataset always exists.

    Parameters
    ----------
    path : the folder that the steps' partition datasets name as `failures`.
    metadata : for kedro-viz and other tools.
    """

    def __init__(self, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read the table."""
        return read_failures(self._path)

    def save(self, data: None) -> None:
        """Refuse: the partition datasets write failures."""
        raise DatasetError("failures are written by the steps that meet them")

    def preview(self, nrows: int = 20) -> TablePreview:
        """Show the first rows in kedro-viz."""
        return TablePreview(self.load().head(nrows).to_dict(orient="split"))

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
