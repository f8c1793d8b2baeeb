"""A folder with one result a slide: what is in it, what still holds, how a result gets there."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro.utils import load_obj

from tumor_ratio.atomic import (
    file_stem,
    full_disk_explained,
    remove_unfinished,
    write_json,
    write_text,
    written_whole,
)
from tumor_ratio.datasets.errors import ClusterError, SupersededError
from tumor_ratio.datasets.fingerprint import file_hash
from tumor_ratio.datasets.project_root import below_root, from_root

INDEX = ".index.json"
SIDECAR = ".fingerprint.json"
RUN = ".run"
SHARED_FOLDER_S = 10.0
"""So long a network folder may take to show a file that another machine has written."""

DatasetConfig = Mapping[str, Any]
"""A Kedro dataset as in the catalog, without its file path."""


@dataclass(frozen=True)
class PartitionRef:
    """One slide's result on disk; small, picklable, read where it is needed.

    Parameters
    ----------
    slide_id : the slide.
    path : the file.
    sha256 : hash of the file's bytes, which is what tasks that take this reference depend on.
    dataset : how the file is read.
    """

    slide_id: str
    path: Path
    sha256: str
    dataset: DatasetConfig = field(compare=False)

    def load(self) -> Any:
        """Read the result.

        Raises
        ------
        kedro.io.DatasetError
            If the file is gone or unreadable.
        """
        return dataset_at(self.path, self.dataset).load()

    def __fingerprint__(self) -> str:
        """Say what tasks that take this reference depend on."""
        return self.sha256


def dataset_at(path: Path, config: DatasetConfig) -> AbstractDataset:
    """Kedro dataset of one file."""
    return AbstractDataset.from_config(path.name, {**config, "filepath": path.as_posix()})


@dataclass(frozen=True)
class PartitionFolder:
    """Where results lie: a file, a sidecar with its fingerprint each, and one index.

    Parameters
    ----------
    path : the folder.
    suffix : of the result files.
    dataset : how a result is written and read.
    root : the project's folder; produced files are named relative to it.
    schema : dotted name of a pandera schema that every result must meet; empty for none.
    """

    path: Path
    suffix: str
    dataset: DatasetConfig
    root: Path
    schema: str = ""

    def result_path(self, slide_id: str) -> Path:
        """File of a slide's result; characters that no file name may have are percent-coded."""
        return self.path / f"{file_stem(slide_id)}{self.suffix}"

    def sidecar_path(self, slide_id: str) -> Path:
        """File that says what a slide's result was made from."""
        result = self.result_path(slide_id)
        return result.with_name(result.name + SIDECAR)

    def prepare(self) -> str:
        """Make ready for a save: until it ends well, there is nothing to load.

        Returns
        -------
        str
            The save's own mark, which lies in the folder until the next save.
        """
        with full_disk_explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self._index.unlink(missing_ok=True)
        remove_unfinished(self.path)
        mark = uuid.uuid4().hex
        write_text(self._run, mark)
        return mark

    def check_shared(self, mark: str, where: str) -> None:
        """Check from another machine that this is the folder of the save with this mark.

        Parameters
        ----------
        mark : as `prepare` gave it.
        where : what checks, for the message.

        Raises
        ------
        ClusterError
            If it is not, after some seconds.
        """
        end_s = time.monotonic() + SHARED_FOLDER_S
        while not self._is_of(mark):
            if time.monotonic() > end_s:
                raise ClusterError(
                    f"{where} does not see the run's folder {self.path}",
                    f"share {self.root} with all workers under the same path, readable and "
                    "writable, or run with --params=cluster=processes",
                )
            time.sleep(0.2)

    def holds(self, slide_id: str, fingerprint: str) -> bool:
        """Whether the slide's result is whole and was made from the same things."""
        sidecar = self.sidecar(slide_id)
        files = [
            [str(self.result_path(slide_id)), sidecar.get("bytes")],
            *sidecar.get("products", []),
        ]
        return sidecar.get("fingerprint") == fingerprint and all(
            _size(from_root(name, self.root)) == size for name, size in files
        )

    def sidecar(self, slide_id: str) -> dict[str, Any]:
        """Read what is known of a slide's result; empty where there is none."""
        try:
            content = json.loads(self.sidecar_path(slide_id).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, slide_id: str, task: partial[Any], fingerprint: str, mark: str = "") -> str:
        """Carry out a slide's task and keep the result; runs in a worker process.

        Parameters
        ----------
        slide_id, task, fingerprint : what to do, and what its result is made from.
        mark : of the save; the result is dropped where another save has begun meanwhile. Needed
            where workers outlive a run that is killed. Empty for no check.

        Returns
        -------
        str
            SHA-256 of the result's file.

        Notes
        -----
        The old sidecar goes before the new result comes, so that a process killed in between
        leaves a result that nobody trusts. The project is the task's current folder, wherever the
        run was started: relative paths mean the same in every process.
        """
        start_s = time.monotonic()
        with chdir(self.root):
            value = self._checked(task())
        result, sidecar = self.result_path(slide_id), self.sidecar_path(slide_id)
        with written_whole(result) as temporary:
            dataset_at(temporary, self.dataset).save(value)
            if mark and not self._is_of(mark):
                raise SupersededError(f"another run has begun to write {self.path}")
            sidecar.unlink(missing_ok=True)
        sha256 = file_hash(result)
        record = {
            "slide_id": slide_id,
            "fingerprint": fingerprint,
            "sha256": sha256,
            "bytes": _size(result),
            "seconds": round(time.monotonic() - start_s, 3),
            "products": self._products(value),
        }
        write_json(sidecar, record)
        return sha256

    def write_index(self, slide_ids: Iterable[str], new: Mapping[str, str]) -> None:
        """Make the results of these slides, in this order, the ones that are loaded.

        Parameters
        ----------
        slide_ids : all of them.
        new : hashes of those just written, whose sidecars a network folder may still hide.
        """
        hashes = {name: new.get(name) or self.sidecar(name)["sha256"] for name in slide_ids}
        write_json(self._index, hashes)

    def read_index(self) -> dict[str, PartitionRef] | None:
        """References to the slides of the last save; None where no save has ended well."""
        try:
            index = json.loads(self._index.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return {
            name: PartitionRef(name, self.result_path(name), sha256, self.dataset)
            for name, sha256 in index.items()
        }

    @property
    def _index(self) -> Path:
        return self.path / INDEX

    @property
    def _run(self) -> Path:
        return self.path / RUN

    def _is_of(self, mark: str) -> bool:
        try:
            return self._run.read_text(encoding="utf-8") == mark
        except OSError:
            return False

    def _checked(self, value: Any) -> Any:
        return load_obj(self.schema).validate(value, lazy=True) if self.schema else value

    def _products(self, value: Any) -> list[list[Any]]:
        names = value.get("products", []) if isinstance(value, dict) else []
        paths = [from_root(name, self.root) for name in names]
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise FileNotFoundError(f"the step names files that it did not make: {missing}")
        return [[below_root(path, self.root), _size(path)] for path in paths]


def _size(path: Path) -> int | None:
    """Size of a file in bytes; 0 for a folder, None where there is nothing."""
    if path.is_file():
        return path.stat().st_size
    return 0 if path.exists() else None
