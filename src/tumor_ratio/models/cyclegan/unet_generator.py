"""The U-Net generator of pix2pix (Isola et al. 2017), nested as in the PyTorch reference."""

from __future__ import annotations

import torch
from torch import nn

from tumor_ratio.models.cyclegan.norms import has_bias, norm_layer
from tumor_ratio.models.cyclegan.options import NormName

SLOPE = 0.2


class SkipLevel(nn.Module):
    """One level down and up again, with everything below it inside; the input is passed beside it.

    Parameters
    ----------
    n_outer, n_inner : channels above and below.
    inside : the level below; None at the bottom.
    norm, dropout : see `NetworkOptions`.
    """

    def __init__(
        self, n_outer: int, n_inner: int, inside: nn.Module | None, norm: NormName, *, dropout: bool
    ) -> None:
        super().__init__()
        down: list[nn.Module] = [
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(n_outer, n_inner, 4, stride=2, padding=1, bias=has_bias(norm)),
        ]
        if inside is not None:
            down += [norm_layer(norm)(n_inner), inside]
        n_below = n_inner if inside is None else 2 * n_inner
        up: list[nn.Module] = [
            nn.ReLU(),
            nn.ConvTranspose2d(n_below, n_outer, 4, stride=2, padding=1, bias=has_bias(norm)),
            norm_layer(norm)(n_outer),
        ]
        self.model = nn.Sequential(*down, *up, *([nn.Dropout(0.5)] if dropout else []))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, n_outer, H, W) to (B, 2 n_outer, H, W)."""
        return torch.cat([x, self.model(x)], dim=1)


class OutermostLevel(nn.Module):
    """The level that takes and gives RGB."""

    def __init__(self, n_filters: int, inside: nn.Module, *, bias: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, n_filters, 4, stride=2, padding=1, bias=bias),
            inside,
            nn.ReLU(),
            nn.ConvTranspose2d(2 * n_filters, 3, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to the same."""
        return self.model(x)


class UnetGenerator(nn.Module):
    """Translates RGB images; every output pixel sees the whole image.

    Parameters
    ----------
    n_down : levels: 7 for images of 128 px, 8 for 256 px.
    n_filters : of the first layer, `ngf`.
    norm, dropout : see `NetworkOptions`.

    Attributes
    ----------
    multiple_px, least_px, reach_px, gradient_checkpointing : see `ResnetGenerator`; a U-Net keeps
        its activations in any case.
    """

    def __init__(self, n_down: int, n_filters: int, norm: NormName, *, dropout: bool) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        self.multiple_px = self.least_px = self.reach_px = 2**n_down
        n = n_filters
        inside: nn.Module = SkipLevel(8 * n, 8 * n, None, norm, dropout=False)
        for _ in range(n_down - 5):
            inside = SkipLevel(8 * n, 8 * n, inside, norm, dropout=dropout)
        for n_outer in (4 * n, 2 * n, n):
            inside = SkipLevel(n_outer, 2 * n_outer, inside, norm, dropout=False)
        self.model = OutermostLevel(n, inside, bias=has_bias(norm))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [-1, 1] to the same; H and W are multiples of `multiple_px`."""
        return self.model(x)
