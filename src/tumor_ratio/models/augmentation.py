"""Random variation of training batches, drawn from a passed generator and applied at once."""

from __future__ import annotations

from typing import Any

from tumor_ratio.models.training_options import AugmentationOptions


def augment(images: Any, options: AugmentationOptions, generator: Any) -> Any:
    """Vary every image of a batch on its own.

    Parameters
    ----------
    images : (B, 3, H, W) float32 tensor, 0 to 255; quarter turns need H = W.
    generator : torch generator on the CPU, whatever the images' device, so that CPU and GPU draw
        alike.

    Returns
    -------
    (B, 3, H, W) float32 tensor, 0 to 255
    """
    images = _flipped(images, options.flips, generator)
    if options.stain_jitter > 0 or options.brightness_jitter > 0:
        images = _jittered(images, options, generator)
    return images


def _flipped(images: Any, flips: str, generator: Any) -> Any:
    import torch

    if flips == "none":
        return images
    n = len(images)
    images = _where(torch.rand(n, generator=generator) < 0.5, images.flip(3), images)
    if flips == "dihedral":
        images = _where(torch.rand(n, generator=generator) < 0.5, images.flip(2), images)
        images = _where(torch.rand(n, generator=generator) < 0.5, images.transpose(2, 3), images)
    return images


def _where(chosen: Any, varied: Any, images: Any) -> Any:
    import torch

    return torch.where(chosen.to(images.device)[:, None, None, None], varied, images)


def _jittered(images: Any, options: AugmentationOptions, generator: Any) -> Any:
    """Scale each channel's optical density and shift all of them: OD' = OD * a_c + b.

    In intensities that is I' = 255 (I / 255)^a_c * 10^-b. Background (OD 0) keeps its colour but
    for the shift.
    """
    import torch

    n = len(images)
    factor = 1 + options.stain_jitter * torch.randn(n, 3, 1, 1, generator=generator)
    shift = options.brightness_jitter * torch.randn(n, 1, 1, 1, generator=generator)
    factor, shift = factor.clamp(0.2, 5).to(images.device), shift.to(images.device)
    share = (images / 255).clamp(1 / 255, 1)
    return (255 * share.pow(factor) * torch.pow(10.0, -shift)).clamp(0, 255)
