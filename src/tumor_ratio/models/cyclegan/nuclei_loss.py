"""Are nuclei where they were, after a translation?

Cycles can be restored from translations of inverted contrast, where nuclei are pale and what lies
between them is dark: a training that begins so takes long to turn back. Nuclei are dark in red
light in both stains, since hematoxylin absorbs it, and eosin and DAB do so little. The loss
compares that with the image itself, so that it needs no pairs.
"""

from __future__ import annotations

import torch
from torch import nn

CELL_PX = 2
LEAST_OD = 0.02
"""Added to an image's mean density: glass has no pattern to keep."""


def nuclear_pattern(images: torch.Tensor) -> torch.Tensor:
    """Density of red light in cells of `CELL_PX`, over its mean in the image.

    Parameters
    ----------
    images : (B, 3, H, W) in [-1, 1].

    Returns
    -------
    (B, 1, h, w) float32
        The mean is about 1, whatever the strength of the stain.
    """
    intensity = ((images[:, :1].float() + 1) * 127.5).clamp(0, 255)
    od = -torch.log10((intensity + 1) / 256)
    cells = nn.functional.avg_pool2d(od, CELL_PX, ceil_mode=True, count_include_pad=False)
    return cells / (cells.mean(dim=(1, 2, 3), keepdim=True) + LEAST_OD)


def nuclei_loss(original: torch.Tensor, translation: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the two patterns.

    Parameters
    ----------
    original, translation : (B, 3, H, W) in [-1, 1], pixel by pixel of the same place.
    """
    return nn.functional.l1_loss(nuclear_pattern(translation), nuclear_pattern(original))
