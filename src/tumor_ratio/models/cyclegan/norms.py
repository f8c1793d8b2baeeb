"""Normalisation layers, and instance norms whose statistics can be taken from elsewhere.

An instance norm subtracts the mean and divides by the deviation of the very image it sees. Blocks
of a large image would each be normalised by themselves, and their translations would not agree at
their borders. For blocks, statistics are therefore first pooled over a sample of the whole image
(`pooled_statistics`) and then held fixed for all blocks (`fixed_statistics`).

Both switch layers of the network itself: one thread at a time may use a network so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from tumor_ratio.models.cyclegan.options import NormName

LayerStatistics = tuple[torch.Tensor, torch.Tensor]
"""(C,) float32 mean and variance of a layer's inputs."""

Statistics = Mapping[str, LayerStatistics]
"""Statistics by the layer's name in the network."""


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm without parameters, in the layout and the number format of its input.

    While training under bf16 one image alone is normalised as a batch of one, which is the same
    and, unlike torch's instance norm, keeps channels-last tensors as they are. On the CPU that sums
    less accurately, the less the larger the image, so nothing else takes this way.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features, affine=False, track_running_stats=False)
        self.pooling = False
        self.statistics: LayerStatistics | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, H, W)."""
        if self.pooling:
            return self._pooled(x)
        if self.statistics is not None:
            return nn.functional.batch_norm(x, *self.statistics, training=False, eps=self.eps)
        if len(x) == 1 and x.dtype != torch.float32 and torch.is_grad_enabled():
            return nn.functional.batch_norm(x, None, None, training=True, eps=self.eps)
        y = super().forward(x)
        if y.requires_grad:
            # Given a channels-last gradient, torch 2.13's instance norm gives back a wrong one.
            y.register_hook(torch.Tensor.contiguous)
        return y

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise all images of the batch alike, and keep their common statistics."""
        # One image at a time: summed by a batch norm, millions of values lose digits that show.
        moments = [torch.var_mean(image.float(), dim=(1, 2), unbiased=False) for image in x]
        variances, means = (torch.stack(each).double() for each in zip(*moments, strict=True))
        mean = means.mean(0)
        variance = (variances + (means - mean) ** 2).mean(0)
        self.statistics = mean.float(), variance.float()
        return nn.functional.batch_norm(x, *self.statistics, training=False, eps=self.eps)


def norm_layer(name: NormName) -> Callable[[int], nn.Module]:
    """Maker of a norm over so many channels."""
    layers: dict[str, Callable[[int], nn.Module]] = {
        "instance": InstanceNorm,
        "batch": nn.BatchNorm2d,
        "none": lambda n_features: nn.Identity(),
    }
    return layers[name]


def has_bias(norm: NormName) -> bool:
    """Whether the reference gives convolutions before a norm of this kind a bias."""
    return norm == "instance"


def instance_norms(network: nn.Module) -> dict[str, InstanceNorm]:
    """The network's instance norms by name."""
    return {name: m for name, m in network.named_modules() if isinstance(m, InstanceNorm)}


@contextmanager
def pooled_statistics(network: nn.Module) -> Iterator[dict[str, LayerStatistics]]:
    """Within the context one forward pass normalises its whole batch alike.

    Yields
    ------
    dict
        Empty; filled with the pass's statistics when the context ends.
    """
    layers = instance_norms(network)
    found: dict[str, LayerStatistics] = {}
    for layer in layers.values():
        layer.pooling = True
    try:
        yield found
        found |= {name: m.statistics for name, m in layers.items() if m.statistics is not None}
    finally:
        _release(layers)


@contextmanager
def fixed_statistics(network: nn.Module, statistics: Statistics) -> Iterator[None]:
    """Within the context the network's instance norms use these statistics."""
    layers = instance_norms(network)
    for name, values in statistics.items():
        layers[name].statistics = values
    try:
        yield
    finally:
        _release(layers)


def _release(layers: Mapping[str, InstanceNorm]) -> None:
    for layer in layers.values():
        layer.pooling, layer.statistics = False, None
