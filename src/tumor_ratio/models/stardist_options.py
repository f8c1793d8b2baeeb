"""What can be chosen of the nuclei network; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class StarDistOptions:
    """The network and its training.

    Parameters
    ----------
    mpp : micrometres a pixel of the training tiles, and of all images at inference.
    n_rays, unet_depth, filters, features : the network: rays of a polygon, levels of the U-Net,
        filters at its top, and of the layer after it.
    epochs : at most; each sees every training tile about once.
    patience : stop after so many epochs without a better validation loss.
    batch_size, learning_rate : of Adam.
    seed : of weights, order and augmentation.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    mpp: float = 0.5
    n_rays: int = 32
    unet_depth: int = 2
    filters: int = 16
    features: int = 64
    epochs: int = 18
    patience: int = 8
    batch_size: int = 2
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        positive = ("mpp", "n_rays", "unet_depth", "filters", "features", "epochs", "batch_size")
        wrong = [name for name in (*positive, "learning_rate") if not getattr(self, name) > 0]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be positive")
        if self.patience < 1 or self.seed < 0:
            raise ValueError("patience is at least 1, seed at least 0")
