"""What a head's answers cost, given the labels: the loss of a batch of patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tumor_ratio.models.bins import balanced_weights
from tumor_ratio.models.losses import bin_loss, regression_loss
from tumor_ratio.models.patch_source import LabelledPatches
from tumor_ratio.models.regressor import RatioRegressor
from tumor_ratio.models.regressor_options import LossOptions

Labels = Mapping[str, torch.Tensor]
"""See `LabelledPatches.labels`."""
PART_LABELS = ("part_ratio", "part_weight")
"""Those that lie over the patch, and turn with it."""


@dataclass(frozen=True)
class Teaching:
    """The loss, and what it needs to know of all training patches.

    Parameters
    ----------
    options : the loss.
    class_weights : (K,) of the head's bins, on the network's device; None where they are equal.
    """

    options: LossOptions
    class_weights: torch.Tensor | None = None

    def loss(self, network: RatioRegressor, features: torch.Tensor, labels: Labels) -> torch.Tensor:
        """Loss of patches with (B, d) features."""
        if network.architecture.bins:
            return bin_loss(
                network.bin_scores(features),
                labels["ratio"],
                labels["weight"],
                self.options,
                edges=network.architecture.bins,
                class_weights=self.class_weights,
            )
        return self.loss_of_answers(network.answer(features), labels)

    def loss_of_answers(self, answers: torch.Tensor, labels: Labels) -> torch.Tensor:
        """Loss of (B,) answered ratios."""
        interval = (labels["lower"], labels["upper"]) if "lower" in labels else None
        return regression_loss(
            answers, labels["ratio"], labels["weight"], self.options, interval=interval
        )

    def loss_with_parts(
        self, answers: torch.Tensor, of_parts: torch.Tensor, labels: Labels
    ) -> torch.Tensor:
        """Loss of (B,) answered ratios and of (B, n, n) answered ratios of their parts."""
        return self.loss_of_answers(answers, labels) + self.loss_of_parts(of_parts, labels)

    def loss_of_parts(self, answers: torch.Tensor, labels: Labels) -> torch.Tensor:
        """Loss of (B, n, n) answered ratios of parts, weighted by their nuclei."""
        return regression_loss(
            answers, labels["part_ratio"], labels["part_weight"], self.options, weighted=True
        )


def teaching_of(
    options: LossOptions, bins: tuple[float, ...], training: LabelledPatches, device: str
) -> Teaching:
    """The loss for these training patches."""
    if not bins or options.class_weights == "none":
        return Teaching(options)
    weights = balanced_weights(training.ratios, bins)
    return Teaching(options, torch.from_numpy(weights).to(device))
