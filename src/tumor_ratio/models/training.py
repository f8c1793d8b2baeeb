"""The training loop that everything trainable here shares.

A `Trainable` says what a step computes; the loop owns epochs, optimizers, learning rate,
checkpoints, resuming and the choice of the best epoch. A network with adversaries has several
phases a step, each with parameters and an optimizer of its own; a regressor has one.

A training that was killed continues from its last finished epoch. On the CPU it then ends with the
very weights of an uninterrupted one, given equally many threads.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tumor_ratio.errors import TumorRatioError
from tumor_ratio.models.checkpoints import (
    CheckpointFolder,
    Progress,
    generator_from_text,
    generator_to_text,
)
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.progress import TrainingProgress
from tumor_ratio.models.schedules import learning_rate_factor
from tumor_ratio.models.trainable import Trainable
from tumor_ratio.models.training_options import OptimizerOptions, TrainingOptions

logger = logging.getLogger(__name__)

ADAM_BETA2 = 0.999

OnEpoch = Callable[[dict[str, float], int], None]
"""`on_epoch(metrics, epoch)`, called after every epoch (counted from 1); after a resume also for
the epochs that had been finished before."""

Schedule = Callable[[int], float]
"""`schedule(step)`: share of the learning rate at a step, counted from 0."""

Ending = Callable[[Mapping[str, float]], str]
"""`ending(record)`: why an epoch's record makes further ones pointless; empty where it does not."""


@dataclass(frozen=True)
class Trained:
    """Outcome of a training: its history, and which epoch's weights the module now holds."""

    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    ended: str = ""
    """Why it ended early; empty where it ran as planned."""


def train(
    trainable: Trainable,
    options: TrainingOptions,
    compute: Compute,
    folder: Path,
    *,
    title: str,
    on_epoch: OnEpoch | None = None,
    schedule: Schedule | None = None,
    ending: Ending | None = None,
) -> Trained:
    """Train from the folder's last checkpoint on, and leave the best epoch's weights in the module.

    Parameters
    ----------
    trainable, options : see there; the augmentation is the trainable's business.
    compute : device, precision, threads.
    folder : for checkpoints of this very training; a finished one is only read.
    title : names the training in the progress bar and in messages.
    on_epoch : see `OnEpoch`.
    schedule : instead of `options.schedule`, see `Schedule`.
    ending : see `Ending`. An epoch that ends the training so is never the best one.

    Returns
    -------
    Trained

    Raises
    ------
    TumorRatioError
        If a loss or the monitored metric is not finite, the checkpoint is damaged, or `ending` has
        a reason before any epoch was good.
    """
    # Dropout draws from torch's global generators, so these are set, checkpointed, and put back.
    devices = [torch.cuda.current_device()] if compute.device == "cuda" else []
    with compute.threading(), torch.random.fork_rng(devices=devices):
        loop = _Loop(trainable, options, compute, CheckpointFolder(folder), title)
        loop.schedule, loop.ending = schedule or loop.schedule, ending or loop.ending
        loop.resume(on_epoch)
        with TrainingProgress(title, options.epochs, trainable.n_batches(), loop.step) as bar:
            while not loop.finished:
                loop.run_epoch(bar)
                if on_epoch is not None:
                    tell(on_epoch, loop.progress.history[-1])
        return loop.conclude()


class _Loop:
    """State of a running training: everything here is either given or in the checkpoint."""

    def __init__(
        self,
        trainable: Trainable,
        options: TrainingOptions,
        compute: Compute,
        checkpoints: CheckpointFolder,
        title: str,
    ) -> None:
        self.trainable, self.options, self.compute = trainable, options, compute
        self.checkpoints, self.title = checkpoints, title
        self.optimizers = {
            phase: make_optimizer(trainable.parameters(phase), options.optimizer)
            for phase in trainable.phases
        }
        self.order = np.random.default_rng(options.seed)
        self.augmentation = torch.Generator().manual_seed(options.seed)
        torch.manual_seed(options.seed)
        self.progress = Progress()
        n_steps = options.epochs * trainable.n_batches()
        self.schedule: Schedule = lambda step: learning_rate_factor(options.schedule, step, n_steps)
        self.ending: Ending = lambda record: ""

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.progress.epoch * self.trainable.n_batches()

    @property
    def finished(self) -> bool:
        """All epochs done, none better for long enough, or a reason to go no further."""
        waited = self.progress.epoch - self.progress.best_epoch
        patience = self.options.patience
        return (
            self.progress.epoch >= self.options.epochs
            or (patience is not None and waited >= patience)
            or bool(self.ended)
        )

    @property
    def ended(self) -> str:
        """Why the last epoch makes further ones pointless; empty where it does not."""
        history = self.progress.history
        return self.ending(history[-1]) if history else ""

    def resume(self, on_epoch: OnEpoch | None) -> None:
        """Continue from the folder's checkpoint, if there is one."""
        found = self.checkpoints.load()
        if found is None:
            return
        self.progress, state = found
        if state["threads"] != self.compute.threads:
            logger.warning(
                "%s: resuming with %d threads what ran with %d: the weights will differ in their "
                "last digits from an uninterrupted training's",
                self.title,
                self.compute.threads,
                state["threads"],
            )
        self.trainable.module.load_state_dict(state["module"])
        for phase, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][phase])
        self.order = generator_from_text(state["order"])
        self.augmentation.set_state(state["augmentation"])
        torch.set_rng_state(state["torch"])
        if self.compute.device == "cuda" and len(state["cuda"]):
            torch.cuda.set_rng_state(state["cuda"])
        self.trainable.load_extra_state(state["extra"])
        logger.info(
            "%s: resuming after epoch %d of %d",
            self.title,
            self.progress.epoch,
            self.options.epochs,
        )
        if on_epoch is not None:
            for record in self.progress.history:
                tell(on_epoch, record)

    def run_epoch(self, bar: TrainingProgress) -> None:
        """Train on every batch, validate, write the checkpoint."""
        began = time.perf_counter()
        module = self.trainable.module
        module.train()
        sums: dict[str, float] = {}
        batches = self.trainable.batches(self.order)
        for index, batch in enumerate(batches):
            for name, value in self._take_step(batch, self.step + index).items():
                sums[name] = sums.get(name, 0.0) + value
            bar.step_done()
        module.eval()
        with torch.no_grad():
            metrics = dict(self.trainable.validate())
        epoch = self.progress.epoch + 1
        record = {
            "epoch": float(epoch),
            **{name: total / self.trainable.n_batches() for name, total in sums.items()},
            **metrics,
            "learning_rate": self._learning_rate(self.step + self.trainable.n_batches() - 1),
            "seconds": time.perf_counter() - began,
        }
        self._finish_epoch(epoch, record)
        bar.epoch_done(record, best=self.progress.best_epoch == epoch)

    def conclude(self) -> Trained:
        """Load the best epoch's weights."""
        weights = self.checkpoints.load_best(self.progress.best_epoch)
        self.trainable.module.load_state_dict(weights)
        self.trainable.module.eval()
        return Trained(self.progress.history, self.progress.best_epoch, self.ended)

    def _take_step(self, batch: Any, step: int) -> dict[str, float]:
        rate = self._learning_rate(step)
        values: dict[str, float] = {}
        for phase, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
            with self.compute.autocast():
                losses = self.trainable.training_step(phase, batch, self.augmentation)
            losses["loss"].backward()
            if self.options.optimizer.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(
                    self.trainable.parameters(phase), self.options.optimizer.clip_norm
                )
            found = {self._train_name(phase, n): float(v.detach()) for n, v in losses.items()}
            self._check_finite(found, f"step {step + 1}")
            optimizer.step()
            values.update(found)
        return values

    def _train_name(self, phase: str, loss: str) -> str:
        """Name in the history: every phase has a `loss`, its other losses have their own names."""
        several = len(self.optimizers) > 1
        return f"train_{phase}_loss" if several and loss == "loss" else f"train_{loss}"

    def _finish_epoch(self, epoch: int, record: Mapping[str, float]) -> None:
        monitor = self.trainable.monitor
        score = record[monitor] if monitor else -float(epoch)
        self._check_finite({monitor: score}, f"epoch {epoch}")
        history = (*self.progress.history, record)
        reason = self.ending(record)
        if reason and not self.progress.best_epoch:
            raise TumorRatioError(f"{self.title}: no epoch is usable: {reason}")
        if reason:
            logger.warning(
                "%s: ends after epoch %d, epoch %d is kept: %s",
                self.title,
                epoch,
                self.progress.best_epoch,
                reason,
            )
        if score < self.progress.best_score and not reason:
            self.checkpoints.save_best(epoch, self.trainable.module.state_dict())
            self.progress = Progress(history, epoch, score)
        else:
            self.progress = Progress(history, self.progress.best_epoch, self.progress.best_score)
        self.checkpoints.save(self.progress, self._state())

    def _state(self) -> dict[str, Any]:
        on_gpu = self.compute.device == "cuda"
        return {
            "module": self.trainable.module.state_dict(),
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "order": generator_to_text(self.order),
            "augmentation": self.augmentation.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if on_gpu else torch.empty(0, dtype=torch.uint8),
            "threads": self.compute.threads,
            "extra": self.trainable.extra_state(),
        }

    def _learning_rate(self, step: int) -> float:
        return self.options.optimizer.learning_rate * self.schedule(step)

    def _check_finite(self, values: Mapping[str, float], where: str) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise TumorRatioError(
                    f"{self.title}: {name} is {value} at {where}",
                    "lower `training.optimizer.learning_rate`, set `clip_norm`, or try "
                    "`training.compute.precision: float32`",
                )


def tell(on_epoch: OnEpoch, record: Mapping[str, float]) -> None:
    """Report an epoch's record."""
    metrics = {name: value for name, value in record.items() if name != "epoch"}
    on_epoch(metrics, int(record["epoch"]))


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter], options: OptimizerOptions
) -> torch.optim.Optimizer:
    """Optimizer over some parameters; weight decay spares biases and norms (one-dimensional)."""
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": options.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.name == "sgd":
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=options.momentum)
    betas = (options.beta1, ADAM_BETA2)
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=betas, fused=True)
