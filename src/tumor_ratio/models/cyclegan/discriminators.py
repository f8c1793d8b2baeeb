"""PatchGAN discriminators (Isola et al. 2017): one verdict for every patch of an image."""

from __future__ import annotations

import torch
from torch import nn

from tumor_ratio.models.cyclegan.norms import has_bias, norm_layer
from tumor_ratio.models.cyclegan.options import NormName

SLOPE = 0.2
MOST_FILTERS = 8
"""Layers have at most so many times the first layer's filters."""


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches; with three layers they are 70 x 70 px.

    Parameters
    ----------
    n_layers : strided layers, at least 1.
    n_filters : of the first layer, `ndf`.
    norm : see `NetworkOptions`.
    """

    def __init__(self, n_layers: int, n_filters: int, norm: NormName) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, n_filters, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
        n_in = n_filters
        for level in range(1, n_layers + 1):
            n_out = n_filters * min(2**level, MOST_FILTERS)
            stride = 2 if level < n_layers else 1
            layers += [
                nn.Conv2d(n_in, n_out, 4, stride=stride, padding=1, bias=has_bias(norm)),
                norm_layer(norm)(n_out),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
            n_in = n_out
        self.model = nn.Sequential(*layers, nn.Conv2d(n_in, 1, 4, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 1, h, w): the higher, the more real."""
        return self.model(x)


class PixelDiscriminator(nn.Module):
    """Judges every pixel by its colour alone.

    Parameters
    ----------
    n_filters, norm : see `PatchDiscriminator`.
    """

    def __init__(self, n_filters: int, norm: NormName) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, n_filters, 1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(n_filters, 2 * n_filters, 1, bias=has_bias(norm)),
            norm_layer(norm)(2 * n_filters),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(2 * n_filters, 1, 1, bias=has_bias(norm)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 1, H, W)."""
        return self.net(x)
