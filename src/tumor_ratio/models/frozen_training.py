"""Training a head on features that a frozen backbone gives, computed once a patch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tumor_ratio.atomic import full_disk_explained
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.patch_source import LabelledPatches, in_batches
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import RatioRegressor
from tumor_ratio.models.regressor_options import LossOptions
from tumor_ratio.models.teaching import teaching_of
from tumor_ratio.models.training_options import TrainingOptions
from tumor_ratio.models.validation import metrics_of_answers
from tumor_ratio.models.weights_files import read_weights, write_weights

FEATURES_FILE = "frozen_features.safetensors"

Features = NDArray[np.float32]
Batch = tuple[Features, dict[str, NDArray[np.float32]]]


class FrozenTraining:
    """Learns ratios of features; satisfies `trainable.Trainable`. Only the head is its module.

    Parameters
    ----------
    network : on the device of `compute`; its head is trained.
    training, validation : patches of disjoint slides, for what they teach.
    features : (N, d) of the training and of the validation patches.
    loss, options, compute : see there.
    """

    phases: Sequence[str] = ("regression",)
    monitor = "val_mae"

    def __init__(
        self,
        network: RatioRegressor,
        training: LabelledPatches,
        validation: LabelledPatches,
        features: tuple[Features, Features],
        loss: LossOptions,
        options: TrainingOptions,
        compute: Compute,
    ) -> None:
        self.network, self.module = network, network.head
        self.training, self.validation = training, validation
        self.training_features, self.validation_features = features
        self.options, self.compute = options, compute
        self.teaching = teaching_of(loss, network.architecture.bins, training, compute.device)

    def parameters(self, phase: str) -> Iterable[torch.nn.Parameter]:
        """The head's weights."""
        return self.module.parameters()

    def n_batches(self) -> int:
        """Batches of one epoch."""
        return -(-len(self.training) // self.options.batch_size)

    def batches(self, generator: np.random.Generator) -> Iterator[Batch]:
        """Every training patch once, in a new order."""
        order = generator.permutation(len(self.training))
        for indices in in_batches(order, self.options.batch_size):
            yield self.training_features[indices], self.training.labels(indices)

    def training_step(
        self, phase: str, batch: Batch, generator: torch.Generator
    ) -> Mapping[str, torch.Tensor]:
        """Loss of a batch of features."""
        features, values = batch
        labels = {name: self._tensor(value) for name, value in values.items()}
        return {"loss": self.teaching.loss(self.network, self._tensor(features), labels)}

    def validate(self) -> Mapping[str, float]:
        """Errors on the validation slides, see `validation`."""
        network = self.network
        ask = network.bin_shares if network.architecture.bins else network.answer
        with self.compute.autocast():
            answers = ask(self._tensor(self.validation_features))
        return metrics_of_answers(answers.float().cpu().numpy(), network, self.validation)

    def extra_state(self) -> dict[str, Any]:
        """Nothing beside the weights."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Nothing beside the weights."""

    def _tensor(self, values: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(values).to(self.compute.device)


def features_of(
    predictor: Predictor, training: LabelledPatches, validation: LabelledPatches, folder: Path
) -> tuple[Features, Features]:
    """Features of the training and the validation patches, computed once and kept in a folder.

    Parameters
    ----------
    predictor : with the frozen backbone and how colours reach it.
    training, validation : the patches.
    folder : of this very training, or of all members of an ensemble; they share the features.

    Raises
    ------
    DiskFullError
        If there is no room for them.
    """
    path = folder / FEATURES_FILE
    if not path.is_file():
        found = {
            name: torch.from_numpy(predictor.features(patches.source))
            for name, patches in (("training", training), ("validation", validation))
        }
        with full_disk_explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_weights(found, path)
    kept = read_weights(path, setting="the training's folder")
    return kept["training"].numpy(), kept["validation"].numpy()
