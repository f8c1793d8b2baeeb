"""Noise between the two halves of a cycle.

Generators hide in a translation, in differences that nobody sees, what the way back shall restore
(Chu et al. 2017, arXiv 1712.02950). What is to be stained is then read from the hidden mark, not
from the tissue: on real images there is none. Noise drowns the mark (Bashkirova et al. 2019, arXiv
1908.01517), so that only what noise leaves, such as the size of nuclei, can tell.
"""

from __future__ import annotations

import torch
from torch import nn

SCALES_PX = (1, 4, 16)
"""Noise of single pixels, and patches of it about as large as nuclei: shades, too, are drowned."""


def with_noise(images: torch.Tensor, deviation: float) -> torch.Tensor:
    """Add smooth and rough noise; drawn by torch's own generator of the device.

    Parameters
    ----------
    images : (B, 3, H, W) in [-1, 1].
    deviation : of the sum over all scales, about.
    """
    if deviation == 0:
        return images
    n_images, n_channels, height, width = images.shape
    noise = torch.zeros(images.shape, device=images.device)
    for scale in SCALES_PX:
        size = (n_images, n_channels, -(-height // scale), -(-width // scale))
        drawn = torch.randn(size, device=images.device)
        noise += nn.functional.interpolate(drawn, (height, width), mode="bilinear")
    return images + noise * (deviation / len(SCALES_PX) ** 0.5)
