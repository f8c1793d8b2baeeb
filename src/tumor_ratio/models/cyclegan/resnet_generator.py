"""The generator of Johnson et al. (2016) that CycleGAN uses: residual blocks at a quarter scale.

Layers stand in the order in which the PyTorch reference numbers them, so that state dicts can be
exchanged: `model.1`, `model.4`, `model.7`, `model.10.conv_block.1`, ...
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tumor_ratio.models.cyclegan.norms import has_bias, norm_layer
from tumor_ratio.models.cyclegan.options import NormName

N_DOWN = 2


class ReflectionPad(nn.ReflectionPad2d):
    """Reflected borders in the input's own number format: autocast would make them float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W), padded."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with reflected borders, added to what they were given."""

    def __init__(self, n_features: int, norm: NormName, *, dropout: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_convolution(n_features, norm), nn.ReLU(inplace=True)]
        if dropout:
            layers.append(nn.Dropout(0.5))
        self.conv_block = nn.Sequential(*layers, *_convolution(n_features, norm))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        return x + self.conv_block(x)


def _convolution(n_features: int, norm: NormName) -> list[nn.Module]:
    return [
        ReflectionPad(1),
        nn.Conv2d(n_features, n_features, 3, bias=has_bias(norm)),
        norm_layer(norm)(n_features),
    ]


class ResnetGenerator(nn.Module):
    """Translates RGB images.

    Parameters
    ----------
    n_blocks : residual blocks: 6 for images of 128 px, 9 from 256 px on.
    n_filters : of the first layer, `ngf`.
    norm, dropout : see `NetworkOptions`.

    Attributes
    ----------
    multiple_px, least_px : image sides must be multiples of the one, and at least the other.
    reach_px : how far an output pixel sees, instance norms' statistics aside.
    gradient_checkpointing : compute activations again in the backward pass.
    """

    multiple_px = 2**N_DOWN
    least_px = 2 * multiple_px

    def __init__(self, n_blocks: int, n_filters: int, norm: NormName, *, dropout: bool) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        # 3 and 3 px of the outer layers, 1 and 2 on the way down, 2 x 4 px a block, 4 + 2 up.
        self.reach_px = 3 + 1 + 2 + 8 * n_blocks + 4 + 2 + 3
        outer, self._n_blocks = n_filters, n_blocks
        layers: list[nn.Module] = [
            ReflectionPad(3),
            nn.Conv2d(3, outer, 7, bias=has_bias(norm)),
            norm_layer(norm)(outer),
            nn.ReLU(inplace=True),
        ]
        for n in (outer, 2 * outer):
            layers += [
                nn.Conv2d(n, 2 * n, 3, stride=2, padding=1, bias=has_bias(norm)),
                norm_layer(norm)(2 * n),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(4 * outer, norm, dropout=dropout) for _ in range(n_blocks)]
        for n in (4 * outer, 2 * outer):
            layers += [
                nn.ConvTranspose2d(
                    n, n // 2, 3, stride=2, padding=1, output_padding=1, bias=has_bias(norm)
                ),
                norm_layer(norm)(n // 2),
                nn.ReLU(inplace=True),
            ]
        layers += [ReflectionPad(3), nn.Conv2d(outer, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [-1, 1] to the same; H and W are multiples of 4."""
        if not (self.gradient_checkpointing and torch.is_grad_enabled()):
            return self.model(x)
        for part in self._parts():
            x = checkpoint(part, x, use_reentrant=False)
        return x

    def _parts(self) -> list[nn.Sequential]:
        """Layers in groups that end where little is to be kept."""
        blocks_end = 10 + self._n_blocks
        edges = [0, 4, 7, *range(10, blocks_end + 1), blocks_end + 3, blocks_end + 6]
        ends = [*edges[1:], len(self.model)]
        return [self.model[a:b] for a, b in zip(edges, ends, strict=True)]
