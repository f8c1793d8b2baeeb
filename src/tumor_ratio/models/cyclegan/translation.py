"""Translate images of any size in blocks that agree at their borders.

Two things make blocks disagree. Instance norms normalise each block by its own statistics: here
they are measured once, on crops spread over the image, and held for all blocks, so that a block's
translation depends on its pixels and not on its neighbours' company (Ho et al. 2022 smooth each
block's own statistics instead, which still vary over a slide). And a block's border sees padding
where the image goes on: blocks overlap, their borders count nothing, and they fade into each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from tumor_ratio.models.cyclegan.blocks import Span, spans
from tumor_ratio.models.cyclegan.networks import Generator
from tumor_ratio.models.cyclegan.norms import (
    Statistics,
    fixed_statistics,
    instance_norms,
    pooled_statistics,
)
from tumor_ratio.models.cyclegan.options import BlockOptions
from tumor_ratio.models.cyclegan.rgb_values import RgbImage, as_rgb, from_network, to_network
from tumor_ratio.models.devices import Compute

ReadRgb = Callable[[int, int, int, int], RgbImage]
"""`read(y_px, x_px, height_px, width_px)`: (height_px, width_px, 3) uint8."""


def translate(
    generator: Generator,
    image: NDArray[np.uint8],
    compute: Compute,
    options: BlockOptions | None = None,
    *,
    statistics: Statistics | None = None,
) -> RgbImage:
    """Translate an image in memory.

    Parameters
    ----------
    generator : on the device of `compute`; put into evaluation mode.
    image : (H, W, 3) uint8 of any size; gray becomes RGB, transparency is laid on white.
    compute, options : see there.
    statistics : of `measure_statistics`, for tiles that shall agree with each other. By default
        the image's own: up to one block it is then translated whole.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ValueError
        If it is no 8-bit image, or the blocks are no multiple of what the generator takes.
    """
    rgb = as_rgb(image)

    def read(y: int, x: int, height: int, width: int) -> RgbImage:
        return rgb[y : y + height, x : x + width]

    height_px, width_px = rgb.shape[:2]
    strips = translate_strips(
        generator, read, height_px, width_px, compute, options, statistics=statistics
    )
    return np.concatenate(list(strips))


def translate_strips(
    generator: Generator,
    read: ReadRgb,
    height_px: int,
    width_px: int,
    compute: Compute,
    options: BlockOptions | None = None,
    *,
    statistics: Statistics | None = None,
) -> Iterator[RgbImage]:
    """Translate an image that is read and given piece by piece, from top to bottom.

    Parameters
    ----------
    read : see `ReadRgb`; asked only for what lies inside the image.
    height_px, width_px : of the image, at least 1.
    generator, compute, options, statistics : see `translate`.

    Yields
    ------
    (h, width_px, 3) uint8
        Strips that together are the translated image.
    """
    options = options or BlockOptions()
    canvas = _Canvas(read, height_px, width_px, generator)
    block_px, overlap_px = _fitted(options, generator)
    rows, columns = (
        spans(side, block_px, overlap_px, multiple_px=generator.multiple_px)
        for side in canvas.padded
    )
    generator.eval()
    if statistics is None and len(rows) * len(columns) > 1:
        statistics = measure_statistics(generator, _sample(canvas, options, generator), compute)
    work = np.zeros((rows[0].length, canvas.padded[1], 3), dtype=np.float32)
    ends = [*(row.start for row in rows[1:]), height_px]
    for row, end in zip(rows, ends, strict=True):
        for column in columns:
            values = _translated(generator, canvas.read(row, column), compute, statistics)
            values *= row.weights[:, None, None] * column.weights[:, None]
            work[:, column.start : column.end] += values
        done = end - row.start
        yield (work[:done, :width_px] + 0.5).clip(0, 255).astype(np.uint8)
        work = np.concatenate([work[done:], np.zeros_like(work[: min(done, len(work))])])


@torch.inference_mode()
def measure_statistics(
    generator: Generator, crops: NDArray[np.uint8], compute: Compute
) -> Statistics:
    """What the generator's instance norms see, over all crops together.

    Parameters
    ----------
    crops : (N, h, w, 3) uint8, a sample of what is to be translated; sides are multiples of the
        generator's. They are computed at once: see `BlockOptions.crops_mpx` for the memory.

    Returns
    -------
    dict
        (C,) float32 mean and variance by layer; empty for generators with other norms.
    """
    if not instance_norms(generator):
        return {}
    generator.eval()
    with compute.threading(), compute.autocast(), pooled_statistics(generator) as found:
        generator(to_network(crops, compute))
    return found


class _Canvas:
    """An image padded by reflection, at its right and lower border, to sides the network takes."""

    def __init__(self, read: ReadRgb, height_px: int, width_px: int, generator: Generator) -> None:
        if min(height_px, width_px) < 1:
            raise ValueError(f"an image of {width_px} x {height_px} px cannot be translated")
        self._read, self._size = read, (height_px, width_px)
        multiple = generator.multiple_px
        self.padded = tuple(
            max(generator.least_px, -(-side // multiple) * multiple) for side in self._size
        )

    def read(self, row: Span, column: Span) -> RgbImage:
        """(row.length, column.length, 3) uint8."""
        inside = [
            min(span.end, side) - span.start
            for span, side in zip((row, column), self._size, strict=True)
        ]
        rgb = self._read(row.start, column.start, *inside)
        missing = (row.length - inside[0], column.length - inside[1])
        if not any(missing):
            return rgb
        return np.pad(rgb, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")


def _fitted(options: BlockOptions, generator: Generator) -> tuple[int, int]:
    multiple = generator.multiple_px
    if options.block_px % multiple:
        raise ValueError(
            f"block_px {options.block_px} is no multiple of {multiple}, which the generator takes"
        )
    return options.block_px, options.overlap_px


def _sample(canvas: _Canvas, options: BlockOptions, generator: Generator) -> NDArray[np.uint8]:
    """(N, h, w, 3) uint8: the whole image, or crops on a grid over it."""
    height, width = canvas.padded
    multiple = generator.multiple_px
    most_px = options.crops_mpx * 1e6
    if height * width <= most_px:
        whole = (spans(side, side, 0, multiple_px=multiple)[0] for side in (height, width))
        return canvas.read(*whole)[None]
    side = -(-options.crop_px // multiple) * multiple
    rows, columns = (spans(length, side, 0, multiple_px=multiple) for length in (height, width))
    share = min(1.0, (most_px / side**2 / (len(rows) * len(columns))) ** 0.5)
    chosen = [_spread(each, max(1, int(share * len(each)))) for each in (rows, columns)]
    return np.stack([canvas.read(row, column) for row in chosen[0] for column in chosen[1]])


def _spread(all_spans: list[Span], n: int) -> list[Span]:
    """`n` of the spans, each in the middle of its n-th part."""
    places = (np.arange(n) + 0.5) * len(all_spans) / n
    return [all_spans[int(place)] for place in places]


@torch.inference_mode()
def _translated(
    generator: Generator, rgb: RgbImage, compute: Compute, statistics: Statistics | None
) -> NDArray[np.float32]:
    """(h, w, 3) float32, 0 to 255."""
    with compute.threading(), compute.autocast(), fixed_statistics(generator, statistics or {}):
        return from_network(generator(to_network(rgb[None], compute)))[0]
