"""Regression losses, weighted by patch."""

from __future__ import annotations

from typing import Any

from tumor_ratio.models.regressor_options import LossOptions

LEAST_SHARE = 1e-4
"""Shares are kept this far from 0 and 1 where their logarithm is taken."""


def regression_loss(
    predicted: Any, target: Any, weight: Any, options: LossOptions, *, weighted: bool | None = None
) -> Any:
    """Weighted mean loss of a batch, in float32.

    Parameters
    ----------
    predicted, target : tensors of ratios, of one shape; for `cross_entropy` both in [0, 1].
    weight : tensor of that shape, at least 0; ignored unless `options.weighted`. A batch whose
        weights are all 0 has loss 0.
    weighted : instead of `options.weighted`, where given.

    Returns
    -------
    scalar tensor
    """
    from torch.nn import functional

    predicted, target = predicted.float(), target.float()
    if options.name == "smooth_l1":
        loss = functional.smooth_l1_loss(predicted, target, beta=options.beta, reduction="none")
    elif options.name == "cross_entropy":
        # A sigmoid may round to 0 or 1, whose logarithms would be infinite. Written out, because
        # torch's own function refuses to run under autocast on a GPU.
        inside = predicted.clamp(LEAST_SHARE, 1 - LEAST_SHARE)
        loss = -(target * inside.log() + (1 - target) * (1 - inside).log())
    elif options.name == "mse":
        loss = functional.mse_loss(predicted, target, reduction="none")
    else:
        loss = functional.l1_loss(predicted, target, reduction="none")
    if not (options.weighted if weighted is None else weighted):
        return loss.mean()
    return (loss * weight).sum() / weight.sum().clamp_min(1e-12)
