"""Blocks that cover a length and share their overlaps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """A block along one axis.

    Parameters
    ----------
    start, length : pixels; multiples of the network's.
    weights : (length,) float32 in [0, 1]; those of all blocks add up to 1 everywhere.
    """

    start: int
    length: int
    weights: NDArray[np.float32]

    @property
    def end(self) -> int:
        """First pixel behind the block."""
        return self.start + self.length


def spans(length_px: int, block_px: int, overlap_px: int, *, multiple_px: int) -> list[Span]:
    """Blocks that cover `length_px`, evenly, each overlapping the next.

    A block's outer quarter of an overlap counts nothing: there the network sees its own border
    padding. Over the half between, one block fades into the next.

    Parameters
    ----------
    length_px, block_px : multiples of `multiple_px`; a block is at most `length_px` long.
    overlap_px : least overlap, less than a block.
    multiple_px : blocks start at multiples of it.
    """
    if length_px <= block_px:
        return [Span(0, length_px, np.ones(length_px, dtype=np.float32))]
    n = 1 + math.ceil((length_px - block_px) / (block_px - overlap_px))
    steps = np.linspace(0, (length_px - block_px) // multiple_px, n)
    starts = [int(step) * multiple_px for step in np.floor(steps)]
    weights = [np.ones(block_px, dtype=np.float32) for _ in starts]
    for index in range(n - 1):
        shared = starts[index] + block_px - starts[index + 1]
        rising = np.clip((np.arange(shared) + 0.5) / shared * 2 - 0.5, 0, 1).astype(np.float32)
        weights[index][block_px - shared :] *= 1 - rising
        weights[index + 1][:shared] *= rising
    return [Span(start, block_px, each) for start, each in zip(starts, weights, strict=True)]
