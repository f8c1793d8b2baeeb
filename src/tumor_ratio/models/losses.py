"""Regression losses, weighted by patch or by what is behind a label."""

from __future__ import annotations

from typing import Any

from tumor_ratio.models.regressor_options import LossOptions

LEAST_SHARE = 1e-7
"""Shares are kept this far from 0 and 1 where their logarithm is taken: just apart from 1 in
float32. Beyond it an answer would no longer be drawn back."""


def regression_loss(
    predicted: Any,
    target: Any,
    weight: Any,
    options: LossOptions,
    *,
    weighted: bool | None = None,
    interval: tuple[Any, Any] | None = None,
) -> Any:
    """Weighted mean loss of a batch, in float32.

    Parameters
    ----------
    predicted, target : tensors of ratios, of one shape; for `cross_entropy` and `beta_binomial`
        both in [0, 1].
    weight : tensor of that shape, at least 0; ignored unless `options.weighted`. A batch whose
        weights are all 0 has loss 0. For `beta_binomial` it is the effective number of nuclei.
    weighted : instead of `options.weighted`, where given.
    interval : lower and upper bounds of the targets, of that shape; `interval` needs them.

    Returns
    -------
    scalar tensor
        For `beta_binomial` the batch's negative log-likelihood over its effective number of nuclei,
        up to what depends on the labels alone.
    """
    predicted, target = predicted.float(), target.float()
    if options.name == "beta_binomial":
        loss = beta_binomial_loss(predicted, target, weight.float(), options.correlation)
        return loss.sum() / weight.sum().clamp_min(1e-12)
    loss = _loss_of_each(predicted, target, options, interval)
    if not (options.weighted if weighted is None else weighted):
        return loss.mean()
    return (loss * weight).sum() / weight.sum().clamp_min(1e-12)


def beta_binomial_loss(predicted: Any, target: Any, n_nuclei: Any, correlation: float) -> Any:
    """Negative log-likelihood of shares among numbers of nuclei, without the binomial coefficient.

    Parameters
    ----------
    predicted : tensor of expected shares, in [0, 1].
    target : observed shares, in [0, 1].
    n_nuclei : effective numbers of nuclei behind them, at least 0; where 0, so is the loss.
    correlation : rho in (0, 1) between nuclei of a patch. The share varies between patches as
        Beta(m s, (1 - m) s) about the expected m, with s = 1 / rho - 1; towards 0 the loss becomes
        n times the cross-entropy.

    Notes
    -----
    log B(a, b) - log B(n y + a, n (1 - y) + b) with a = m s, b = (1 - m) s (Skellam 1948, J. R.
    Stat. Soc. B 10:257); the counts n y need not be whole.
    """
    import torch

    s = 1 / correlation - 1
    mean = predicted.clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    a, b = mean * s, (1 - mean) * s
    positive = target * n_nuclei
    negative = (n_nuclei - positive).clamp_min(0)
    seen = torch.lgamma(positive + a) + torch.lgamma(negative + b) - torch.lgamma(n_nuclei + s)
    before = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(torch.full_like(mean, s))
    return before - seen


def bin_loss(
    scores: Any,
    target: Any,
    weight: Any,
    options: LossOptions,
    *,
    edges: tuple[float, ...],
    class_weights: Any = None,
) -> Any:
    """Mean cross-entropy of a batch's bins, in float32.

    Parameters
    ----------
    scores : (B, K) tensor, before the softmax.
    target : (B,) ratios; each lies in one of the K bins.
    weight : (B,) at least 0; ignored unless `options.weighted`.
    edges : K - 1 edges between the bins; a ratio on an edge lies above it.
    class_weights : (K,) tensor, or None for equal ones.
    """
    import torch

    number = torch.bucketize(target.float(), torch.tensor(edges, device=target.device), right=True)
    loss = torch.nn.functional.cross_entropy(scores.float(), number, reduction="none")
    if class_weights is None and not options.weighted:
        return loss.mean()
    total = weight if options.weighted else torch.ones_like(loss)
    if class_weights is not None:
        total = total * class_weights[number]
    return (loss * total).sum() / total.sum().clamp_min(1e-12)


def _loss_of_each(
    predicted: Any, target: Any, options: LossOptions, interval: tuple[Any, Any] | None
) -> Any:
    import torch
    from torch.nn import functional

    if options.name == "smooth_l1":
        return functional.smooth_l1_loss(predicted, target, beta=options.beta, reduction="none")
    if options.name == "cross_entropy":
        # A sigmoid may round to 0 or 1, whose logarithms would be infinite. Written out, because
        # torch's own function refuses to run under autocast on a GPU.
        inside = predicted.clamp(LEAST_SHARE, 1 - LEAST_SHARE)
        return -(target * inside.log() + (1 - target) * (1 - inside).log())
    if options.name == "interval":
        if interval is None:
            raise ValueError("the loss 'interval' needs the labels' intervals")
        lower, upper = interval
        nearest = torch.minimum(torch.maximum(predicted.detach(), lower), upper)
        return functional.smooth_l1_loss(predicted, nearest, beta=options.beta, reduction="none")
    if options.name == "mse":
        return functional.mse_loss(predicted, target, reduction="none")
    if options.name == "l1":
        return functional.l1_loss(predicted, target, reduction="none")
    raise ValueError(f"the loss '{options.name}' is not one of a ratio")
