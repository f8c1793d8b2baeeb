"""Random amounts of hematoxylin and eosin."""

from __future__ import annotations

from typing import Any

from tumor_ratio.imaging.stains import H_E


def jitter_stains(images: Any, sigma: float, generator: Any) -> Any:
    """Vary each image's stains: the amount c of each becomes a c + b.

    Parameters
    ----------
    images : (B, 3, H, W) float32 tensor, 0 to 255.
    sigma : a is drawn from [1 - sigma, 1 + sigma], b from [-sigma, sigma], each for every image and
        stain; above 0.
    generator : torch generator on the CPU.

    Returns
    -------
    (B, 3, H, W) float32 tensor, 0 to 255

    Notes
    -----
    Tellez et al. 2018, IEEE Trans. Med. Imaging 37:2126. Hematoxylin and eosin have the directions
    of Ruifrok and Johnston (2001), the third is the residual; amounts are decadic optical
    densities. Unlike a factor on each colour channel, this survives the normalisation of each patch
    by its own colours.
    """
    import torch

    n = len(images)
    factor = 1 + sigma * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1)
    shift = sigma * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1)
    directions = torch.as_tensor(H_E.matrix(), dtype=torch.float32, device=images.device)
    density = -torch.log10((images / 255).clamp(1 / 255, 1))
    with torch.autocast(images.device.type, enabled=False):  # which would round to half precision
        amounts = torch.einsum("bchw,cs->bshw", density, torch.linalg.inv(directions))
        amounts = amounts * factor.to(images.device) + shift.to(images.device)
        density = torch.einsum("bshw,sc->bchw", amounts, directions)
    return (255 * torch.pow(10.0, -density)).clamp(0, 255)
