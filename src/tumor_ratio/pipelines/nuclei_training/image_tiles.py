"""Training tiles cut from real labelled images: at other scales, and in other stains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import relabel_sequential

from tumor_ratio.models.stardist_training import LabelledTiles
from tumor_ratio.pipelines.nuclei_training.labelled_folder import LabelledImage
from tumor_ratio.pipelines.nuclei_training.recolouring import (
    JPEG_QUALITY,
    StainLook,
    as_jpeg,
    draw_look,
    recoloured,
)

SCALE = (0.5, 1.6)
"""Images are shrunk or enlarged by so much: their pixel size is rarely known, nuclei vary."""
NUCLEUS_PX = (9.0, 26.0)
"""A recoloured tile's images are scaled until their median nucleus is so wide: 5 to 13 um."""
RECOLOURED_SHARE = 0.65


def cut_tiles(
    images: Sequence[LabelledImage],
    count: int,
    *,
    tile_px: int,
    seed: int,
    scale: tuple[float, float] = SCALE,
    recoloured_share: float = RECOLOURED_SHARE,
) -> LabelledTiles:
    """Cut tiles from the images in turn, most of them recoloured.

    Parameters
    ----------
    images : at least one.
    count : tiles.
    tile_px : their side. Where an image is smaller at its scale, others fill the tile.
    seed : chooses places, scales, stains.
    scale : range of the factor on an image's side, where it keeps its colours.
    recoloured_share : of the tiles.
    """
    rng = np.random.default_rng([seed, len(images), tile_px])
    tiles = []
    for index in range(count):
        first = index % len(images)
        if rng.random() < recoloured_share:
            tiles.append(_recoloured_tile(images, first, tile_px, rng))
        else:
            factor = _log_uniform(scale, rng)
            tiles.append(_mosaic(images, first, tile_px, _always(factor), None, rng))
    return LabelledTiles([rgb for rgb, _ in tiles], [labels for _, labels in tiles])


def _recoloured_tile(
    images: Sequence[LabelledImage], first: int, tile_px: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A tile of one look, its nuclei about as wide as a drawn diameter."""
    width_px = _log_uniform(NUCLEUS_PX, rng)
    rgb, labels = _mosaic(
        images, first, tile_px, lambda i: width_px / _median_width_px(i), draw_look(rng), rng
    )
    return as_jpeg(rgb, int(rng.integers(*JPEG_QUALITY))), labels


def _mosaic(
    images: Sequence[LabelledImage],
    first: int,
    tile_px: int,
    factor_of: Callable[[LabelledImage], float],
    look: StainLook | None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    rgb = np.full((tile_px, tile_px, 3), 255, np.uint8)
    labels = np.zeros((tile_px, tile_px), np.int32)
    top, chosen, highest = 0, first, 0
    while top < tile_px:
        left, row_height = 0, 0
        while left < tile_px:
            image = images[chosen]
            room = (tile_px - top, tile_px - left)
            piece, found = _piece(image, factor_of(image), room, rng)
            if look is not None:
                piece = recoloured(piece, found, look, rng)
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
    return rgb[where], labels[where]


def _median_width_px(image: LabelledImage) -> float:
    """Diameter of a disc as large as the image's median nucleus; of one without nuclei, 30."""
    areas = np.bincount(image.labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(np.median(areas) * 4 / np.pi)) if areas.size else 30.0


def _always(factor: float) -> Callable[[LabelledImage], float]:
    return lambda _: factor


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))
