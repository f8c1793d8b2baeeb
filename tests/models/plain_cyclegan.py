"""A step of CycleGAN written down from the paper and its reference, without this project's loop."""

from __future__ import annotations

import itertools

import torch
from torch.nn.functional import l1_loss, mse_loss

from tumor_ratio.models.cyclegan.networks import CycleGan


class PlainSteps:
    """LSGAN, cycles of weight 10, identity 0.5, Adam at 2e-4 with beta1 0.5; float32, no pool."""

    def __init__(self, gan: CycleGan) -> None:
        self.gan = gan
        generators = itertools.chain(gan.G_A.parameters(), gan.G_B.parameters())
        discriminators = itertools.chain(gan.D_A.parameters(), gan.D_B.parameters())
        self.generators = torch.optim.Adam(generators, lr=2e-4, betas=(0.5, 0.999))
        self.discriminators = torch.optim.Adam(discriminators, lr=2e-4, betas=(0.5, 0.999))

    def step(self, real_a: torch.Tensor, real_b: torch.Tensor) -> dict[str, float]:
        """One step on (B, 3, H, W) images in [-1, 1]; gives the losses."""
        gan = self.gan
        fake_b, fake_a = gan.G_A(real_a), gan.G_B(real_b)
        losses = {
            "G_A": _square(gan.D_A(fake_b), 1),
            "G_B": _square(gan.D_B(fake_a), 1),
            "cycle_A": 10 * l1_loss(gan.G_B(fake_b), real_a),
            "cycle_B": 10 * l1_loss(gan.G_A(fake_a), real_b),
            "idt_A": 5 * l1_loss(gan.G_A(real_b), real_b),
            "idt_B": 5 * l1_loss(gan.G_B(real_a), real_a),
        }
        self.generators.zero_grad()
        sum(losses.values()).backward()
        self.generators.step()
        self.discriminators.zero_grad()
        fake_a, fake_b = fake_a.detach(), fake_b.detach()
        losses["D_A"] = (_square(gan.D_A(real_b), 1) + _square(gan.D_A(fake_b), 0)) / 2
        losses["D_B"] = (_square(gan.D_B(real_a), 1) + _square(gan.D_B(fake_a), 0)) / 2
        losses["D_A"].backward()
        losses["D_B"].backward()
        self.discriminators.step()
        return {name: loss.item() for name, loss in losses.items()}


def _square(verdict: torch.Tensor, target: float) -> torch.Tensor:
    return mse_loss(verdict, torch.full_like(verdict, target))
