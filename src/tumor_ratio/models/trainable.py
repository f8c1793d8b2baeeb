"""What the training loop needs to know of what it trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch


class Trainable(Protocol):
    """What the loop trains.

    Attributes
    ----------
    module : holds all weights; already on its device.
    phases : names of a step's phases, in order.
    monitor : the validation metric whose least value marks the best epoch; empty where the last
        epoch is the best.
    """

    module: torch.nn.Module
    phases: Sequence[str]
    monitor: str

    def parameters(self, phase: str) -> Iterable[torch.nn.Parameter]:
        """What a phase optimises."""
        ...

    def n_batches(self) -> int:
        """Batches of one epoch, at least 1."""
        ...

    def batches(self, generator: np.random.Generator) -> Iterable[Any]:
        """One epoch's batches, in an order drawn from `generator` before the first is given."""
        ...

    def training_step(
        self, phase: str, batch: Any, generator: torch.Generator
    ) -> Mapping[str, torch.Tensor]:
        """Losses by name; `loss` is minimised, others are recorded. Changes no weights.

        Phases follow each other on the same batch. The names of others are the phase's own.
        """
        ...

    def validate(self) -> Mapping[str, float]:
        """Validation metrics by name; the module is in evaluation mode, without gradients."""
        ...

    def extra_state(self) -> dict[str, Any]:
        """What steps depend on beside the weights (an image pool): tensors and plain values."""
        ...

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `extra_state` gave."""
        ...
