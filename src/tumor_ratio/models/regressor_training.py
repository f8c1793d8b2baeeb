"""A regressor as something the training loop trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tumor_ratio.models.augmentation import augment_with_maps
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.losses import regression_loss
from tumor_ratio.models.normalisation import AnyNormalisation
from tumor_ratio.models.patch_source import LabelledPatches, RgbBatch, in_batches, read_ahead
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import RatioRegressor
from tumor_ratio.models.regressor_options import LossOptions
from tumor_ratio.models.training_options import TrainingOptions

Batch = tuple[RgbBatch, tuple[NDArray[np.float32], ...]]
"""Pixels; ratios, weights, and where parts are taught, theirs."""


class RegressorTraining:
    """Learns ratios of patches; satisfies `trainable.Trainable`.

    Parameters
    ----------
    network : moved to the device of `compute`.
    training, validation : patches of disjoint slides.
    normalisation : of colours, stored with the model.
    loss, options, compute : see there.
    """

    phases: Sequence[str] = ("regression",)
    monitor = "val_mae"

    def __init__(
        self,
        network: RatioRegressor,
        training: LabelledPatches,
        validation: LabelledPatches,
        normalisation: AnyNormalisation,
        loss: LossOptions,
        options: TrainingOptions,
        compute: Compute,
    ) -> None:
        self.module: Any = compute.place(network)
        self.training, self.validation = training, validation
        self.normalisation, self.loss = normalisation, loss
        self.options, self.compute = options, compute

    def parameters(self, phase: str) -> Iterable[torch.nn.Parameter]:
        """All weights."""
        return self.module.parameters()

    def n_batches(self) -> int:
        """Batches of one epoch."""
        return -(-len(self.training) // self.options.batch_size)

    def batches(self, generator: np.random.Generator) -> Iterator[Batch]:
        """Every training patch once, in a new order."""
        taught = [self.training.ratios, self.training.weights]
        if self.training.parts is not None:
            taught += [self.training.parts.ratios, self.training.parts.weights]
        order = generator.permutation(len(self.training))
        for indices, rgb in read_ahead(
            self.training.source, in_batches(order, self.options.batch_size)
        ):
            yield rgb, tuple(values[indices] for values in taught)

    def training_step(
        self, phase: str, batch: Batch, generator: torch.Generator
    ) -> Mapping[str, torch.Tensor]:
        """Loss of a batch of varied patches."""
        rgb, values = batch
        images = self.compute.images(rgb)
        target, weight, *parts = (torch.from_numpy(v).to(images.device) for v in values)
        images, *parts = augment_with_maps(images, parts, self.options.augmentation, generator)
        images = self.normalisation.apply(images)
        if not parts:
            return {"loss": regression_loss(self.module(images), target, weight, self.loss)}
        part_target, part_weight = parts
        predicted, predicted_parts = self.module.with_parts(images, self.loss.parts)
        loss = regression_loss(predicted, target, weight, self.loss)
        loss = loss + regression_loss(
            predicted_parts, part_target, part_weight, self.loss, weighted=True
        )
        return {"loss": loss}

    def validate(self) -> Mapping[str, float]:
        """Errors on the validation slides: means over slides of the mean over a slide's patches."""
        predictor = Predictor(self.module, self.normalisation, self.compute)
        predicted = predictor.predict_source(self.validation.source)
        return validation_metrics(predicted, self.validation)

    def extra_state(self) -> dict[str, Any]:
        """Nothing beside the weights."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Nothing beside the weights."""


def validation_metrics(
    predicted: NDArray[np.floating], patches: LabelledPatches
) -> dict[str, float]:
    """`val_mae` and `val_mse`, each a mean over slides of the mean over the slide's patches.

    Parameters
    ----------
    predicted : (N,) ratios.
    patches : N patches with their ratios.
    """
    error = np.asarray(predicted, dtype=np.float64) - patches.ratios
    _, slide = np.unique(patches.slides, return_inverse=True)
    n = np.bincount(slide)
    return {
        "val_mae": float((np.bincount(slide, np.abs(error)) / n).mean()),
        "val_mse": float((np.bincount(slide, error**2) / n).mean()),
    }
