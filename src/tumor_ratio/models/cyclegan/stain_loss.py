"""Do translations hold as much DAB as the neighbouring section does at the same place?

A CycleGAN by itself is free to stain any nuclei, as long as the whole looks like Ki-67.
Neighbouring sections share no nuclei, but agree in how much is stained where: the loss compares
amounts in cells much larger than nuclei. Losses over coarsened images bear misaligned pairs (Liu et
al. 2022, arXiv 2204.11425, compare a pyramid of scales).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tumor_ratio.imaging.stains import H_DAB

FAINT_OD = 0.15
"""Densities below are hardly stain: background and residue of hematoxylin."""
SOFTNESS_OD = 0.1

_TO_DAB = torch.from_numpy(np.linalg.inv(H_DAB.matrix())[:, 1].astype(np.float32))


def stain_amounts(images: torch.Tensor, cell_px: int) -> torch.Tensor:
    """Mean DAB density above what is faint, in cells.

    Parameters
    ----------
    images : (B, 3, H, W) in [-1, 1].
    cell_px : side of a cell; the last ones of a row or column may be smaller.

    Returns
    -------
    (B, 1, h, w) float32
        Softly cut off below `FAINT_OD`, so that unstained pixels still have a gradient.
    """
    intensity = (images.float() + 1) * 127.5
    od = -torch.log10((intensity.clamp(0, 255) + 1) / 256)
    weights = _TO_DAB.to(od.device)[:, None, None]
    dab = (od * weights).sum(dim=1, keepdim=True)  # no einsum: autocast would make it bf16
    stained = nn.functional.softplus((dab - FAINT_OD) / SOFTNESS_OD) * SOFTNESS_OD
    return nn.functional.avg_pool2d(stained, cell_px, ceil_mode=True, count_include_pad=False)


def stain_loss(fake: torch.Tensor, real: torch.Tensor, cell_px: int) -> torch.Tensor:
    """Mean squared difference of the amounts, in cells and in cells twice as wide.

    Squared, since its least is at the mean amount.

    Parameters
    ----------
    fake, real : (B, 3, H, W) in [-1, 1], of the same places.
    cell_px : side of the smaller cells.
    """
    return torch.stack(
        [
            nn.functional.mse_loss(stain_amounts(fake, side_px), stain_amounts(real, side_px))
            for side_px in (cell_px, 2 * cell_px)
        ]
    ).sum()
