"""ilastik's features of each pixel: Gaussian derivatives, structure tensors and Hessians.

Definitions are those of ilastik where it filters with fastfilters, as 1.2 and later do
(`OpPixelFeaturesPresmoothed`). They were held against stored outputs of 1.4.0 and 1.4.1:

- An image is smoothed first, with a window of 3.5 standard deviations: for a scale s > 1 by
  sqrt(s^2 - 1), for a smaller one by s itself. The filter then works at scale t = min(s, 1) in a
  window of 2 standard deviations, whatever s: filters at several pixels cost no more than at one.
  So below 1 an image is smoothed twice, and responses at larger scales are those at 1 px of a
  smoother image: they are not multiplied by powers of s.
- The difference of Gaussians is that of t and 0.66 t.
- The structure tensor is that of derivatives at t / 2, smoothed by t. ilastik asks vigra for the
  reverse, t and t / 2; fastfilters, which it uses instead, takes its two scales in the other order,
  and only so do ilastik's outputs come out.
- Eigenvalues come larger first. Beyond the border lies the mirror image, the border pixel not
  repeated.

See https://www.ilastik.org/documentation/pixelclassification/pixelclassification and U. Koethe,
"Generische Programmierung für die Bildverarbeitung" (2000), for the filters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.derivative_kernels import half_kernel
from tumor_ratio.imaging.feature_selection import FEATURE_IDS, FeatureSelection, n_values
from tumor_ratio.imaging.pixel_blocks import (
    BLOCK_PX,
    Block,
    Pixels,
    ReadRegion,
    blocks_of,
    check_image,
    in_threads,
    mirrored_indices,
    mirrored_planes,
)
from tumor_ratio.imaging.pixel_groups import GROUP_COLUMNS, GROUP_PX, GROUP_ROWS, ungroup
from tumor_ratio.imaging.tile_filters import (
    MARGIN_PX,
    N_KERNELS,
    TILE_COLUMNS,
    TILE_ROWS,
    filter_tile,
    smooth_plane,
    work_planes,
)

__all__ = ["FeaturePlan", "FeatureSelection", "FeatureTile", "pixel_features"]

PRESMOOTHING_WINDOW = 3.5
FILTER_WINDOW = 2.0
NARROWER = 0.66
"""The smaller scale of the difference of Gaussians, as a share of the larger."""

INNER = 0.5
"""The scale of the structure tensor's derivatives, as a share of that of its smoothing."""


def pixel_features(
    image: Pixels,
    selection: FeatureSelection,
    *,
    block_px: int = BLOCK_PX,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Features of every pixel, each channel by itself.

    Parameters
    ----------
    image : (H, W, C) uint8 or float32; may be smaller than the filters reach.
    selection : filters and scales.
    block_px : work in blocks of so many pixels; the result does not depend on it.
    threads : by default `own_threads()`; the result does not depend on it.

    Returns
    -------
    (H, W, F) float32
        In ilastik's order (`FeatureSelection.names`): filter by filter, each scale by scale, then
        channel by channel, the larger eigenvalue before the smaller one.

    Raises
    ------
    ValueError
        If the image is not (H, W, C) uint8 or float32, or has no pixel.
    """
    check_image(image)
    height, width, n_channels = image.shape
    plan = FeaturePlan.of(selection, n_channels)
    out = np.empty((height, width, plan.n_features), dtype=np.float32)

    def fill(block: Block) -> None:
        planes = plan.read_block(lambda t, l, b, r: image[t:b, l:r], (height, width), block)
        for tile in plan.tiles(planes, (height, width), block):
            ungroup(
                tile.groups, tile.groups_across, out[tile.top : tile.bottom, tile.left : tile.right]
            )

    for _ in in_threads(fill, blocks_of((0, 0, height, width), block_px), threads):
        pass
    return out


@dataclass(frozen=True)
class FeatureTile:
    """Features of a rectangle of pixels, valid until the next one is asked for.

    Parameters
    ----------
    top, left, bottom, right : the rectangle in the image, half-open.
    groups : (G, F, 64) float32, see `pixel_groups`; covers the rectangle and perhaps more.
    groups_across : groups in a row.
    """

    top: int
    left: int
    bottom: int
    right: int
    groups: NDArray[np.float32]
    groups_across: int


@dataclass(frozen=True)
class FeaturePlan:
    """A selection worked out for images of so many channels: kernels and columns.

    Parameters
    ----------
    n_channels, n_features : of the image and of the result.
    smoothing : for each scale in use, the half kernel by which the image is smoothed first.
    taps : (S, 6, 3) float32, the filters' half kernels.
    columns : (6, S, C) int64, each filter's first column, -1 where it is not selected.
    """

    n_channels: int
    n_features: int
    smoothing: tuple[NDArray[np.float32], ...]
    taps: NDArray[np.float32]
    columns: NDArray[np.int64]

    @classmethod
    def of(cls, selection: FeatureSelection, n_channels: int) -> FeaturePlan:
        """Work out a selection."""
        scales = sorted({scale for _, scale in selection.pairs})
        columns = np.full((len(FEATURE_IDS), len(scales), n_channels), -1, dtype=np.int64)
        column = 0
        for feature_id, scale in selection.pairs:
            for channel in range(n_channels):
                columns[FEATURE_IDS.index(feature_id), scales.index(scale), channel] = column
                column += n_values(feature_id)
        smoothing = (math.sqrt(s * s - 1) if s > 1 else s for s in scales)
        return cls(
            n_channels,
            column,
            tuple(half_kernel(0, sigma_px, PRESMOOTHING_WINDOW) for sigma_px in smoothing),
            np.stack([_taps(min(scale, 1.0)) for scale in scales]),
            columns,
        )

    @property
    def halo_px(self) -> int:
        """Pixels around a block that its features depend on."""
        return MARGIN_PX + max(len(half) for half in self.smoothing) - 1

    def read_block(self, read: ReadRegion, shape: tuple[int, int], block: Block) -> Pixels:
        """The pixels that a block's features depend on, for `tiles`.

        Parameters
        ----------
        read : gives the image's pixels.
        shape : height and width of the whole image.
        block : inside it.

        Returns
        -------
        (C, h, w), as they come
            The block filled up to whole groups, and `halo_px` around it.

        Raises
        ------
        ValueError
            If `read` gives other pixels than were asked for.
        """
        planes = mirrored_planes(read, shape, self._filled(block), self.halo_px)
        if len(planes) != self.n_channels:
            raise ValueError(f"expected {self.n_channels} channels, got {len(planes)}")
        return planes

    def tiles(self, planes: Pixels, shape: tuple[int, int], block: Block) -> Iterator[FeatureTile]:
        """Features of a block, tile by tile.

        Parameters
        ----------
        planes : of `read_block`.
        shape : height and width of the whole image.
        block : inside it.
        """
        smoothed = self._smoothed(planes)
        work = work_planes()
        room = np.empty(
            (TILE_ROWS * TILE_COLUMNS // GROUP_PX, self.n_features, GROUP_PX), dtype=np.float32
        )
        for top in range(block.top, block.bottom, TILE_ROWS):
            for left in range(block.left, block.right, TILE_COLUMNS):
                tile = Block(
                    top,
                    left,
                    min(block.bottom, top + TILE_ROWS),
                    min(block.right, left + TILE_COLUMNS),
                )
                height, width = self._filled(tile).shape
                groups = room[: height * width // GROUP_PX]
                filter_tile(
                    smoothed,
                    top - block.top,
                    left - block.left,
                    self.taps,
                    self.columns,
                    mirrored_indices(top - 2, height + 4, shape[0])[1],
                    mirrored_indices(left - 2, width + 4, shape[1])[1],
                    work,
                    groups,
                )
                yield FeatureTile(
                    tile.top, tile.left, tile.bottom, tile.right, groups, width // GROUP_COLUMNS
                )

    def _smoothed(self, planes: Pixels) -> NDArray[np.float32]:
        """A block and `MARGIN_PX` around it, at each scale."""
        reach = self.halo_px - MARGIN_PX
        height, width = planes.shape[1] - 2 * reach, planes.shape[2] - 2 * reach
        out = np.empty((self.n_channels, len(self.smoothing), height, width), dtype=np.float32)
        between = np.empty((height + 2 * reach, width), dtype=np.float32)
        for channel, pixels in enumerate(planes):
            plane = pixels.astype(np.float32, order="C")
            for scale, half in enumerate(self.smoothing):
                spare = reach - (len(half) - 1)
                inner = plane[spare : plane.shape[0] - spare, spare : plane.shape[1] - spare]
                smooth_plane(inner, half, between, out[channel, scale])
        return out

    def _filled(self, block: Block) -> Block:
        """The block with whole groups, perhaps beyond the image."""
        height, width = block.shape
        return Block(
            block.top,
            block.left,
            block.top - (-height // GROUP_ROWS) * GROUP_ROWS,
            block.left - (-width // GROUP_COLUMNS) * GROUP_COLUMNS,
        )


def _taps(scale: float) -> NDArray[np.float32]:
    """(6, 3) float32, in the order of `tile_filters`; zeros where a filter does not exist."""
    taps = np.zeros((N_KERNELS, 3), dtype=np.float32)
    for row, (order, sigma_px) in enumerate(
        (
            (0, scale),
            (1, scale),
            (2, scale),
            (0, NARROWER * scale),
            (0, INNER * scale),
            (1, INNER * scale),
        )
    ):
        if order and FILTER_WINDOW * sigma_px < 0.5:
            continue
        half = half_kernel(order, sigma_px, FILTER_WINDOW)
        taps[row, : len(half)] = half
    return taps
