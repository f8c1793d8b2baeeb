"""Colours as a network expects them: centred and scaled, as its model card says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tumor_ratio.models.patch_source import PatchSource

SAMPLE = 512


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation, in shares of full intensity (0 to 1).

    Parameters
    ----------
    mean, std : red, green, blue; `std` above 0.
    source : `training_patches` or `pretrained`, for the model card.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str

    def apply(self, images: Any) -> Any:
        """Normalise (B, 3, H, W) float32, 0 to 255; the result is channels-last in memory."""
        import torch

        mean = torch.tensor(self.mean, device=images.device)[:, None, None] * 255
        std = torch.tensor(self.std, device=images.device)[:, None, None] * 255
        return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def measure_normalisation(source: PatchSource) -> Normalisation:
    """Mean and standard deviation of a source's pixels, from at most 512 patches spread over it.

    A channel without any variation gets a standard deviation of 1 / 255.
    """
    n = len(source)
    chosen = np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.intp))
    total, squares, pixels = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(chosen), 32):
        shares = source.read(chosen[start : start + 32]).reshape(-1, 3) / 255.0
        total += shares.sum(axis=0)
        squares += (shares**2).sum(axis=0)
        pixels += len(shares)
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0)).clip(1 / 255)
    return Normalisation(
        (float(mean[0]), float(mean[1]), float(mean[2])),
        (float(std[0]), float(std[1]), float(std[2])),
        "training_patches",
    )
