"""Random turns, sizes, blur and noise: what another scan of the same tissue may differ in."""

from __future__ import annotations

import math
from typing import Any


def turn_and_scale(images: Any, degrees: float, share: float, generator: Any) -> Any:
    """Turn and scale each image about its centre; what comes from outside is mirrored.

    Parameters
    ----------
    images : (B, 3, H, H) float32 tensor.
    degrees : the angle is drawn from [-degrees, degrees].
    share : the enlargement is drawn from [1 - share, 1 + share].
    generator : torch generator on the CPU.
    """
    import torch
    from torch.nn import functional

    n = len(images)
    angle = math.radians(degrees) * (2 * torch.rand(n, generator=generator) - 1)
    shrink = 1 / (1 + share * (2 * torch.rand(n, generator=generator) - 1))
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = shrink * angle.cos()
    matrix[:, 0, 1] = -shrink * angle.sin()
    matrix[:, 1, 0] = shrink * angle.sin()
    with torch.autocast(images.device.type, enabled=False):
        grid = functional.affine_grid(
            matrix.to(images.device), list(images.shape), align_corners=False
        )
        return functional.grid_sample(
            images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )


def blur(images: Any, most_px: float, generator: Any, *, share: float = 1.0) -> Any:
    """Blur images by a Gaussian whose standard deviation is drawn from [0, most_px] pixels.

    Parameters
    ----------
    images : (B, 3, H, W) float32 tensor; sides longer than 6 `most_px`.
    most_px : above 0.
    generator : torch generator on the CPU.
    share : of the images; each of the others stays as it is.
    """
    import torch
    from torch.nn import functional

    n, channels, height, width = images.shape
    sigma = most_px * torch.rand(n, 1, generator=generator)
    if share < 1:
        sigma = sigma * (torch.rand(n, 1, generator=generator) < share)
    sigma = sigma.clamp_min(1e-3)
    radius = math.ceil(3 * most_px)
    offset = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    kernel = kernel.to(images.device)
    with torch.autocast(images.device.type, enabled=False):
        field = images.reshape(1, n * channels, height, width)
        field = functional.pad(field, (radius, radius, radius, radius), mode="reflect")
        field = functional.conv2d(field, kernel[:, None, None, :], groups=n * channels)
        field = functional.conv2d(field, kernel[:, None, :, None], groups=n * channels)
    return field.reshape(n, channels, height, width)


def add_noise(images: Any, most_levels: float, generator: Any) -> Any:
    """Add normal noise to every pixel and channel, of an image's own strength.

    Parameters
    ----------
    images : (B, 3, H, W) float32 tensor, 0 to 255.
    most_levels : its standard deviation is drawn from [0, most_levels].
    generator : torch generator on the CPU.
    """
    import torch

    strength = most_levels * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = strength * torch.randn(images.shape, generator=generator)
    return (images + noise.to(images.device)).clamp(0, 255)
