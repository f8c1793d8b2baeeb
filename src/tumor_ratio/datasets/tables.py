"""Tables as parquet or CSV files whose newest version is whole, however a run ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractVersionedDataset, DatasetError, Version
from kedro_datasets._typing import TablePreview

from tumor_ratio.atomic import folder_written_whole, remove_unfinished, written_whole

COMMENT = "# "
SUFFIXES = (".parquet", ".csv")


class TableDataset(AbstractVersionedDataset[pd.DataFrame, pd.DataFrame]):
    """A pandas table in a parquet or CSV file, by its suffix; versioned or not.

    A version's folder is written under a temporary name and renamed when it is whole: a killed run
    leaves no truncated newest version behind.

    Parameters
    ----------
    filepath : the file; ends in `.parquet` or `.csv`.
    version : Kedro's version, from `versioned: true` in the catalog.
    load_args, save_args : for pandas' reader and writer.
    stamp : lines that stand above a CSV's header, each after "# ". A table brings its own as
        `table.attrs["stamp"]`, which then follow these. Loading puts them there again.
    metadata : for kedro-viz and other tools.

    Notes
    -----
    CSV knows no types: columns whose name ends in `_id` are read as text, so that slide "007" keeps
    its name. A catalog `validator:` coerces the others.
    """

    def __init__(
        self,
        filepath: str,
        version: Version | None = None,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        stamp: Sequence[str] = (),
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if Path(filepath).suffix not in SUFFIXES:
            raise ValueError(f"{filepath}: a table's file ends in {' or '.join(SUFFIXES)}")
        super().__init__(PurePosixPath(Path(filepath).as_posix()), version)
        self._load_args = dict(load_args or {})
        self._save_args = dict(save_args or {})
        self._stamp = tuple(stamp)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read the table, of the newest or the named version."""
        path = Path(self._get_load_path())
        if path.suffix == ".parquet":
            return pd.read_parquet(path, **self._load_args)
        return _read_csv(path, self._load_args)

    def save(self, data: pd.DataFrame) -> None:
        """Write the table.

        Raises
        ------
        kedro.io.DatasetError
            If `data` is no table, or the version exists already.
        """
        if not isinstance(data, pd.DataFrame):
            raise DatasetError(f"{self._filepath}: a table is expected, not {type(data).__name__}")
        path = Path(self._get_save_path())
        with _version_written_whole(path) if self._version else written_whole(path) as temporary:
            if path.suffix == ".parquet":
                data.to_parquet(temporary, **{"index": False, **self._save_args})
            else:
                _write_csv(data, temporary, self._stamp, self._save_args)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows in kedro-viz."""
        first = self.load().head(nrows).reset_index(drop=True)
        return TablePreview(json.loads(first.to_json(orient="split")))

    def _exists(self) -> bool:
        return Path(self._get_load_path()).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix(), "version": self._version}


@contextmanager
def _version_written_whole(path: Path) -> Iterator[Path]:
    """Write `<versions>/<version>/<file>`; the version's folder appears when it is whole."""
    remove_unfinished(path.parent.parent)
    with folder_written_whole(path.parent) as unfinished:
        yield unfinished / path.name


def _write_csv(
    table: pd.DataFrame, path: Path, stamp: Sequence[str], save_args: dict[str, Any]
) -> None:
    lines = [*stamp, *(line for line in table.attrs.get("stamp", ()) if line not in stamp)]
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(f"{COMMENT}{line}\n" for line in lines)
        table.to_csv(stream, **{"index": False, **save_args})


def _read_csv(path: Path, load_args: dict[str, Any]) -> pd.DataFrame:
    stamp = []
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if not line.startswith(COMMENT):
                break
            stamp.append(line[len(COMMENT) :].rstrip("\n"))
    header = pd.read_csv(path, skiprows=len(stamp), nrows=0).columns
    texts = {name: str for name in header if name.endswith("_id")}
    args = {**load_args, "dtype": {**texts, **load_args.get("dtype", {})}}
    table = pd.read_csv(path, skiprows=len(stamp), **args)
    if stamp:
        table.attrs["stamp"] = stamp
    return table
