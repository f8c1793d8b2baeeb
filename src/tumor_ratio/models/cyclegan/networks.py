"""The networks that options describe."""

from __future__ import annotations

import copy

import torch
from torch import nn

from tumor_ratio.models.cyclegan.discriminators import PatchDiscriminator, PixelDiscriminator
from tumor_ratio.models.cyclegan.initial_weights import initialise
from tumor_ratio.models.cyclegan.options import NetworkOptions
from tumor_ratio.models.cyclegan.resnet_generator import ResnetGenerator
from tumor_ratio.models.cyclegan.unet_generator import UnetGenerator

Generator = ResnetGenerator | UnetGenerator

NETWORK_NAMES = ("G_A", "G_B", "D_A", "D_B")
"""G_A translates A to B, which D_A tells from real B; G_B and D_B the other way round."""

RESNET_BLOCKS = {"resnet_9blocks": 9, "resnet_6blocks": 6}
UNET_LEVELS = {"unet_256": 8, "unet_128": 7}


def make_generator(options: NetworkOptions) -> Generator:
    """A generator with torch's own first weights."""
    dropout = not options.no_dropout
    if options.netG in RESNET_BLOCKS:
        n_blocks = RESNET_BLOCKS[options.netG]
        return ResnetGenerator(n_blocks, options.ngf, options.norm, dropout=dropout)
    return UnetGenerator(UNET_LEVELS[options.netG], options.ngf, options.norm, dropout=dropout)


def make_discriminator(options: NetworkOptions) -> nn.Module:
    """A discriminator with torch's own first weights."""
    if options.netD == "pixel":
        return PixelDiscriminator(options.ndf, options.norm)
    n_layers = 3 if options.netD == "basic" else options.n_layers_D
    return PatchDiscriminator(n_layers, options.ndf, options.norm)


class CycleGan(nn.Module):
    """The four networks of a training.

    Parameters
    ----------
    options : see there.
    seed : of the first weights.
    """

    def __init__(self, options: NetworkOptions, *, seed: int) -> None:
        super().__init__()
        self.options = options
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.G_A, self.G_B = (self._initial(make_generator(options)) for _ in range(2))
            self.D_A, self.D_B = (self._initial(make_discriminator(options)) for _ in range(2))

    def _initial(self, network: nn.Module) -> nn.Module:
        return initialise(network, self.options.init_type, self.options.init_gain)

    def start_average(self) -> None:
        """Keep a running average of G_A's weights beside them, from the present ones on."""
        self.average = copy.deepcopy(self.G_A).requires_grad_(False)
        self.register_buffer("averaged", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update_average(self, past: float) -> None:
        """Move the average towards the present weights.

        Parameters
        ----------
        past : the average's own share in [0, 1); less in the first steps, which would otherwise
            keep much of the random start.
        """
        n = int(self.averaged)
        past = min(past, (1 + n) / (10 + n))
        self.averaged += 1
        for mean, weight in zip(self.average.parameters(), self.G_A.parameters(), strict=True):
            mean.lerp_(weight, 1 - past)
        for mean, value in zip(self.average.buffers(), self.G_A.buffers(), strict=True):
            mean.copy_(value)

    def take_average(self) -> None:
        """Put the average in the place of G_A's weights."""
        self.G_A.load_state_dict(self.average.state_dict())
        del self.average, self.averaged

    @property
    def judged(self) -> nn.Module:
        """The generator from A to B that is validated: the average where one is kept."""
        return self.average if hasattr(self, "average") else self.G_A

    def keep_activations(self, keep: bool) -> None:
        """Whether generators keep activations for the backward pass, or compute them again."""
        for generator in (self.G_A, self.G_B):
            generator.gradient_checkpointing = not keep
