"""Colours as a network expects them: centred and scaled, as its model card says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tumor_ratio.models.patch_source import PatchSource

SAMPLE = 512
LEAST_OD_SPREAD = 0.02
"""Added to a patch's spread of optical density, so that blank glass stays near 0."""


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


@dataclass(frozen=True)
class PatchNormalisation:
    """Each patch by itself: optical density per channel, less its mean, over its spread.

    What staining and scanner do to a whole patch (strength, and to a large part hue) is taken out,
    and with it what a network could tell slides apart by; form and texture stay.

    Parameters
    ----------
    least_spread : added to the standard deviation (log10 optical density), above 0.
    source : for the model card.
    """

    least_spread: float = LEAST_OD_SPREAD
    source: str = "patch"

    def apply(self, images: Any) -> Any:
        """Normalise (B, 3, H, W) float32, 0 to 255; the result is channels-last in memory."""
        import torch

        density = -torch.log10((images / 255).clamp(1 / 255, 1))
        spread, mean = torch.std_mean(density, dim=(2, 3), keepdim=True, correction=0)
        normalised = (density - mean) / (spread + self.least_spread)
        return normalised.contiguous(memory_format=torch.channels_last)


AnyNormalisation = Normalisation | PatchNormalisation


def normalisation_to_record(normalisation: AnyNormalisation) -> dict[str, Any]:
    """As a model card stores it."""
    return dataclasses.asdict(normalisation)


def normalisation_from_record(record: Mapping[str, Any]) -> AnyNormalisation:
    """Back from a model card.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the record is none of a normalisation.
    """
    if "least_spread" in record:
        return PatchNormalisation(float(record["least_spread"]), str(record["source"]))
    red, green, blue = (float(value) for value in record["mean"])
    std_red, std_green, std_blue = (float(value) for value in record["std"])
    return Normalisation((red, green, blue), (std_red, std_green, std_blue), str(record["source"]))


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
