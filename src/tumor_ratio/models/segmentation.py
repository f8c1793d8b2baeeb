"""What finds nuclei, behind one small interface; nothing here imports TensorFlow.

A segmenter works at its own resolution: the caller reads pixels at `Segmenter.mpp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

CARD_FILE = "card.json"
"""Where it is there, it says at which pixel size the model works."""

StainKind = Literal["ihc", "he", "single_stain"]


@dataclass(frozen=True)
class Segmentation:
    """Nuclei of one image, in the order of their labels.

    Parameters
    ----------
    labels : (H, W) int32
        0 is background; nucleus `i` (counted from 0) has the label `i + 1`.
    core : (H, W) bool
        Whether the pixel lies in the inner third of its nucleus, away from the rim.
    x_px, y_px : (N,) float64
        Centroids of the labelled pixels, in image pixels: 0.5 is the middle of the first pixel.
    area_px : (N,) int64
        Number of labelled pixels, at least 1.
    score : (N,) float32
        The network's probability that the nucleus is one, in [0, 1].
    center_px : (N, 2) float32
        x and y of the point that the outline's radii start from.
    radii_px : (N, R) float32
        From there to the outline, at equal angles from 0 on, towards growing y. Where two outlines
        overlap, `labels` give the pixels to one of them.
    """

    labels: NDArray[np.int32]
    core: NDArray[np.bool_]
    x_px: NDArray[np.float64]
    y_px: NDArray[np.float64]
    area_px: NDArray[np.int64]
    score: NDArray[np.float32]
    center_px: NDArray[np.float32]
    radii_px: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.x_px)


class Segmenter(Protocol):
    """Finds nuclei in images of stained tissue."""

    @property
    def mpp(self) -> float:
        """Micrometres a pixel of the images that `segment` takes."""
        ...

    @property
    def margin_px(self) -> int:
        """How much image a nucleus needs around its centroid to come out as in the whole image."""
        ...

    @property
    def stride_px(self) -> int:
        """Blocks whose origins are multiples of this see the same pixel lattice."""
        ...

    def segment(self, rgb: NDArray[np.uint8], stain: StainKind) -> Segmentation:
        """Nuclei of one image.

        Parameters
        ----------
        rgb : (H, W, 3) uint8 at `mpp`; at most about 1024 px a side keeps memory bounded.
        stain : what the image shows; networks of one channel choose the channel by it.
        """
        ...
