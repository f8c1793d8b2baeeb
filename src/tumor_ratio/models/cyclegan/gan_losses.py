"""What generators and discriminators minimise."""

from __future__ import annotations

import torch
from torch import nn

from tumor_ratio.models.cyclegan.options import GanMode


def gan_loss(verdict: torch.Tensor, *, real: bool, mode: GanMode) -> torch.Tensor:
    """How far a discriminator's verdict is from `real`.

    Parameters
    ----------
    verdict : (B, 1, h, w) as the discriminator gives it.
    mode : `lsgan`: mean squared difference to 1 or 0 (Mao et al. 2017); `vanilla`: cross entropy
        of the verdict's sigmoid (Goodfellow et al. 2014).
    """
    verdict = verdict.float()
    target = torch.full_like(verdict, float(real))
    if mode == "vanilla":
        return nn.functional.binary_cross_entropy_with_logits(verdict, target)
    return nn.functional.mse_loss(verdict, target)


def discriminator_loss(on_real: torch.Tensor, on_fake: torch.Tensor, mode: GanMode) -> torch.Tensor:
    """Half the sum of both errors: a discriminator learns at half the generators' pace."""
    real, fake = (
        gan_loss(on_real, real=True, mode=mode),
        gan_loss(on_fake, real=False, mode=mode),
    )
    return 0.5 * (real + fake)


def image_distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference, of cycles and identities."""
    return nn.functional.l1_loss(first.float(), second.float())
