"""Whether a generator still answers to what it is shown.

A collapsed generator gives nearly the same picture whatever it is given, or a flat one. Both show
on a fixed panel of images: translations vary less from image to image, or within an image, than
the images did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from tumor_ratio.models.cyclegan.rgb_values import to_network
from tumor_ratio.models.cyclegan.unpaired_images import UnpairedImages
from tumor_ratio.models.devices import Compute

PANEL = 6
SIDE_PX = 256
GRID = 16
"""Images are compared as means over so many rows and columns."""

LEAST = 0.01
"""Variation of the panel below which it cannot tell, of a range of 2."""

SPREADS = ("val_spread_A", "val_spread_B")


def panel(images: UnpairedImages, domain: int, compute: Compute) -> list[torch.Tensor]:
    """Up to six images of a domain, evenly spaced, at most 256 px wide and high.

    Returns
    -------
    list of (1, 3, h, w) float32 in [-1, 1]
    """
    n = len(images.domains[domain])
    chosen = np.unique(np.linspace(0, n - 1, min(n, PANEL)).astype(int))
    shown = [images.read(domain, int(index), 0)[:SIDE_PX, :SIDE_PX] for index in chosen]
    return [to_network(rgb[None], compute) for rgb in shown]


def spread(given: Sequence[torch.Tensor], translated: Sequence[torch.Tensor]) -> float:
    """How much translations vary, relative to what they were made from.

    Parameters
    ----------
    given, translated : (1, 3, h, w) in [-1, 1], equally many.

    Returns
    -------
    float
        The lesser of two ratios of standard deviations: within images, and from image to image
        on a coarse grid. 1 where the panel itself hardly varies.
    """
    ratios = [
        float(after / before)
        for before, after in zip(_variation(given), _variation(translated), strict=True)
        if before > LEAST
    ]
    return min(ratios, default=1.0)


def collapse(record: Mapping[str, float], threshold: float) -> str:
    """Why an epoch's record says that a generator has collapsed; empty where it does not."""
    for name, value in record.items():
        if name in SPREADS and value < threshold:
            return (
                f"generator G_{name[-1]} has collapsed: its translations of the panel vary "
                f"{value:.4f} times as much as their originals, less than {threshold:g} "
                "(`collapse_threshold`); lower `lr`, raise `lambda_identity`, or train on more "
                "varied images"
            )
    return ""


def _variation(images: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    within = torch.stack([image.float().std(dim=(2, 3)).mean() for image in images]).mean()
    coarse = torch.cat([torch.nn.functional.adaptive_avg_pool2d(i.float(), GRID) for i in images])
    between = coarse.std(dim=0, unbiased=False).mean()
    return within, between
