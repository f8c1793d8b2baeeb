"""Patches by number, wherever their pixels are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.processes import thread_pool

RgbBatch = NDArray[np.uint8]
Indices = NDArray[np.intp]

AHEAD = 2
"""Batches that each reading thread is ahead."""

T = TypeVar("T", covariant=True)


class Readable(Protocol[T]):
    """Something that gives what belongs to some numbers."""

    def read(self, indices: Indices) -> T:
        """What belongs to the numbers, in the order asked for."""
        ...


class PatchSource(Protocol):
    """Patches of one size, numbered from 0."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int] | Indices) -> RgbBatch:
        """(B, H, W, 3) uint8 pixels of some patches, in the order asked for."""
        ...


@dataclass(frozen=True)
class ArrayPatches:
    """Patches that are in memory already.

    Parameters
    ----------
    rgb : (N, H, W, 3) uint8
    """

    rgb: RgbBatch

    def __len__(self) -> int:
        return len(self.rgb)

    def read(self, indices: Sequence[int] | Indices) -> RgbBatch:
        """(B, H, W, 3) uint8 pixels of some patches, in the order asked for."""
        return self.rgb[np.asarray(indices, dtype=np.intp)]


@dataclass(frozen=True)
class PatchParts:
    """Ratios of the K x K squares that make up each of N patches.

    Parameters
    ----------
    ratios : (N, K, K) float32, rows from top to bottom, columns from left to right; finite.
    weights : (N, K, K) float32, at least 0; 0 where a part teaches nothing.
    """

    ratios: NDArray[np.float32]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class LabelIntervals:
    """What the ratios of N patches are known to.

    Parameters
    ----------
    lower, upper : (N,) float32, finite, lower at most upper.
    """

    lower: NDArray[np.float32]
    upper: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that the intervals are some."""
        if not (self.lower <= self.upper).all():  # False for NaN
            raise ValueError("an interval's lower bound must be at most its upper bound")


@dataclass(frozen=True)
class LabelledPatches:
    """Patches with the ratios to be learned.

    Parameters
    ----------
    source : N patches.
    ratios : (N,) float32, finite.
    weights : (N,) float32, at least 0: how far each label is trusted.
    slides : (N,) the slide of each patch.
    parts : the same of each patch's parts, where these are taught too.
    intervals : of the ratios, where the loss needs them.

    Raises
    ------
    ValueError
        If the lengths differ, there is no patch, or a ratio or weight is not usable.
    """

    source: PatchSource
    ratios: NDArray[np.float32]
    weights: NDArray[np.float32]
    slides: NDArray[np.str_]
    parts: PatchParts | None = None
    intervals: LabelIntervals | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit."""
        if not len(self.source) == len(self.ratios) == len(self.weights) == len(self.slides):
            raise ValueError("patches, ratios, weights and slides differ in number")
        if self.parts is not None and len(self.parts.ratios) != len(self.source):
            raise ValueError("patches and their parts differ in number")
        if self.intervals is not None and len(self.intervals.lower) != len(self.source):
            raise ValueError("patches and their intervals differ in number")
        if len(self.source) == 0:
            raise ValueError("there are no patches")
        if not np.isfinite(self.ratios).all():
            raise ValueError("a patch without a ratio cannot be learned from")
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise ValueError("weights must be finite and at least 0")

    def __len__(self) -> int:
        return len(self.source)

    def labels(self, indices: Indices) -> dict[str, NDArray[np.float32]]:
        """What some patches teach: `ratio`, `weight`, and where there are any `part_ratio`,
        `part_weight`, `lower` and `upper`.
        """
        found = {"ratio": self.ratios, "weight": self.weights}
        if self.parts is not None:
            found |= {"part_ratio": self.parts.ratios, "part_weight": self.parts.weights}
        if self.intervals is not None:
            found |= {"lower": self.intervals.lower, "upper": self.intervals.upper}
        return {name: values[indices] for name, values in found.items()}


def in_batches(order: Indices, batch_size: int) -> list[Indices]:
    """Cut an order into the fewest batches of at most `batch_size`, as equal as possible.

    Equal, because a last batch of one patch would have no batch statistics.
    """
    return np.array_split(order, -(-len(order) // batch_size)) if len(order) else []


def read_ahead(
    source: Readable[T], batches: Iterable[Indices], threads: int = 1
) -> Iterator[tuple[Indices, T]]:
    """Give batches in order, while `threads` threads already read the next two each."""
    waiting: deque[tuple[Indices, Future[T]]] = deque()
    pool = thread_pool(threads, name="patches")
    try:
        for indices in batches:
            waiting.append((indices, pool.submit(source.read, indices)))
            if len(waiting) > AHEAD * threads:
                first, pixels = waiting.popleft()
                yield first, pixels.result()
        while waiting:
            first, pixels = waiting.popleft()
            yield first, pixels.result()
    finally:
        pool.shutdown(cancel_futures=True)
