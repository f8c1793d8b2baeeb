"""A large image in blocks: each with what lies around it, beyond the border as in a mirror."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.processes import own_threads, thread_pool

Pixels = NDArray[np.uint8] | NDArray[np.float32]

ReadRegion = Callable[[int, int, int, int], Pixels]
"""`read(top, left, bottom, right) -> (H, W, C)`, half-open and inside the image."""

BLOCK_PX = 512

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Block:
    """A rectangle of an image, half-open, in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left


def blocks_of(box: tuple[int, int, int, int], block_px: int) -> list[Block]:
    """Blocks that cover a box (top, left, bottom, right), row by row.

    Raises
    ------
    ValueError
        If `block_px` is not positive.
    """
    if block_px < 1:
        raise ValueError(f"block_px must be positive, got {block_px}")
    top, left, bottom, right = box
    return [
        Block(y, x, min(bottom, y + block_px), min(right, x + block_px))
        for y in range(top, bottom, block_px)
        for x in range(left, right, block_px)
    ]


def check_image(image: Pixels) -> None:
    """Raise a ValueError that says what is wrong with an image, if anything is."""
    if image.ndim != 3 or image.size == 0:
        raise ValueError(f"expected an (H, W, C) image with a pixel, got {image.shape}")
    _check_dtype(image)


def _check_dtype(pixels: Pixels) -> None:
    if pixels.dtype not in (np.uint8, np.float32):
        raise ValueError(f"expected uint8 or float32 pixels, got {pixels.dtype}")


def mirrored_planes(
    read: ReadRegion, shape: tuple[int, int], block: Block, margin_px: int
) -> Pixels:
    """A block's pixels and those around it, channel by channel.

    Parameters
    ----------
    read : gives the image's pixels.
    shape : height and width of the image.
    block : may reach beyond the image.
    margin_px : so many pixels around it.

    Returns
    -------
    (C, h + 2 margin_px, w + 2 margin_px), as they come
        Beyond the image lies its mirror image, the border pixel not repeated.

    Raises
    ------
    ValueError
        If `read` gives other pixels than were asked for, or other ones than uint8 or float32.
    """
    height, width = (side + 2 * margin_px for side in block.shape)
    rows, _ = mirrored_indices(block.top - margin_px, height, shape[0])
    columns, _ = mirrored_indices(block.left - margin_px, width, shape[1])
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    pixels = read(int(top), int(left), int(bottom), int(right))
    if pixels.ndim != 3 or pixels.shape[:2] != (bottom - top, right - left):
        raise ValueError(f"expected {bottom - top} x {right - left} px, got {pixels.shape}")
    _check_dtype(pixels)
    return np.ascontiguousarray(
        pixels[rows[:, None] - top, columns[None, :] - left].transpose(2, 0, 1)
    )


def mirrored_indices(
    start: int, count: int, length: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Where the pixels `start`, `start + 1`, ... lie in an axis continued by its mirror images.

    Returns
    -------
    indices : (count,) int64 in 0 ... length - 1; the border pixel is not repeated.
    signs : (count,) float32, -1 where the image is seen the wrong way round, else 1.
    """
    period = max(1, 2 * (length - 1))
    folded = np.arange(start, start + count) % period
    signs = np.where(folded >= length, -1, 1).astype(np.float32)
    return (np.minimum(folded, period - folded) if length > 1 else folded), signs


def in_threads(
    work: Callable[[Task], Result], tasks: Iterable[Task], threads: int | None = None
) -> Iterator[Result]:
    """Results in the order of the tasks; tasks are taken one by one as threads become free.

    Parameters
    ----------
    work : is called in threads; `tasks` is advanced in the calling thread.
    threads : by default `own_threads()`.
    """
    count = threads or own_threads()
    waiting: deque[Future[Result]] = deque()
    with thread_pool(count) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(work, task))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
