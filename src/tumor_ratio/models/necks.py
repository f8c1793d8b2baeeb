"""From a backbone's maps of features to one vector a patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.regressor_options import PoolingOptions


class MapReader:
    """Reads a backbone's maps of chosen strides.

    Parameters
    ----------
    backbone : timm network.
    strides : pixels of the patch that lie between two places of each map. Of several maps with one
        stride the last is taken.
    name : timm's name, for messages.

    Raises
    ------
    ConfigurationError
        If the network gives no such maps.
    """

    def __init__(self, backbone: Any, strides: Sequence[int], name: str) -> None:
        if not hasattr(backbone, "forward_intermediates"):
            raise ConfigurationError(
                f"backbone '{name}' gives no maps of features within",
                "set `backbone.pooling.name: backbone`, or take another backbone",
            )
        known = [int(stage["reduction"]) for stage in backbone.feature_info]
        if missing := [stride for stride in strides if stride not in known]:
            raise ConfigurationError(
                f"backbone '{name}' has no map of stride {missing[0]}",
                "set `backbone.pooling.strides` to some of "
                f"{', '.join(str(stride) for stride in sorted(set(known)))}",
            )
        last = {stride: index for index, stride in enumerate(known)}
        self.indices = sorted(last[stride] for stride in strides)

    def maps(self, backbone: Any, images: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, H, W) maps, the finest first; layers above the last are not computed."""
        found: list[torch.Tensor] = backbone.forward_intermediates(
            images, indices=self.indices, norm=True, stop_early=True, intermediates_only=True
        )
        return found


def mean_and_spread(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, 2 C) float32 means and standard deviations over each map's places, C over all maps."""
    values = []
    for each in maps:
        spread, mean = torch.std_mean(each.float(), dim=(2, 3), correction=0)
        values += [mean, spread]
    return torch.cat(values, dim=1)


class TokenTransformer(nn.Module):
    """A small vision transformer on the places of a map: what a convolutional stem calls tokens.

    Parameters
    ----------
    channels, side : of the map, (B, channels, side, side).
    options : how many places make a token; width, depth and heads.

    Raises
    ------
    ConfigurationError
        If the map's side is no multiple of a token's.
    """

    def __init__(self, channels: int, side: int, options: PoolingOptions) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block

        if side % options.merge:
            raise ConfigurationError(
                f"a map of {side} x {side} places cannot be cut into tokens of {options.merge} x "
                f"{options.merge}",
                "set `backbone.pooling.merge` to a divisor of the map's side",
            )
        self.merge = options.merge
        values = channels * options.merge**2
        self.input_norm = nn.LayerNorm(values)
        self.embedding = nn.Linear(values, options.width)
        tokens = (side // options.merge) ** 2
        self.position = nn.Parameter(torch.empty(1, tokens, options.width))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.Sequential(
            *(Block(options.width, options.heads, qkv_bias=True) for _ in range(options.depth))
        )
        self.norm = nn.LayerNorm(options.width)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, width) mean of the tokens."""
        return self.grid(maps).mean(dim=(2, 3))

    def grid(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, width, side / merge, side / merge) tokens, each at its place."""
        maps = nn.functional.pixel_unshuffle(maps, self.merge)
        side = maps.shape[-1]
        tokens = self.embedding(self.input_norm(maps.flatten(2).transpose(1, 2)))
        tokens = self.norm(self.blocks(tokens + self.position))
        return tokens.transpose(1, 2).unflatten(2, (side, side))
