"""What a trained image network sees in patches: its features before the classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.backbones import create_backbone
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.normalisation import Normalisation
from tumor_ratio.models.patch_source import PatchSource, in_batches, read_ahead
from tumor_ratio.models.pretrained import load_backbone_weights

BATCH_SIZE = 16


@dataclass(frozen=True)
class FeatureNetwork:
    """A network with everything it needs to look at patches of any size.

    Parameters
    ----------
    network : timm backbone, on the device of `compute`.
    side_px : what patches are resized to, with antialiasing: what its weights were trained on.
    normalisation : as its weights expect colours.
    compute : its precision is not used: features are float32, since sets of images are compared by
        differences that bf16 would round away.
    """

    network: Any
    side_px: int
    normalisation: Normalisation
    compute: Compute

    def features(self, source: PatchSource, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """Features of all patches of a source.

        Parameters
        ----------
        source : square patches, at least one.
        batch_size : patches computed at once.

        Returns
        -------
        (N, d) float32

        Raises
        ------
        ValueError
            If there is no patch, or patches are no 8-bit RGB squares.
        """
        if len(source) == 0:
            raise ValueError("there are no patches")
        found = []
        self.network.eval()
        with self.compute.threading(), torch.inference_mode():
            batches = in_batches(np.arange(len(source)), batch_size)
            for _, rgb in read_ahead(source, batches, self.compute.readers):
                found.append(self.network(self._input(rgb)).float())
            return torch.cat(found).cpu().numpy()

    def _input(self, rgb: NDArray[np.uint8]) -> torch.Tensor:
        side_px = rgb.shape[1]
        if rgb.dtype != np.uint8 or rgb.shape[1:] != (side_px, side_px, 3):
            raise ValueError(f"patches are (N, side, side, 3) uint8, not {rgb.shape} {rgb.dtype}")
        images = self.compute.images(rgb)
        if side_px != self.side_px:
            images = torch.nn.functional.interpolate(
                images,
                size=(self.side_px, self.side_px),
                mode="bilinear",
                align_corners=False,
                antialias=True,
            )
        return self.normalisation.apply(images)


def load_feature_network(
    name: str, weights: Path, compute: Compute, *, group: str
) -> FeatureNetwork:
    """A network with weights of a local file; nothing is downloaded.

    Parameters
    ----------
    name : timm's name of the architecture, such as `inception_v3`.
    weights : see `load_backbone_weights`.
    compute : what to compute with.
    group : the parameter group that holds `network` and `weights_path`, for messages.

    Raises
    ------
    ConfigurationError
        If timm does not know the name, or the network gives no vector of features.
    ModelUnavailableError
        If the file cannot be read, or holds no weights of this architecture.

    Notes
    -----
    Distances depend on the weights: those of timm's `inception_v3` are not those that published
    values of FID and KID were computed with, so that these cannot be held against them.
    """
    with torch.random.fork_rng(devices=[]):
        backbone = create_backbone(name, setting=f"{group}.network")
    load_backbone_weights(backbone, weights, setting=f"{group}.weights_path")
    settings = backbone.pretrained_cfg or {}
    side_px = int(settings.get("input_size", (3, 224, 224))[-1])
    normalisation = Normalisation(
        tuple(settings.get("mean", (0.485, 0.456, 0.406))),
        tuple(settings.get("std", (0.229, 0.224, 0.225))),
        "pretrained",
    )
    found = FeatureNetwork(compute.place(backbone), side_px, normalisation, compute)
    with torch.inference_mode():
        trial = backbone.eval()(found._input(np.zeros((1, side_px, side_px, 3), np.uint8)))
    if trial.ndim != 2:
        raise ConfigurationError(
            f"network '{name}' gives no vector of features but {tuple(trial.shape)}",
            f"set `{group}.network` to a network that classifies images",
        )
    return found
