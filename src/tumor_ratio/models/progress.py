"""A training's progress: a bar with the time left on a terminal, a log line an epoch everywhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

logger = logging.getLogger(__name__)


class TrainingProgress:
    """Progress over all steps of a training; a context manager.

    Parameters
    ----------
    title : what is trained.
    n_epochs, n_batches : epochs of the training, and steps of one.
    n_done : steps that were taken before a resume.
    """

    def __init__(self, title: str, n_epochs: int, n_batches: int, n_done: int) -> None:
        self.title, self.n_epochs, self.n_batches = title, n_epochs, n_batches
        # `disable=None`: no bar where the output is a file or a pipe.
        self._bar = tqdm(
            total=n_epochs * n_batches,
            initial=n_done,
            desc=title,
            unit="step",
            disable=None,
            dynamic_ncols=True,
        )

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def step_done(self) -> None:
        """Count a step."""
        self._bar.update(1)

    def epoch_done(self, record: Mapping[str, float], *, best: bool) -> None:
        """Report an epoch's losses and metrics, and about how long the rest takes."""
        epoch = int(record["epoch"])
        seconds = round(record["seconds"] * (self.n_epochs - epoch))
        shown = {k: v for k, v in record.items() if k.startswith(("train_", "val_"))}
        self._bar.clear()  # the line must not be written into the bar
        logger.info(
            "%s: epoch %d of %d: %s%s; %d:%02d min left at most",
            self.title,
            epoch,
            self.n_epochs,
            ", ".join(f"{name} {value:.4f}" for name, value in shown.items()),
            " (best so far)" if best else "",
            *divmod(seconds, 60),
        )
        self._bar.refresh()
