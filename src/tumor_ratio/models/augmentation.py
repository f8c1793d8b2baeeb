"""Random variation of training batches, drawn from a passed generator and applied at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tumor_ratio.models.augmented_optics import add_noise, blur, turn_and_scale
from tumor_ratio.models.augmented_stains import jitter_stains
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
    return augment_with_maps(images, (), options, generator)[0]


def augment_with_maps(
    images: Any, maps: Sequence[Any], options: AugmentationOptions, generator: Any
) -> tuple[Any, ...]:
    """Vary images, and turn what lies over them alike.

    Parameters
    ----------
    images, options, generator : see `augment`.
    maps : (B, K, K) tensors over the images' whole area; they are flipped and turned by quarters
        only, so that they do not fit images that are turned or scaled otherwise.

    Returns
    -------
    tuple
        The images, then the maps.
    """
    images, *turned = _flipped((images, *maps), options.flips, generator)
    if options.rotation_degrees > 0 or options.scale_jitter > 0:
        images = turn_and_scale(images, options.rotation_degrees, options.scale_jitter, generator)
    if options.stain_jitter > 0 or options.brightness_jitter > 0:
        images = _jittered(images, options, generator)
    if options.hed_jitter > 0:
        images = jitter_stains(images, options.hed_jitter, generator)
    if options.blur_px > 0:
        images = blur(images, options.blur_px, generator, share=options.blur_share)
    if options.noise_levels > 0:
        images = add_noise(images, options.noise_levels, generator)
    return images, *turned


def _flipped(fields: tuple[Any, ...], flips: str, generator: Any) -> tuple[Any, ...]:
    """Tensors (B, ..., H, W), flipped and turned alike; each member of the batch on its own."""
    import torch

    if flips == "none":
        return fields
    n = len(fields[0])
    fields = _where(torch.rand(n, generator=generator) < 0.5, fields, lambda f: f.flip(-1))
    if flips == "dihedral":
        fields = _where(torch.rand(n, generator=generator) < 0.5, fields, lambda f: f.flip(-2))
        chosen = torch.rand(n, generator=generator) < 0.5
        fields = _where(chosen, fields, lambda f: f.transpose(-2, -1))
    return fields


def _where(chosen: Any, fields: tuple[Any, ...], change: Callable[[Any], Any]) -> tuple[Any, ...]:
    import torch

    return tuple(
        torch.where(chosen.to(f.device).view(-1, *[1] * (f.ndim - 1)), change(f), f) for f in fields
    )


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
