"""Between 8-bit pixels and the values that networks take and give."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tumor_ratio.models.devices import Compute

RgbImage = NDArray[np.uint8]

HALF = 127.5


def to_network(rgb: NDArray[np.uint8], compute: Compute) -> torch.Tensor:
    """(B, H, W, 3) uint8 as (B, 3, H, W) float32 in [-1, 1] on the device."""
    return compute.images(np.ascontiguousarray(rgb)) / HALF - 1


def from_network(values: torch.Tensor) -> NDArray[np.float32]:
    """(B, 3, H, W) in [-1, 1] as (B, H, W, 3) float32 from 0 to 255, not yet rounded."""
    return ((values.float() + 1) * HALF).permute(0, 2, 3, 1).cpu().numpy()


def as_rgb(image: NDArray[np.uint8]) -> RgbImage:
    """(H, W, 3) uint8 of an 8-bit image.

    Parameters
    ----------
    image : (H, W), (H, W, 1) gray: three equal channels; (H, W, 3); (H, W, 4): laid on white.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"an image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if image.ndim == 2:
        image = image[..., None]
    n_channels = image.shape[2]
    if n_channels == 1:
        return np.repeat(image, 3, axis=2)
    if n_channels == 4:
        opacity = image[..., 3:].astype(np.float32) / 255
        return (image[..., :3] * opacity + 255 * (1 - opacity) + 0.5).astype(np.uint8)
    if n_channels != 3:
        raise ValueError(f"an image must have 1, 3 or 4 channels, not {n_channels}")
    return image
