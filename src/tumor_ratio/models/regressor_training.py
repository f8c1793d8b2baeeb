"""A regressor as something the training loop trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tumor_ratio.models.augmentation import augment_with_maps
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.normalisation import AnyNormalisation
from tumor_ratio.models.patch_source import LabelledPatches, RgbBatch, in_batches, read_ahead
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import RatioRegressor
from tumor_ratio.models.regressor_options import LossOptions
from tumor_ratio.models.teaching import PART_LABELS, teaching_of
from tumor_ratio.models.training_options import TrainingOptions
from tumor_ratio.models.validation import validated

Batch = tuple[RgbBatch, dict[str, NDArray[np.float32]]]
"""Pixels, and what they teach (`LabelledPatches.labels`)."""


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
        self.normalisation = normalisation
        bins = network.architecture.bins
        self.teaching = teaching_of(loss, bins, training, compute.device)
        self.options, self.compute = options, compute

    def parameters(self, phase: str) -> Iterable[torch.nn.Parameter]:
        """All weights."""
        return self.module.parameters()

    def n_batches(self) -> int:
        """Batches of one epoch."""
        return -(-len(self.training) // self.options.batch_size)

    def batches(self, generator: np.random.Generator) -> Iterator[Batch]:
        """Every training patch once, in a new order."""
        order = generator.permutation(len(self.training))
        for indices, rgb in read_ahead(
            self.training.source,
            in_batches(order, self.options.batch_size),
            self.compute.readers,
        ):
            yield rgb, self.training.labels(indices)

    def training_step(
        self, phase: str, batch: Batch, generator: torch.Generator
    ) -> Mapping[str, torch.Tensor]:
        """Loss of a batch of varied patches."""
        rgb, values = batch
        images = self.compute.images(rgb)
        labels = {name: torch.from_numpy(v).to(images.device) for name, v in values.items()}
        part_names = [name for name in PART_LABELS if name in labels]
        images, *parts = augment_with_maps(
            images, [labels[name] for name in part_names], self.options.augmentation, generator
        )
        labels |= dict(zip(part_names, parts, strict=True))
        images = self.normalisation.apply(images)
        if not parts:
            return {"loss": self.teaching.loss(self.module, self.module.features(images), labels)}
        whole, of_parts = self.module.with_parts(images, self.teaching.options.parts)
        return {"loss": self.teaching.loss_with_parts(whole, of_parts, labels)}

    def validate(self) -> Mapping[str, float]:
        """Errors on the validation slides: means over slides of the mean over a slide's patches."""
        predictor = Predictor(self.module, self.normalisation, self.compute)
        return validated(predictor, self.validation)

    def extra_state(self) -> dict[str, Any]:
        """Nothing beside the weights."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Nothing beside the weights."""
