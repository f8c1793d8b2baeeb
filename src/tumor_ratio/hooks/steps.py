"""One line a step when it ends, in plain words, and what is shown of it meanwhile."""

from __future__ import annotations

import logging
import time
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import LOGGING
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from tumor_ratio.hooks.step_words import WORDS
from tumor_ratio.progress import begin_step, clock, end_step

TITLE_WIDTH, TOLD_WIDTH = 80, 30
"""At most, and at least."""

logger = logging.getLogger(__name__)


class StepsHook:
    """Tells of a step: `[ 7/80] ground_truth: nuclei on Ki-67 sections  32 slides  1:43`.

    A step's time runs from the loading of its inputs to the saving of its last output: per-slide
    work and trainings are done while their result is saved. A dataset says what its last save did
    by an attribute `told`, if it has one.
    """

    def __init__(self) -> None:
        self._catalog: CatalogProtocol | None = None
        self._total = self._done = 0
        self._start_s = 0.0
        self._width = TITLE_WIDTH
        self._began_s: dict[str, float] = {}
        self._unsaved: dict[str, set[str]] = {}

    @hook_impl(tryfirst=True)
    def after_context_created(self) -> None:
        """Have the configured levels hold: MLflow and its plugin set theirs on import."""
        for name, options in LOGGING.get("loggers", {}).items():
            if "level" in options:
                logging.getLogger(name).setLevel(options["level"])

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Say how many steps there are, and of which pipelines."""
        self._catalog = catalog
        self._total, self._done = len(pipeline.nodes), 0
        self._start_s = time.monotonic()
        self._began_s, self._unsaved = {}, {}
        longest = max((len(title_of(node)) for node in pipeline.nodes), default=0)
        self._width = min(longest, TITLE_WIDTH)
        names = dict.fromkeys((node.namespace or "").partition(".")[0] for node in pipeline.nodes)
        of = ", ".join(name for name in names if name)
        steps = "1 step" if self._total == 1 else f"{self._total} steps"
        logger.info("%s%s; a line each when it is done", steps, f" ({of})" if of else "")

    @hook_impl(tryfirst=True)
    def before_dataset_loaded(self, node: Node) -> None:
        """The step begins with the loading of its inputs."""
        self._begin(node)

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node) -> None:
        """The step begins here if it has no inputs."""
        self._begin(node)

    @hook_impl(trylast=True)
    def after_node_run(self, node: Node) -> None:
        """A step without outputs is done."""
        if not node.outputs:
            self._end(node)

    @hook_impl(trylast=True)
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """A step is done when its last output is saved."""
        unsaved = self._unsaved.get(node.name, set())
        unsaved.discard(dataset_name)
        if not unsaved:
            self._end(node)

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Say how long all of it took."""
        end_step()
        logger.info("done in %s", clock(time.monotonic() - self._start_s))

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """Clear the screen for the message."""
        end_step()

    def _begin(self, node: Node) -> None:
        if node.name in self._began_s:
            return
        self._began_s[node.name] = time.monotonic()
        self._unsaved[node.name] = set(node.outputs)
        begin_step(f"{self._place(self._done + 1)} {title_of(node)}")

    def _end(self, node: Node) -> None:
        began_s = self._began_s.get(node.name)
        if began_s is None:
            return
        end_step()
        self._done += 1
        taken = clock(time.monotonic() - began_s)
        title, told = f"{title_of(node):<{self._width}}", f"{self._told(node):<{TOLD_WIDTH}}"
        logger.info("%s %s  %s %7s", self._place(self._done), title, told, taken)

    def _place(self, number: int) -> str:
        return f"[{number:>{len(str(self._total))}}/{self._total}]"

    def _told(self, node: Node) -> str:
        datasets: list[Any] = [self._catalog.get(name) for name in node.outputs if self._catalog]
        told = (str(getattr(dataset, "told", "")) for dataset in datasets)
        return next(filter(None, told), "")


def title_of(node: Node) -> str:
    """Pipeline and approach of a step, and what it does, in plain words."""
    place = node.namespace or ""
    name = node.name.removeprefix(f"{place}.")
    what = WORDS.get(name, name.replace("_", " "))
    return f"{place.replace('.', ', ')}: {what}" if place else what
