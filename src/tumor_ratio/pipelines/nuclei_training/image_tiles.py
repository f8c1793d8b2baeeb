"""Training tiles cut from real labelled images: at other scales, and in other stains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import relabel_sequential

from tumor_ratio.models.stardist_training import LabelledTiles
from tumor_ratio.pipelines.nuclei_training.labelled_folder import LabelledImage
from tumor_ratio.pipelines.nuclei_training.recolouring import recoloured

SCALE = (0.5, 1.6)
"""Images are shrunk or enlarged by so much: their pixel size is rarely known, nuclei vary."""
RECOLOURED_SHARE = 0.6


def cut_tiles(
    images: Sequence[LabelledImage],
    count: int,
    *,
    tile_px: int,
    seed: int,
    scale: tuple[float, float] = SCALE,
) -> LabelledTiles:
    """Cut tiles from the images in turn, most of them recoloured.

    Parameters
    ----------
    images : at least one.
    count : tiles.
    tile_px : their side. Where an image is smaller at its scale, others fill the tile.
    seed : chooses places, scales, stains.
    scale : range of the factor on an image's side.
    """
    rng = np.random.default_rng([seed, len(images), tile_px])
    tiles = [_tile(images, index % len(images), tile_px, scale, rng) for index in range(count)]
    return LabelledTiles([rgb for rgb, _ in tiles], [labels for _, labels in tiles])


def _tile(
    images: Sequence[LabelledImage],
    first: int,
    tile_px: int,
    scale: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    rgb = np.full((tile_px, tile_px, 3), 255, np.uint8)
    labels = np.zeros((tile_px, tile_px), np.int32)
    factor = float(np.exp(rng.uniform(*np.log(scale))))
    top, chosen, highest = 0, first, 0
    while top < tile_px:
        left, row_height = 0, 0
        while left < tile_px:
            piece, found = _piece(images[chosen], factor, (tile_px - top, tile_px - left), rng)
            height, width = found.shape
            row_height = min(row_height or height, height)
            where = np.s_[top : top + height, left : left + width]
            rgb[where] = piece
            labels[where] = np.where(found > 0, found + highest, 0)
            highest = int(labels.max())
            left += width
            chosen = int(rng.integers(len(images)))
        top += row_height
    renumbered, _, _ = relabel_sequential(labels)
    return rgb, np.asarray(renumbered, dtype=np.int32)


def _piece(
    image: LabelledImage, factor: float, room: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A part of the image at another scale, as large as it and the room allow."""
    height, width = (max(1, round(side * factor)) for side in image.labels.shape)
    rgb = np.asarray(Image.fromarray(image.rgb).resize((width, height), Image.Resampling.BICUBIC))
    numbers = Image.fromarray(image.labels).resize((width, height), Image.Resampling.NEAREST)
    labels = np.asarray(numbers).astype(np.int32)
    size = (min(height, room[0]), min(width, room[1]))
    top, left = (
        int(rng.integers(whole - part + 1))
        for whole, part in zip((height, width), size, strict=True)
    )
    where = np.s_[top : top + size[0], left : left + size[1]]
    rgb, labels = rgb[where], labels[where]
    if rng.random() < RECOLOURED_SHARE:
        rgb = recoloured(rgb, labels, rng)
    return rgb, labels
