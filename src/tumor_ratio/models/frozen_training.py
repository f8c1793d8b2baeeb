"""Training what lies above a frozen backbone, on features that are computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tumor_ratio.atomic import full_disk_explained
from tumor_ratio.models.augmentation import augment_with_maps
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.patch_source import LabelledPatches, in_batches, read_ahead
from tumor_ratio.models.predictor import BATCH_SIZE, Predictor
from tumor_ratio.models.regressor import RatioRegressor
from tumor_ratio.models.regressor_options import LossOptions
from tumor_ratio.models.teaching import PART_LABELS, teaching_of
from tumor_ratio.models.training_options import AugmentationOptions, TrainingOptions
from tumor_ratio.models.validation import metrics_of_answers
from tumor_ratio.models.weights_files import read_weights, write_weights

FEATURES_FILE = "frozen_features.safetensors"

Batch = tuple[torch.Tensor, dict[str, torch.Tensor]]


@dataclass(frozen=True)
class FrozenFeatures:
    """What a frozen backbone sees in the patches of a training.

    Parameters
    ----------
    training : (copies, N, ...) of the training patches; maps are float16.
    parts : the labels of each copy's parts by name, (copies, N, K, K); empty where none are taught.
    validation : (M, ...) of the validation patches.
    """

    training: torch.Tensor
    parts: Mapping[str, torch.Tensor]
    validation: torch.Tensor


class FrozenTraining:
    """Learns ratios of features; satisfies `trainable.Trainable`. Neck and head are its module.

    Parameters
    ----------
    network : on the device of `compute`; its neck and head are trained.
    training, validation : patches of disjoint slides, for what they teach.
    features : of these patches.
    loss, options, compute : see there.
    """

    phases: Sequence[str] = ("regression",)
    monitor = "val_mae"

    def __init__(
        self,
        network: RatioRegressor,
        training: LabelledPatches,
        validation: LabelledPatches,
        features: FrozenFeatures,
        loss: LossOptions,
        options: TrainingOptions,
        compute: Compute,
    ) -> None:
        self.network = network
        self.module = torch.nn.ModuleDict({"neck": network.neck, "head": network.head})
        self.training, self.validation = training, validation
        self.features = features
        self.options, self.compute = options, compute
        self.teaching = teaching_of(loss, network.architecture.bins, training, compute.device)

    def parameters(self, phase: str) -> Iterable[torch.nn.Parameter]:
        """The weights of neck and head."""
        return self.module.parameters()

    def n_batches(self) -> int:
        """Batches of one epoch."""
        return -(-len(self.training) // self.options.batch_size)

    def batches(self, generator: np.random.Generator) -> Iterator[Batch]:
        """Every training patch once, in a new order, each as one of its copies."""
        n = len(self.training)
        order = generator.permutation(n)
        copies = torch.from_numpy(generator.integers(len(self.features.training), size=n))
        for indices in in_batches(order, self.options.batch_size):
            labels = {k: torch.from_numpy(v) for k, v in self.training.labels(indices).items()}
            number = torch.from_numpy(indices)
            drawn = copies[number]
            labels |= {name: of[drawn, number] for name, of in self.features.parts.items()}
            yield self.features.training[drawn, number], labels

    def training_step(
        self, phase: str, batch: Batch, generator: torch.Generator
    ) -> Mapping[str, torch.Tensor]:
        """Loss of a batch of features."""
        device = self.compute.device
        seen, labels = batch[0].to(device).float(), {k: v.to(device) for k, v in batch[1].items()}
        parts = self.teaching.options.parts
        if not parts:
            return {"loss": self.teaching.loss(self.network, self.network.neck(seen), labels)}
        whole, of_parts = self.network.answer_with_parts(self.network.neck.grid(seen), parts)
        return {"loss": self.teaching.loss_with_parts(whole, of_parts, labels)}

    def validate(self) -> Mapping[str, float]:
        """Errors on the validation slides, see `validation`."""
        network = self.network
        ask = network.bin_shares if network.architecture.bins else network.answer
        answers = []
        for seen in self.features.validation.split(self.options.batch_size):
            with self.compute.autocast():
                found = ask(network.neck(seen.to(self.compute.device).float()))
            answers.append(found.float().cpu())
        return metrics_of_answers(torch.cat(answers).numpy(), network, self.validation)

    def extra_state(self) -> dict[str, Any]:
        """Nothing beside the weights."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Nothing beside the weights."""


def features_of(
    predictor: Predictor,
    training: LabelledPatches,
    validation: LabelledPatches,
    folder: Path,
    *,
    copies: int = 1,
    augmentation: AugmentationOptions | None = None,
    seed: int = 0,
) -> FrozenFeatures:
    """Features of the training and the validation patches, computed once and kept in a folder.

    Parameters
    ----------
    predictor : with the frozen backbone and how colours reach it.
    training, validation : the patches.
    folder : of this very training, or of all members of an ensemble; they share the features.
    copies : versions of each training patch, at least 1: as it is, then varied.
    augmentation : how further copies are varied.
    seed : of what the variation draws.

    Raises
    ------
    DiskFullError
        If there is no room for them.
    """
    path = folder / FEATURES_FILE
    if not path.is_file():
        quick = predictor.compute.place(predictor.network.for_prediction())
        predictor = replace(predictor, network=quick)
        found = {"validation": _stored(torch.from_numpy(predictor.seen(validation.source)))}
        generator = torch.Generator().manual_seed(seed)
        for number in range(copies):
            varied = augmentation if number else None
            seen, parts = _seen(predictor, training, varied, generator)
            found |= {f"{number}.{name}": values for name, values in parts.items()}
            found[f"{number}.seen"] = _stored(seen)
        with full_disk_explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_weights(found, path)
    kept = read_weights(path, setting="the training's folder")
    together = {
        name: torch.stack([kept[f"{number}.{name}"] for number in range(copies)])
        for name in ("seen", *PART_LABELS)
        if f"0.{name}" in kept
    }
    return FrozenFeatures(together.pop("seen"), together, kept["validation"])


def _seen(
    predictor: Predictor,
    patches: LabelledPatches,
    augmentation: AugmentationOptions | None,
    generator: torch.Generator,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """What the backbone sees in patches, varied or as they are, and the labels of their parts."""
    network, compute = predictor.network, predictor.compute
    seen, parts = [], []
    names = [name for name in PART_LABELS if patches.parts is not None]
    with compute.threading(), torch.no_grad():
        batches = in_batches(np.arange(len(patches)), BATCH_SIZE)
        for indices, rgb in read_ahead(patches.source, batches, compute.readers):
            labels = patches.labels(indices)
            images, maps = compute.images(rgb), [torch.from_numpy(labels[name]) for name in names]
            if augmentation is not None:
                images, *maps = augment_with_maps(images, maps, augmentation, generator)
            with compute.autocast():
                found = network.seen(predictor.normalisation.apply(images))
            seen.append(found.float().cpu())
            parts.append(maps)
    turned = {name: torch.cat([maps[i] for maps in parts]) for i, name in enumerate(names)}
    return torch.cat(seen), turned


def _stored(seen: torch.Tensor) -> torch.Tensor:
    """Maps take a hundred times the room of vectors: in half precision."""
    return seen.half() if seen.ndim == 4 else seen
