"""The regressor's network: a timm backbone and the study's head, from a patch to one ratio."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.backbones import create_backbone
from tumor_ratio.models.bins import bin_numbers
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.folded_norms import with_folded_norms
from tumor_ratio.models.hub_backbones import described
from tumor_ratio.models.necks import MapReader, TokenTransformer, mean_and_spread
from tumor_ratio.models.packaged_weights import read_packaged
from tumor_ratio.models.pretrained import download_weights, fill_backbone, load_backbone_weights
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions


class RatioRegressor(nn.Module):
    """Backbone, then FC -> ReLU or GELU -> dropout -> FC, to one number an image (or bins of it).

    Between them lies what `architecture.pooling` asks for: nothing, a norm of means and spreads, or
    a transformer.

    Parameters
    ----------
    architecture : see there. Weights are random, from torch's current generator.

    Raises
    ------
    ConfigurationError
        If timm does not know the backbone, or the backbone cannot take these arguments or patches
        of this size, or does not end in one vector.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self._kept: list[nn.Module] = []
        self.architecture = architecture
        self.backbone = create_backbone(
            architecture.backbone,
            architecture.patch_px,
            setting="backbone.name",
            arguments=architecture.arguments,
        )
        self.reader: MapReader | None = None
        if architecture.pooling.name != "backbone":
            strides = architecture.pooling.strides
            self.reader = MapReader(self.backbone, strides, architecture.backbone)
        self.neck, features = _neck(self, architecture)
        self.head = nn.Sequential(
            nn.Linear(features, architecture.hidden),
            _activation(architecture, is_transformer=_is_transformer(self)),
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
        return self.answer(self.features(images))

    def seen(self, images: torch.Tensor) -> torch.Tensor:
        """What the backbone's weights alone make of images: vectors (B, d), or one map's places
        (B, C, H, W) where a transformer takes them.
        """
        if self.reader is None:
            vectors: torch.Tensor = self.backbone(images)
            return vectors
        maps = self.reader.maps(self.backbone, images)
        return maps[0] if self.has_tokens else mean_and_spread(maps)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, d) that the head is handed."""
        found: torch.Tensor = self.neck(self.seen(images))
        return found

    @property
    def has_tokens(self) -> bool:
        """Whether a transformer lies between backbone and head."""
        return self.architecture.pooling.name == "transformer"

    def keep_stages(self, number: int, compute: Compute) -> None:
        """Freeze the backbone's first stages: they compute as in prediction, without gradients.

        Parameters
        ----------
        number : of stages as timm counts them, the stem first; 0 freezes none.
        compute : whose precision they compute in, whatever that of the training.

        Raises
        ------
        ConfigurationError
            If the backbone has no more stages than that.
        """
        from timm.models import group_modules

        self._kept = []
        if not number:
            return
        groups = group_modules(self.backbone, self.backbone.group_matcher(coarse=True))
        stages = sorted(groups)
        if number >= len(stages):
            raise ConfigurationError(
                f"backbone '{self.architecture.backbone}' has {len(stages)} stages, the stem "
                f"among them, and {number} shall be frozen",
                "lower `backbone.frozen_stages`, or set `backbone.frozen: true`",
            )
        kept = {name for stage in stages[:number] for name in groups[stage]}
        inner = [name for name, _ in self.backbone.named_modules() if _lies_in(name, kept)]
        predicting = self.for_prediction([f"backbone.{name}" for name in inner]).backbone
        holders = {name for group in groups.values() for name in group}
        outermost = ""
        for name, module in self.backbone.named_modules():
            inside = {each for each in holders if each == name or each.startswith(f"{name}.")}
            if not (name and inside and inside <= kept):
                continue
            self._kept.append(module.requires_grad_(False))  # with its dropout, if any
            if not (outermost and name.startswith(f"{outermost}.")):
                outermost = name
                same = compute.place(predicting.get_submodule(name))
                module.forward = _as_in_prediction(same, compute)

    def for_prediction(self, within: Collection[str] | None = None) -> RatioRegressor:
        """A copy that predicts the same in less time; see `with_folded_norms`."""
        side = self.architecture.patch_px
        weights = next(self.parameters())
        blank = torch.zeros(1, 3, side, side, device=weights.device)
        return with_folded_norms(self, lambda network: network.seen(blank), within)

    def train(self, mode: bool = True) -> RatioRegressor:
        """Set the mode of all but frozen stages, which stay as in prediction."""
        super().train(mode)
        for module in self._kept:
            module.eval()
        return self

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
        if self.has_tokens:
            return self.answer_with_parts(self.neck.grid(self.seen(images)), n)
        features = self.backbone.forward_features(images)
        if features.ndim != 4 or features.shape[1] != self.head[0].in_features:
            raise ConfigurationError(
                f"backbone '{self.architecture.backbone}' has no map of features to teach parts by",
                "set `loss.parts: 0`, or take a convolutional backbone",
            )
        whole = self.backbone.forward_head(features, pre_logits=True)
        return self.answer_with_parts(features, n, whole)

    def answer_with_parts(
        self, features: torch.Tensor, n: int, whole: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ratios (B,) of (B, d, H, W) maps of features, and (B, n, n) of their parts.

        Parameters
        ----------
        features, n : see `with_parts`.
        whole : (B, d) features of the whole patches; the map's mean if None.
        """
        features = features.float()
        whole = features.mean(dim=(2, 3)) if whole is None else whole.float()
        parts = nn.functional.adaptive_avg_pool2d(features, n).permute(0, 2, 3, 1)
        together = torch.cat([whole[:, None], parts.flatten(1, 2)], dim=1)
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


def _lies_in(name: str, holders: Collection[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in holders)


def _as_in_prediction(stage: nn.Module, compute: Compute) -> Callable[..., Any]:
    @torch.no_grad()
    def predicting(images: torch.Tensor) -> torch.Tensor:
        training_in_bf16 = torch.is_autocast_enabled(compute.device)
        with compute.autocast():
            found: torch.Tensor = stage(images)
        return found if training_in_bf16 else found.float()

    return predicting


def build_regressor(
    architecture: Architecture, options: BackboneOptions, *, seed: int
) -> RatioRegressor:
    """A regressor before training: random weights from `seed`, or a pretrained backbone.

    An `hf-hub:` name becomes the architecture and the arguments that its repository describes, so
    that nothing needs the network once the model is written.

    Raises
    ------
    ConfigurationError
        See `RatioRegressor`.
    ModelUnavailableError
        If pretrained weights, or the description that an `hf-hub:` name stands for, are asked for
        and cannot be had; within seconds.
    """
    architecture, published = described(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = RatioRegressor(architecture)
    network.backbone.pretrained_cfg = {**(network.backbone.pretrained_cfg or {}), **published}
    if options.weights_path:
        load_backbone_weights(network.backbone, Path(options.weights_path))
    elif options.pretrained == "packaged":
        weights = read_packaged(architecture.backbone, network.backbone.state_dict())
        fill_backbone(network.backbone, weights, "the package")
    elif options.pretrained:
        path = download_weights(network.backbone, architecture.backbone)
        load_backbone_weights(network.backbone, path)
    return network


def _neck(network: RatioRegressor, architecture: Architecture) -> tuple[nn.Module, int]:
    """What lies between backbone and head, and the width of what it hands on."""
    trial = _trial(network, architecture)
    if architecture.pooling.name == "transformer":
        _, channels, side, _ = trial.shape
        return TokenTransformer(channels, side, architecture.pooling), architecture.pooling.width
    width = int(trial.shape[1])
    spread = architecture.pooling.name == "mean_spread"
    return nn.BatchNorm1d(width, affine=False) if spread else nn.Identity(), width


def _trial(network: RatioRegressor, architecture: Architecture) -> torch.Tensor:
    """What the backbone makes of one blank patch."""
    backbone, side = network.backbone, architecture.patch_px
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            seen = network.seen(torch.zeros(1, 3, side, side))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"backbone '{architecture.backbone}' cannot take patches of {side} px: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'}",
            "a vision transformer needs a multiple of its own patch (16 px in most)",
        ) from error
    backbone.train(was_training)
    if network.reader is None and seen.ndim != 2:
        raise ConfigurationError(
            f"backbone '{architecture.backbone}' ends in features of shape {tuple(seen.shape[1:])} "
            "a patch, not in one vector",
            "set `global_pool` in `backbone.arguments`, for a transformer to token (its class "
            "token) or avg (the mean of its patches)",
        )
    if side % _token_px(backbone):
        raise ConfigurationError(
            f"backbone '{architecture.backbone}' would leave out a border of patches of {side} px",
            f"use a patch size that is a multiple of {_token_px(backbone)} px",
        )
    return seen


def _token_px(backbone: Any) -> int:
    """Side of the squares that a transformer cuts its input into; 1 for other backbones."""
    embedding = getattr(backbone, "patch_embed", None)
    size = getattr(embedding, "patch_size", 1)
    return int(size[0] if isinstance(size, tuple) else size)


def _is_transformer(network: nn.Module) -> bool:
    return any("Attention" in type(module).__name__ for module in network.modules())


def _activation(architecture: Architecture, *, is_transformer: bool) -> nn.Module:
    if architecture.activation == "gelu":
        return nn.GELU()
    if architecture.activation == "relu":
        return nn.ReLU()
    return nn.GELU() if is_transformer else nn.ReLU()
