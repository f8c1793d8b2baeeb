"""A CycleGAN as something the training loop trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from tumor_ratio.models.cyclegan.collapse import SPREADS, panel, spread
from tumor_ratio.models.cyclegan.cycle_noise import with_noise
from tumor_ratio.models.cyclegan.gan_losses import discriminator_loss, gan_loss, image_distance
from tumor_ratio.models.cyclegan.image_pool import ImagePool
from tumor_ratio.models.cyclegan.networks import CycleGan
from tumor_ratio.models.cyclegan.nuclei_loss import nuclei_loss
from tumor_ratio.models.cyclegan.options import CycleGanOptions
from tumor_ratio.models.cyclegan.rgb_values import to_network
from tumor_ratio.models.cyclegan.stain_loss import stain_loss
from tumor_ratio.models.cyclegan.unpaired_images import Pair, UnpairedImages
from tumor_ratio.models.devices import Compute

GeneratorMetric = Callable[[nn.Module], Mapping[str, float]]
"""`metric(G_A)`: figures of the translations of a generator in evaluation mode. `METRIC` is among
them and finite: what is wrong with them."""

METRIC = "val_ratio_error"


class CycleGanTraining:
    """Learns to translate between two domains; satisfies `trainable.Trainable`.

    A step first improves both generators together, then both discriminators, on translations made
    before. Losses carry the reference's names. Where an average of weights is kept, a step first
    moves it towards the weights that the last step left.

    Parameters
    ----------
    gan : moved to the device of `compute`.
    images, options, compute : see there.
    metric : its least value marks the best epoch; without it the last epoch is the best.
    """

    phases: Sequence[str] = ("generators", "discriminators")

    def __init__(
        self,
        gan: CycleGan,
        images: UnpairedImages,
        options: CycleGanOptions,
        compute: Compute,
        metric: GeneratorMetric | None = None,
    ) -> None:
        self.module: Any = compute.place(gan)
        self.module.keep_activations(not options.gradient_checkpointing)
        if options.average > 0:
            self.module.start_average()
        self.images, self.options, self.compute = images, options, compute
        self.metric, self.monitor = metric, METRIC if metric else ""
        self.pools = {name: ImagePool(options.pool_size) for name in ("fake_A", "fake_B")}
        self._panels = [panel(images, domain, compute) for domain in (0, 1)]
        self._shown: dict[str, torch.Tensor] = {}
        self._steps = 0

    def parameters(self, phase: str) -> Iterable[nn.Parameter]:
        """Weights of both generators, or of both discriminators."""
        return [weight for network in self._networks(phase) for weight in network.parameters()]

    def n_batches(self) -> int:
        """Batches of one epoch."""
        return self.images.n_batches()

    def batches(self, generator: np.random.Generator) -> Iterator[Pair]:
        """One epoch of unpaired images."""
        return self.images.batches(generator)

    def training_step(
        self, phase: str, batch: Pair, generator: torch.Generator
    ) -> Mapping[str, torch.Tensor]:
        """Losses of the generators, then of the discriminators."""
        learns = phase == "discriminators"
        for weight in self.parameters("discriminators"):
            weight.requires_grad_(learns)  # the generators' step needs no gradient of theirs
        return self._discriminators(generator) if learns else self._generators(batch)

    def validate(self) -> Mapping[str, float]:
        """How both generators vary on a panel, and the metric."""
        found = {}
        generators = (self.module.judged, self.module.G_B)
        with self.compute.autocast():
            for name, network, shown in zip(SPREADS, generators, self._panels, strict=True):
                found[name] = spread(shown, [network(image) for image in shown])
        if self.metric is not None:
            found.update(self.metric(self.module.judged))
        return found

    def extra_state(self) -> dict[str, Any]:
        """The image pools, and the number of steps taken."""
        return {"steps": self._steps, **{name: pool.state() for name, pool in self.pools.items()}}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self._steps = int(state["steps"])
        for name, pool in self.pools.items():
            pool.load_state(state[name], self.compute.device)

    def _networks(self, phase: str) -> tuple[nn.Module, nn.Module]:
        gan = self.module
        return (gan.G_A, gan.G_B) if phase == "generators" else (gan.D_A, gan.D_B)

    def _generators(self, batch: Pair) -> dict[str, torch.Tensor]:
        gan, options = self.module, self.options
        self._steps += 1
        if options.average > 0:
            gan.update_average(options.average)
        real_A, real_B = (to_network(rgb, self.compute) for rgb in batch)
        fake_B, fake_A = gan.G_A(real_A), gan.G_B(real_B)
        back_A = gan.G_B(with_noise(fake_B, options.cycle_noise))
        back_B = gan.G_A(with_noise(fake_A, options.cycle_noise))
        losses = {
            "G_A": gan_loss(gan.D_A(fake_B), real=True, mode=options.gan_mode),
            "cycle_A": options.lambda_A * image_distance(back_A, real_A),
            "G_B": gan_loss(gan.D_B(fake_A), real=True, mode=options.gan_mode),
            "cycle_B": options.lambda_B * image_distance(back_B, real_B),
        }
        if options.lambda_identity > 0:
            share = options.lambda_identity
            losses["idt_A"] = options.lambda_B * share * image_distance(gan.G_A(real_B), real_B)
            losses["idt_B"] = options.lambda_A * share * image_distance(gan.G_B(real_A), real_A)
        if options.lambda_stain > 0:
            distance = stain_loss(fake_B, real_B, options.stain_cell_px)
            losses["stain"] = self._stain_weight() * distance
        if options.lambda_nuclei > 0:
            moved = nuclei_loss(real_A, fake_B) + nuclei_loss(real_B, fake_A)
            losses["nuclei"] = options.lambda_nuclei * moved
        self._shown = {
            "real_A": real_A,
            "real_B": real_B,
            "fake_A": fake_A.detach(),
            "fake_B": fake_B.detach(),
        }
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def _stain_weight(self) -> float:
        warmup = self.options.stain_warmup
        return self.options.lambda_stain * (min(1.0, self._steps / warmup) if warmup else 1.0)

    def _discriminators(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        losses = {
            "D_A": self._judged(self.module.D_A, "B", generator),
            "D_B": self._judged(self.module.D_B, "A", generator),
        }
        self._shown = {}
        return {"loss": losses["D_A"] + losses["D_B"], **losses}

    def _judged(
        self, discriminator: nn.Module, domain: str, generator: torch.Generator
    ) -> torch.Tensor:
        name = f"fake_{domain}"
        fake = self.pools[name].exchange(self._shown[name], generator)
        real = self._shown[f"real_{domain}"]
        return discriminator_loss(discriminator(real), discriminator(fake), self.options.gan_mode)
