"""Labelled tiles of development phantoms and of real images, in three disjoint parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.nucleus_density import mean_per_nucleus
from tumor_ratio.imaging.stains import H_DAB, recompose, separate
from tumor_ratio.models.stardist_training import LabelledTiles
from tumor_ratio.phantom.labelled import labelled_tile
from tumor_ratio.pipelines.nuclei_training.image_tiles import cut_tiles
from tumor_ratio.pipelines.nuclei_training.labelled_folder import LabelledImage, split_images
from tumor_ratio.pipelines.nuclei_training.recolouring import as_jpeg

STAINS = ("he", "ihc", "he", "ihc", "single_stain")
"""The kinds of tiles in turn; `single_stain` is the hematoxylin or the DAB of an IHC tile, put back
together as a picture of its own: what the study's two-channel method segments."""
LEAST_STAIN_OD = (0.12, 0.2)
"""Nuclei with less hematoxylin, less DAB, on average, are not labelled in that stain's picture."""
SEEDS_A_PART = 100_000
SEEDS_A_RUN = 10 * SEEDS_A_PART
JPEG_QUALITY = (70, 95)
SCALE = (0.8, 1.25)
"""Tiles are rendered at up to this much finer or coarser resolution, so that nuclei vary in size
beyond the phantom's."""


PHANTOM, REAL = "phantom", "real"
IMAGE_VALIDATION_SHARE = 1 / 12
"""Tiles of real images that choose epoch and thresholds, a share of those that train."""


@dataclass(frozen=True)
class TrainingTiles:
    """Tiles that train, that choose epoch and thresholds, and that only score.

    Parameters
    ----------
    train, validation : of phantoms and images together.
    tests : "phantom", and "real" where there are images: these whole, at their own scale.
    held_out : names of the real images that only score.
    """

    train: LabelledTiles
    validation: LabelledTiles
    tests: Mapping[str, LabelledTiles]
    held_out: tuple[str, ...] = ()


def with_images(
    phantoms: TrainingTiles,
    images: Sequence[LabelledImage],
    count: int,
    *,
    tile_px: int,
    seed: int,
) -> TrainingTiles:
    """Add tiles of real images, which are split by chance: no image is in two parts.

    Parameters
    ----------
    phantoms : what they are added to.
    images : see `labelled_folder`.
    count : tiles that train.
    tile_px, seed : as in `render_parts`.
    """
    split = split_images(images, seed)
    n_validation = max(1, round(IMAGE_VALIDATION_SHARE * count))
    parts = [
        cut_tiles(part, number, tile_px=tile_px, seed=2 * seed + index)
        for index, (part, number) in enumerate(
            ((split.train, count), (split.validation, n_validation))
        )
    ]
    whole = LabelledTiles([i.rgb for i in split.test], [i.labels for i in split.test])
    return TrainingTiles(
        _together(phantoms.train, parts[0]),
        _together(phantoms.validation, parts[1]),
        {**phantoms.tests, REAL: whole},
        tuple(sorted(image.name for image in split.test)),
    )


def _together(*parts: LabelledTiles) -> LabelledTiles:
    return LabelledTiles(
        [image for part in parts for image in part.images],
        [labels for part in parts for labels in part.labels],
    )


def render_parts(
    n_train: int, n_validation: int, n_test: int, *, tile_px: int, mpp: float, seed: int
) -> TrainingTiles:
    """Render the three parts; no two share a tile, whatever their sizes.

    Training and validation tiles vary in scale; test tiles have the network's own.

    Parameters
    ----------
    n_train, n_validation, n_test : tiles, the kinds of `STAINS` in turn.
    tile_px, mpp : side in pixels, micrometres per pixel.
    seed : tiles of different seeds differ.
    """
    parts = [
        _render(count, seed * SEEDS_A_RUN + part * SEEDS_A_PART, tile_px, mpp, scale)
        for part, (count, scale) in enumerate(
            ((n_train, SCALE), (n_validation, SCALE), (n_test, (1.0, 1.0)))
        )
    ]
    train, validation, test = parts
    return TrainingTiles(train, validation, {PHANTOM: test})


def _render(
    count: int, first_seed: int, tile_px: int, mpp: float, scale: tuple[float, float]
) -> LabelledTiles:
    rng = np.random.default_rng(first_seed)
    images, labels = [], []
    for index in range(count):
        kind = STAINS[index % len(STAINS)]
        rgb, nuclei = labelled_tile(
            first_seed + index,
            "he" if kind == "he" else "ihc",
            size_px=tile_px,
            mpp=mpp * float(np.exp(rng.uniform(*np.log(scale)))),
        )
        rgb = as_jpeg(rgb, int(rng.integers(*JPEG_QUALITY)))
        if kind == "single_stain":
            rgb, nuclei = _single_stain(rgb, nuclei, channel=int(rng.integers(2)))
        images.append(rgb)
        labels.append(nuclei)
    return LabelledTiles(images, labels)


def _single_stain(
    rgb: NDArray[np.uint8], nuclei: NDArray[np.int32], channel: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """One stain of an IHC tile as a picture, with the nuclei that hold it."""
    amount = separate(rgb, H_DAB)[..., channel]
    held = mean_per_nucleus(nuclei, int(nuclei.max()), amount) >= LEAST_STAIN_OD[channel]
    numbers = np.concatenate([[0], np.where(held, np.cumsum(held), 0)]).astype(np.int32)
    picture = recompose(amount, (H_DAB.first, H_DAB.second)[channel])
    return picture, numbers[nuclei]
