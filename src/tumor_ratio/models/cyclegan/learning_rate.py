"""The learning rate as a function of the epoch."""

from __future__ import annotations

import math

from tumor_ratio.models.cyclegan.options import CycleGanOptions


def learning_rate_share(options: CycleGanOptions, epoch: int) -> float:
    """Share of `lr` in an epoch.

    Parameters
    ----------
    epoch : counted from 1.

    Returns
    -------
    float
        `linear`: 1 for `n_epochs` epochs, then down in equal steps that would reach 0 in the epoch
        after the last. `step`: 0.1 to the power of finished `lr_decay_iters`. `cosine`: from 1 down
        to 0 over `n_epochs`, and along the same cosine up again where epochs are left, as the
        reference's scheduler has it.
    """
    if options.lr_policy == "linear":
        return 1.0 - max(0, epoch - options.n_epochs) / (options.n_epochs_decay + 1)
    if options.lr_policy == "step":
        return 0.1 ** ((epoch - 1) // options.lr_decay_iters)
    return 0.5 * (1 + math.cos(math.pi * (epoch - 1) / options.n_epochs))
