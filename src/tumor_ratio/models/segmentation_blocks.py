"""Large areas in blocks: memory is bounded, no nucleus is lost or counted twice at a seam.

Blocks lie on one lattice over the whole slide. Each has a core and, around it, a margin as wide as
the network's view: inside the core the network computes what it would compute in the whole slide. A
nucleus belongs to the block whose core holds its centroid. Beyond the slide's edge only a rim is
read, and the lattice divides the slide evenly, so that few pixels are computed more than once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.models.segmentation import Segmentation, Segmenter, StainKind

MAX_BLOCK_PX = 1024
RIM_STRIDES = 1
"""So many strides are read beyond the slide's edge: the glass there tells a cut nucleus' border."""

ReadPixels = Callable[[int, int, int, int], NDArray[np.uint8]]
"""`read(x_px, y_px, width_px, height_px) -> (H, W, 3) uint8` at the segmenter's mpp."""


@dataclass(frozen=True)
class Block:
    """A core, half-open, and the pixels to read for it; all in pixels at the segmenter's mpp.

    Parameters
    ----------
    left, top, right, bottom : the core.
    margin_px : read this much more on every side.
    within : left, top, right and bottom of what may be read; None: everything.
    """

    left: int
    top: int
    right: int
    bottom: int
    margin_px: int
    within: tuple[int, int, int, int] | None = None

    @property
    def read_box(self) -> tuple[int, int, int, int]:
        """x, y, width and height of the pixels to read."""
        left, top = self.left - self.margin_px, self.top - self.margin_px
        right, bottom = self.right + self.margin_px, self.bottom + self.margin_px
        if self.within is not None:
            left, top = max(left, self.within[0]), max(top, self.within[1])
            right, bottom = min(right, self.within[2]), min(bottom, self.within[3])
        return left, top, right - left, bottom - top


def blocks_over(
    boxes: NDArray[np.float64],
    *,
    block_px: int,
    margin_px: int,
    stride_px: int,
    extent_px: tuple[int, int] | None = None,
) -> list[Block]:
    """Blocks that cover a union of boxes, row by row.

    Parameters
    ----------
    boxes : (K, 4) left, top, right, bottom in pixels at the segmenter's mpp; may overlap.
    block_px : side of the pixels read for a block, margins included.
    margin_px : see `Segmenter.margin_px`; a multiple of `stride_px`.
    stride_px : origins are multiples of it.
    extent_px : width and height of the slide, in which the boxes lie; None: unbounded.

    Returns
    -------
    list of Block
        Cores are disjoint and cover the boxes; one is trimmed to what the boxes need.

    Raises
    ------
    ValueError
        If the margins leave no core.
    """
    core_px = _core_px(block_px, margin_px, stride_px, extent_px)
    needed: dict[tuple[int, int], NDArray[np.float64]] = {}
    for box in np.asarray(boxes, dtype=np.float64).reshape(-1, 4):
        low, high = box[:2], box[2:]
        if (high <= low).any():
            continue
        columns, rows = (
            range(int(start // core), int(np.ceil(end / core)))
            for start, end, core in zip(low, high, core_px, strict=True)
        )
        for row in rows:
            for column in columns:
                corner = np.array([column, row]) * core_px
                part = np.concatenate([np.maximum(low, corner), np.minimum(high, corner + core_px)])
                seen = needed.get((row, column), part)
                needed[row, column] = np.concatenate(
                    [np.minimum(seen[:2], part[:2]), np.maximum(seen[2:], part[2:])]
                )
    rim_px, within = RIM_STRIDES * stride_px, None
    if extent_px is not None:
        within = (-rim_px, -rim_px, extent_px[0] + rim_px, extent_px[1] + rim_px)
    blocks = []
    for _, box in sorted(needed.items(), key=lambda item: item[0]):
        left, top = (int(edge // stride_px) * stride_px for edge in box[:2])
        right, bottom = (int(-(-edge // stride_px)) * stride_px for edge in box[2:])
        blocks.append(Block(left, top, right, bottom, margin_px, within))
    return blocks


def _core_px(
    block_px: int, margin_px: int, stride_px: int, extent_px: tuple[int, int] | None
) -> NDArray[np.int64]:
    """Width and height of the lattice's cores: the largest, or the fewest even parts of a slide.

    At the slide's edge a rim is read instead of a margin.
    """
    largest = (block_px - 2 * margin_px) // stride_px * stride_px
    if largest <= 0:
        raise ValueError(f"blocks of {block_px} px leave nothing inside margins of {margin_px} px")
    if extent_px is None:
        return np.array([largest, largest])
    cores = []
    for extent in extent_px:
        n_blocks = 1
        while True:
            core = -(-extent // (n_blocks * stride_px)) * stride_px
            inner = min(n_blocks - 1, 2)
            rim_px = (2 - inner) * RIM_STRIDES * stride_px
            if core + inner * margin_px + rim_px <= block_px:
                break
            n_blocks += 1
        cores.append(core)
    return np.array(cores)


def segment_blocks(
    read: ReadPixels,
    boxes: NDArray[np.float64],
    segmenter: Segmenter,
    stain: StainKind,
    *,
    block_px: int = MAX_BLOCK_PX,
    extent_px: tuple[int, int] | None = None,
) -> Iterator[tuple[Block, NDArray[np.uint8], Segmentation, NDArray[np.bool_]]]:
    """Segment what the boxes cover, block by block.

    Parameters
    ----------
    read : gives the pixels.
    boxes : as in `blocks_over`.
    segmenter, stain : see `Segmenter`.
    block_px : memory grows with its square.
    extent_px : as in `blocks_over`.

    Yields
    ------
    block : where the pixels lie.
    rgb : (H, W, 3) uint8, the block with its margin.
    found : the nuclei of `rgb`, in its own pixels.
    own : (N,) bool, those that belong to this block.
    """
    for block in blocks_over(
        boxes,
        block_px=block_px,
        margin_px=segmenter.margin_px,
        stride_px=segmenter.stride_px,
        extent_px=extent_px,
    ):
        rgb = read(*block.read_box)
        found = segmenter.segment(rgb, stain)
        x_px = found.x_px + block.read_box[0]
        y_px = found.y_px + block.read_box[1]
        own = (x_px >= block.left) & (x_px < block.right)
        own &= (y_px >= block.top) & (y_px < block.bottom)
        yield block, rgb, found, own
