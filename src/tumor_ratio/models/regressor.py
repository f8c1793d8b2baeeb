"""The regressor's network: a timm backbone and the study's head, from a patch to one ratio."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.backbones import create_backbone
from tumor_ratio.models.bins import bin_numbers
from tumor_ratio.models.pretrained import download_weights, load_backbone_weights
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions


class RatioRegressor(nn.Module):
    """Backbone, then FC -> ReLU or GELU -> dropout -> FC, to one number an image (or bins of it).

    Parameters
    ----------
    architecture : see there. Weights are random, from torch's current generator.

    Raises
    ------
    ConfigurationError
        If timm does not know the backbone, or the backbone cannot take patches of this size.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.backbone = create_backbone(
            architecture.backbone, architecture.patch_px, setting="backbone.name"
        )
        features = _count_features(self.backbone, architecture)
        self.head = nn.Sequential(
            nn.Linear(features, architecture.hidden),
            _activation(architecture, is_transformer=_is_transformer(self.backbone)),
            nn.Dropout(architecture.dropout),
            nn.Linear(architecture.hidden, len(architecture.bins) + 1),
        )
        if architecture.bins:
            edges = torch.tensor([0.0, *architecture.bins, 1.0])
            self.register_buffer("bin_ratios", (edges[:-1] + edges[1:]) / 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Ratios of normalised images.

        Parameters
        ----------
        images : (B, 3, patch_px, patch_px) float32

        Returns
        -------
        (B,) float32, in (0, 1) where the architecture is bounded or has bins, of any size otherwise
        """
        return self.answer(self.backbone(images))

    def answer(self, features: torch.Tensor) -> torch.Tensor:
        """Ratios that the head gives to (..., d) features of the backbone; (...) float32."""
        if self.architecture.bins:
            # Written out, because autocast would multiply matrices in half precision.
            return (self.bin_shares(features) * self.bin_ratios).sum(dim=-1)
        output = self.head(features).squeeze(-1).float()
        return torch.sigmoid(output) if self.architecture.bounded else output

    def bin_scores(self, features: torch.Tensor) -> torch.Tensor:
        """(..., K) float32 scores of the K bins, before they are made probabilities."""
        return self.head(features).float()

    def bin_shares(self, features: torch.Tensor) -> torch.Tensor:
        """(..., K) float32 probabilities of the K bins."""
        return torch.softmax(self.bin_scores(features), dim=-1)

    def with_parts(self, images: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Ratios of images and of their parts; the head answers for both.

        Parameters
        ----------
        images : see `forward`.
        n : parts along each side.

        Returns
        -------
        (B,) and (B, n, n) float32
            The first is what `forward` gives; a part's features are the mean over its share of the
            backbone's last map.

        Raises
        ------
        ConfigurationError
            If the backbone has no such map.
        """
        features = self.backbone.forward_features(images)
        if features.ndim != 4 or features.shape[1] != self.head[0].in_features:
            raise ConfigurationError(
                f"backbone '{self.architecture.backbone}' has no map of features to teach parts by",
                "set `loss.parts: 0`, or take a convolutional backbone",
            )
        whole = self.backbone.forward_head(features, pre_logits=True)
        parts = nn.functional.adaptive_avg_pool2d(features.float(), n).permute(0, 2, 3, 1)
        together = torch.cat([whole.float()[:, None], parts.flatten(1, 2)], dim=1)
        ratios = self.answer(together)
        return ratios[:, 0], ratios[:, 1:].unflatten(1, (n, n))

    @torch.no_grad()
    def start_at(self, ratio: float) -> None:
        """Shift the last layer's bias so that an untrained network answers near `ratio`."""
        if self.architecture.bounded:
            ratio = min(max(ratio, 0.01), 0.99)
            ratio = math.log(ratio / (1 - ratio))
        last = self.head[-1]
        last.bias.fill_(ratio)

    @torch.no_grad()
    def learn_bin_ratios(self, ratios: NDArray[np.floating]) -> None:
        """Let each bin stand for its mean training ratio; an empty one keeps its centre.

        Parameters
        ----------
        ratios : (N,) of the training patches.
        """
        number = bin_numbers(ratios, self.architecture.bins)
        for index in np.unique(number):
            self.bin_ratios[index] = float(ratios[number == index].mean(dtype=np.float64))


def build_regressor(
    architecture: Architecture, options: BackboneOptions, *, seed: int
) -> RatioRegressor:
    """A regressor before training: random weights from `seed`, or a pretrained backbone.

    Raises
    ------
    ConfigurationError
        See `RatioRegressor`.
    ModelUnavailableError
        If pretrained weights are asked for and cannot be had; within seconds.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = RatioRegressor(architecture)
    if options.weights_path:
        load_backbone_weights(network.backbone, Path(options.weights_path))
    elif options.pretrained:
        path = download_weights(network.backbone, architecture.backbone)
        load_backbone_weights(network.backbone, path)
    return network


def pretrained_normalisation(
    network: RatioRegressor,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation that a backbone's published weights expect, on [0, 1]."""
    settings = network.backbone.pretrained_cfg or {}
    mean = settings.get("mean", (0.485, 0.456, 0.406))
    std = settings.get("std", (0.229, 0.224, 0.225))
    return tuple(mean), tuple(std)


def _count_features(backbone: Any, architecture: Architecture) -> int:
    """Width of the backbone's output, found by a trial on one blank patch."""
    side = architecture.patch_px
    was_training = backbone.training
    try:
        with torch.no_grad():
            features = backbone.eval()(torch.zeros(1, 3, side, side))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"backbone '{architecture.backbone}' cannot take patches of {side} px: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'}",
            "a vision transformer needs a multiple of its own patch (16 px in most)",
        ) from error
    backbone.train(was_training)
    if side % _token_px(backbone):
        raise ConfigurationError(
            f"backbone '{architecture.backbone}' would leave out a border of patches of {side} px",
            f"use a patch size that is a multiple of {_token_px(backbone)} px",
        )
    return int(features.shape[1])


def _token_px(backbone: Any) -> int:
    """Side of the squares that a transformer cuts its input into; 1 for other backbones."""
    embedding = getattr(backbone, "patch_embed", None)
    size = getattr(embedding, "patch_size", 1)
    return int(size[0] if isinstance(size, tuple) else size)


def _is_transformer(backbone: Any) -> bool:
    return any("Attention" in type(module).__name__ for module in backbone.modules())


def _activation(architecture: Architecture, *, is_transformer: bool) -> nn.Module:
    if architecture.activation == "gelu":
        return nn.GELU()
    if architecture.activation == "relu":
        return nn.ReLU()
    return nn.GELU() if is_transformer else nn.ReLU()
