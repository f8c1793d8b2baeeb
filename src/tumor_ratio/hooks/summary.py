"""What a run says at its end: what failed, the results, and where to look."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from tumor_ratio.datasets.failures import read_failures
from tumor_ratio.datasets.partitions import SlidePartitions

WHERE_TO_LOOK = (
    "runs side by side: make mlflow (kedro mlflow ui)",
    "the pipelines as a graph: make viz (kedro viz run)",
)


class SummaryHook:
    """Prints, after a run that ended well, failures, the results table and the report's place.

    Parameters
    ----------
    results_table : dataset of the results as text; printed if the run made it.
    report : dataset whose file is the report; named if the run made it.
    where_to_look : lines that follow them.
    """

    def __init__(
        self,
        results_table: str = "results_table",
        report: str = "report",
        where_to_look: Sequence[str] = WHERE_TO_LOOK,
    ) -> None:
        self._results_table = results_table
        self._report = report
        self._where_to_look = tuple(where_to_look)

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print the summary."""
        made = pipeline.all_outputs()
        for line in failure_lines(made, catalog):
            click.echo(line)
        if self._results_table in made:
            click.echo(f"\n{catalog[self._results_table].load()}\n")
            lines = (
                [f"report: {_shown(_place(catalog[self._report]))}"] if self._report in made else []
            )
            for line in (*lines, *self._where_to_look):
                click.echo(line)


def failure_lines(made: set[str], catalog: CatalogProtocol) -> list[str]:
    """One line for each step of the run in which slides failed."""
    lines = []
    for name in sorted(made):
        dataset = catalog.get(name)
        if isinstance(dataset, SlidePartitions):
            count = len(read_failures(dataset.failures.parent, dataset.step))
            slides = "1 slide" if count == 1 else f"{count} slides"
            if count:
                lines.append(f"{slides} failed in {dataset.step}: see {_shown(dataset.failures)}")
    return lines


def _place(dataset: Any) -> Path:
    load_path = getattr(dataset, "_get_load_path", None)
    return Path(str(load_path() if load_path else dataset._describe().get("filepath", "")))


def _shown(path: Path) -> str:
    """Path as one would type it here."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith("..") else shown
