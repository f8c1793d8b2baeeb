"""Large areas in blocks: memory is bounded, no nucleus is lost or counted twice at a seam.

Blocks lie on one lattice over the whole slide. Each has a core and, around it, a margin as wide as
the network's view: inside the core the network computes what it would compute in the whole slide. A
nucleus belongs to the block whose core holds its centroid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.models.segmenter import Segmentation, Segmenter, StainKind

MAX_BLOCK_PX = 1024

ReadPixels = Callable[[int, int, int, int], NDArray[np.uint8]]
"""`read(x_px, y_px, width_px, height_px) -> (H, W, 3) uint8` at the segmenter's mpp."""


@dataclass(frozen=True)
class Block:
    """A core, half-open, and the pixels to read for it; all in pixels at the segmenter's mpp.

    Parameters
    ----------
    left, top, right, bottom : the core.
    margin_px : read this much more on every side.
    """

    left: int
    top: int
    right: int
    bottom: int
    margin_px: int

    @property
    def read_box(self) -> tuple[int, int, int, int]:
        """x, y, width and height of the pixels to read."""
        return (
            self.left - self.margin_px,
            self.top - self.margin_px,
            self.right - self.left + 2 * self.margin_px,
            self.bottom - self.top + 2 * self.margin_px,
        )


def blocks_over(
    boxes: NDArray[np.float64], *, block_px: int, margin_px: int, stride_px: int
) -> list[Block]:
    """Blocks that cover a union of boxes, row by row.

    Parameters
    ----------
    boxes : (K, 4) left, top, right, bottom in pixels at the segmenter's mpp; may overlap.
    block_px : side of the pixels read for a block, margins included.
    margin_px : see `Segmenter.margin_px`; a multiple of `stride_px`.
    stride_px : origins are multiples of it.

    Returns
    -------
    list of Block
        Cores are disjoint and cover the boxes; one is trimmed to what the boxes need.

    Raises
    ------
    ValueError
        If the margins leave no core.
    """
    core_px = (block_px - 2 * margin_px) // stride_px * stride_px
    if core_px <= 0:
        raise ValueError(f"blocks of {block_px} px leave nothing inside margins of {margin_px} px")
    needed: dict[tuple[int, int], NDArray[np.float64]] = {}
    for left, top, right, bottom in np.asarray(boxes, dtype=np.float64).reshape(-1, 4):
        if right <= left or bottom <= top:
            continue
        for row in range(int(top // core_px), int(np.ceil(bottom / core_px))):
            for column in range(int(left // core_px), int(np.ceil(right / core_px))):
                cell = np.array([column, row, column + 1, row + 1], dtype=np.float64) * core_px
                part = np.array(
                    [
                        max(left, cell[0]),
                        max(top, cell[1]),
                        min(right, cell[2]),
                        min(bottom, cell[3]),
                    ]
                )
                seen = needed.get((row, column), part)
                needed[row, column] = np.concatenate(
                    [np.minimum(seen[:2], part[:2]), np.maximum(seen[2:], part[2:])]
                )
    blocks = []
    for _, box in sorted(needed.items(), key=lambda item: item[0]):
        left, top = (int(edge // stride_px) * stride_px for edge in box[:2])
        right, bottom = (int(-(-edge // stride_px)) * stride_px for edge in box[2:])
        blocks.append(Block(left, top, right, bottom, margin_px))
    return blocks


def segment_blocks(
    read: ReadPixels,
    boxes: NDArray[np.float64],
    segmenter: Segmenter,
    stain: StainKind,
    *,
    block_px: int = MAX_BLOCK_PX,
) -> Iterator[tuple[Block, NDArray[np.uint8], Segmentation, NDArray[np.bool_]]]:
    """Segment what the boxes cover, block by block.

    Parameters
    ----------
    read : gives the pixels.
    boxes : as in `blocks_over`.
    segmenter, stain : see `Segmenter`.
    block_px : memory grows with its square.

    Yields
    ------
    block : where the pixels lie.
    rgb : (H, W, 3) uint8, the block with its margin.
    found : the nuclei of `rgb`, in its own pixels.
    own : (N,) bool, those that belong to this block.
    """
    for block in blocks_over(
        boxes, block_px=block_px, margin_px=segmenter.margin_px, stride_px=segmenter.stride_px
    ):
        rgb = read(*block.read_box)
        found = segmenter.segment(rgb, stain)
        x_px = found.x_px + block.read_box[0]
        y_px = found.y_px + block.read_box[1]
        own = (x_px >= block.left) & (x_px < block.right)
        own &= (y_px >= block.top) & (y_px < block.bottom)
        yield block, rgb, found, own
