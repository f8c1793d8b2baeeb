"""A training's progress: its share with the last epoch's losses, and a log line an epoch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType

from tumor_ratio.progress import clock, progress

logger = logging.getLogger(__name__)


class TrainingProgress:
    """Progress over all steps of a training; a context manager.

    Parameters
    ----------
    title : what is trained; what follows a comma in it (a fold) is shown beside the losses.
    n_epochs, n_batches : epochs of the training, and steps of one.
    n_done : steps that were taken before a resume.
    """

    def __init__(self, title: str, n_epochs: int, n_batches: int, n_done: int) -> None:
        self.title, self.n_epochs, self.n_batches = title, n_epochs, n_batches
        self._stack = ExitStack()
        self._advance = self._stack.enter_context(progress(title, n_epochs * n_batches, n_done))
        self._part = title.partition(", ")[2]
        self._advance.tell(self._part)

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def step_done(self) -> None:
        """Count a step."""
        self._advance()

    def epoch_done(self, record: Mapping[str, float], *, best: bool) -> None:
        """Report an epoch's losses and metrics, and about how long the rest takes."""
        epoch = int(record["epoch"])
        shown = {k: v for k, v in record.items() if k.startswith(("train_", "val_"))}
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in shown.items())
        self._advance.tell(
            ", ".join(filter(None, (self._part, f"epoch {epoch} of {self.n_epochs}", metrics)))
        )
        logger.info(
            "%s: epoch %d of %d: %s%s; %s min left at most",
            *(self.title, epoch, self.n_epochs, metrics, " (best so far)" if best else ""),
            clock(record["seconds"] * (self.n_epochs - epoch)),
        )
