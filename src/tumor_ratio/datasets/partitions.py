"""One result a slide: carried out in worker processes, resumable, failures kept from the others."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from tumor_ratio.datasets.cluster import PROCESSES, check_cluster, run_tasks_on
from tumor_ratio.datasets.errors import NotMadeYetError, StepFailedError
from tumor_ratio.datasets.failures import failures_file, read_failures, write_failures
from tumor_ratio.datasets.fingerprint import canonical_json, fingerprint
from tumor_ratio.datasets.partition_folder import PartitionFolder, PartitionRef
from tumor_ratio.datasets.project_root import from_root, project_root
from tumor_ratio.datasets.worker import Outcome
from tumor_ratio.progress import progress
from tumor_ratio.steps import SlideTasks

logger = logging.getLogger(__name__)

REASONS_SHOWN = 3


class SlidePartitions(AbstractDataset[SlideTasks, dict[str, PartitionRef]]):
    """Results of a per-slide step.

    Saving `{slide_id: functools.partial(step, ...)}` carries the tasks out. A slide whose
    fingerprint still holds is not done again; a slide that fails becomes a row of `failures`, and
    the others go on. Loading gives `{slide_id: PartitionRef}` of the slides of the last save that
    are finished, in the order of the save. Slides that have left the cohort stay on disk and are
    not loaded.

    Parameters
    ----------
    path : folder of the results.
    dataset : Kedro dataset of one result, without its path: `{type: pandas.ParquetDataset}`.
    suffix : of the result files, with its dot.
    step : the step's name in messages and failures; by default the folder's name.
    workers : processes; "auto" for one a core, 0 to work in the main process (for debugging).
    cluster : where the workers are: see `tumor_ratio.datasets.cluster`.
    allowed_failures : share of the slides that may fail; if all fail, the step always does.
    failures : folder of the lists of failures; by default `failures` beside `path`.
    schema : dotted name of the pandera schema of each result, checked before it is written.
    pipeline : the pipeline that makes these results, for the message when there are none.
    metadata : for kedro-viz and other tools.

    Notes
    -----
    A result that is a dict may name files it made besides, as a list under "products" (relative to
    the project or absolute): the result is reused only while they are there in the same size.
    """

    def __init__(
        self,
        path: str,
        dataset: dict[str, Any],
        suffix: str,
        step: str = "",
        workers: int | str = "auto",
        cluster: str = PROCESSES,
        allowed_failures: float = 0.5,
        failures: str | None = None,
        schema: str = "",
        pipeline: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if not (workers == "auto" or (isinstance(workers, int) and workers >= 0)):
            raise ValueError(f"workers is 'auto' or a number from 0 on, not {workers!r}")
        if not 0 <= allowed_failures <= 1:
            raise ValueError(f"allowed_failures is a share in [0, 1], not {allowed_failures!r}")
        place = Path(path).absolute()  # workers elsewhere have another current folder
        root = project_root(place)
        self._folder = PartitionFolder(place, suffix, dict(dataset), root, schema)
        self._failures = from_root(failures, root) if failures else place.parent / "failures"
        self._step = step or place.name
        self._workers = workers
        self._cluster = check_cluster(cluster)
        self._allowed_failures = allowed_failures
        self._pipeline = pipeline
        self.told = ""
        """What the last save did, in a few words."""
        self.metadata = metadata

    @property
    def step(self) -> str:
        """The step's name."""
        return self._step

    @property
    def failures(self) -> Path:
        """List of the slides that failed in the last save; no file where none did."""
        return failures_file(self._failures, self._step)

    def save(self, data: SlideTasks) -> None:
        """Carry out the tasks that are not done yet.

        Raises
        ------
        StepFailedError
            After all tasks have run, if too many of the slides failed.
        TypeError
            If a task has no fingerprint or cannot be sent to a worker; nothing has run then.
        """
        fingerprints = {slide_id: self._fingerprint(task) for slide_id, task in data.items()}
        mark = self._folder.prepare()
        pending = {
            slide_id: task
            for slide_id, task in data.items()
            if not self._folder.holds(slide_id, fingerprints[slide_id])
        }
        outcomes = {o.name: o for o in self._run(pending, fingerprints, mark)}
        failed = {name: outcomes[name] for name in pending if outcomes[name].failed}
        write_failures(self._failures, self._step, failed.values())
        logger.info(
            "%s: %d slides: %d reused, %d done, %d failed",
            *(
                self._step,
                len(data),
                len(data) - len(pending),
                len(pending) - len(failed),
                len(failed),
            ),
        )
        self.told = _told(len(data), len(data) - len(pending), len(failed))
        self._check_share(failed, len(data))
        new = {name: o.value for name, o in outcomes.items() if not o.failed}
        self._folder.write_index((name for name in data if name not in failed), new)

    def load(self) -> dict[str, PartitionRef]:
        """References to the finished slides of the last save, in its order.

        Raises
        ------
        NotMadeYetError
            If no save has ended well; the message names what to run.
        kedro.io.DatasetError
            If results have been removed since.
        """
        refs = self._folder.read_index()
        if refs is None:
            what = f"the finished step '{self._step}'"
            raise NotMadeYetError(self._folder.path, what, self._pipeline)
        gone = [ref.path.name for ref in refs.values() if not ref.path.exists()]
        if gone:
            raise DatasetError(
                f"{self._folder.path}: {', '.join(gone)} have been removed; run the step again"
            )
        return refs

    def preview(self, nrows: int = 20) -> TablePreview:
        """Show the first slides in kedro-viz: how they ended, their results' size and duration."""
        refs = self._folder.read_index() or {}
        rows = [[name, "finished", *self._cost(name)] for name in refs]
        failed = read_failures(self._failures, self._step)
        rows += [
            [name, why, None, None]
            for name, why in zip(failed["slide_id"], failed["message"], strict=True)
        ]
        shown = rows[:nrows]
        columns = ["slide_id", "status", "kB", "seconds"]
        return TablePreview({"index": list(range(len(shown))), "columns": columns, "data": shown})

    def _cost(self, slide_id: str) -> tuple[float, float]:
        sidecar = self._folder.sidecar(slide_id)
        return round(sidecar.get("bytes", 0) / 1000, 1), sidecar.get("seconds", 0.0)

    def _fingerprint(self, task: partial[Any]) -> str:
        content = fingerprint(task, self._folder.root)
        config = canonical_json([content, self._folder.dataset])
        return hashlib.sha256(config.encode()).hexdigest()

    def _run(
        self, tasks: Mapping[str, partial[Any]], fingerprints: Mapping[str, str], mark: str
    ) -> list[Outcome]:
        kept = mark if self._cluster != PROCESSES else ""
        calls = {
            name: (self._folder.write, (name, task, fingerprints[name], kept))
            for name, task in tasks.items()
        }
        ready = (self._folder.check_shared, (mark,))
        outcomes = []
        with progress(self._step, len(calls)) as advance:
            for outcome in run_tasks_on(self._cluster, calls, self._workers, ready):
                advance()
                outcomes.append(outcome)
                if outcome.failed:
                    logger.warning(
                        "%s: slide %s failed: %s", self._step, outcome.name, outcome.message
                    )
                if outcome.details:
                    logger.warning("an unexpected error:\n%s", outcome.details)
        return outcomes

    def _check_share(self, failed: Mapping[str, Outcome], total: int) -> None:
        if len(failed) <= self._allowed_failures * total and not 0 < total == len(failed):
            return
        shown = [f"slide {o.name}: {o.message}" for o in list(failed.values())[:REASONS_SHOWN]]
        if len(failed) > len(shown):
            shown.append(f"and {len(failed) - len(shown)} more")
        listing = "\n".join(f"  - {line}" for line in shown)
        raise StepFailedError(
            f"{self._step}: {len(failed)} of {total} slides failed, {self._allowed_failures:.0%} "
            f"may\n{listing}",
            f"see {self.failures}",
        )

    def _exists(self) -> bool:
        refs = self._folder.read_index()
        return refs is not None and all(ref.path.exists() for ref in refs.values())

    def _describe(self) -> dict[str, Any]:
        return {
            "path": self._folder.path.as_posix(),
            "dataset": self._folder.dataset.get("type"),
            "suffix": self._folder.suffix,
            "step": self._step,
            "workers": self._workers,
            "cluster": self._cluster,
        }


def _told(slides: int, reused: int, failed: int) -> str:
    """32 slides; 32 slides, reused; 32 slides, 20 reused, 1 failed."""
    again = "reused" if reused == slides else f"{reused} reused"
    parts = [
        "1 slide" if slides == 1 else f"{slides} slides",
        again if reused else "",
        f"{failed} failed" if failed else "",
    ]
    return ", ".join(part for part in parts if part)
