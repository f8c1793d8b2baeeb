"""Classifies the pixels of one slide, and adds them up by region and class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import Region
from tumor_ratio.labelling.declaration_checks import Section
from tumor_ratio.models.segmentation_blocks import blocks_over

Classify = Callable[[RgbImage], NDArray[np.float32]]
"""`classify(rgb (H, W, 3) uint8) -> (H, W, K) float32` probabilities."""
BLOCK_PX = 1024


def region_class_areas(
    pair: SlidePair,
    regions: pd.DataFrame,
    section: Section,
    classify: Classify,
    class_names: tuple[str, ...],
    *,
    mpp: float,
    halo_px: int,
    block_px: int = BLOCK_PX,
    on_progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Area of each class in each region: the pixels whose most probable class it is.

    Parameters
    ----------
    pair : the slide pair; the Ki-67 section is read in the pair's frame.
    regions : `tumor_ratio.schemas.Regions` of that pair; they may overlap.
    section : which slide.
    classify : gives each pixel's probabilities.
    class_names : of the classes, in the order of the probabilities.
    mpp : micrometres a pixel of what is classified.
    halo_px : so much more is read around a block, that it comes out as in the whole slide.
    block_px : side of a block with its halo; bounds the memory.
    on_progress : called after each block with how many are done, and how many there are.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.ClassAreas`, a row a region and class.

    Raises
    ------
    SlideError
        If the slide is missing or cannot be read.
    """
    scale = mpp / pair.frame.mpp
    corner = regions[["x_px", "y_px"]].to_numpy(dtype=np.float64) / scale
    side = (regions["size_px"] * regions["mpp"]).to_numpy(dtype=np.float64) / mpp
    low, high = _edges(corner, side)
    read = pair.read_he_at if section == "he" else pair.read_ihc_at
    counts = np.zeros((len(regions), len(class_names)), dtype=np.int64)
    boxes = np.concatenate([low, high], axis=1).astype(np.float64)
    blocks = blocks_over(boxes, block_px=max(block_px, 3 * halo_px), margin_px=halo_px, stride_px=1)
    for done, block in enumerate(blocks, start=1):
        x, y, width, height = block.read_box
        shares = classify(read(x * scale, y * scale, (width, height), mpp))
        best = shares[halo_px : height - halo_px, halo_px : width - halo_px].argmax(axis=2)
        _add(counts, best, low - (block.left, block.top), high - (block.left, block.top))
        if on_progress is not None:
            on_progress(done, len(blocks))
    return pd.DataFrame(
        {
            "region_id": np.repeat(regions["region_id"].to_numpy(), len(class_names)),
            "class_name": np.tile(np.array(class_names, dtype=object), len(regions)),
            "area_um2": counts.ravel() * mpp**2,
        }
    )


def region_classes(
    pair: SlidePair,
    region: Region,
    section: Section,
    classify: Classify,
    *,
    mpp: float,
    halo_px: int,
) -> tuple[RgbImage, NDArray[np.float32]]:
    """One region as it is classified: its pixels, and their probabilities.

    Parameters
    ----------
    pair, section, classify, mpp, halo_px : as in `region_class_areas`.
    region : of the pair.

    Returns
    -------
    rgb : (h, w, 3) uint8 at `mpp`.
    shares : (h, w, K) float32.
    """
    scale = mpp / pair.frame.mpp
    low, high = _edges(
        np.array([[region.x_px, region.y_px]]) / scale, np.array([region.side_um / mpp])
    )
    (left, top), (width, height) = low[0], high[0] - low[0]
    read = pair.read_he_at if section == "he" else pair.read_ihc_at
    around = read(
        (left - halo_px) * scale,
        (top - halo_px) * scale,
        (int(width) + 2 * halo_px, int(height) + 2 * halo_px),
        mpp,
    )
    inner = np.s_[halo_px : halo_px + height, halo_px : halo_px + width]
    return around[inner], classify(around)[inner]


def _edges(
    corner: NDArray[np.float64], side: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N, 2) first and end pixels on the slide's lattice; regions that touch share none."""
    low = np.rint(corner).astype(np.int64)
    return low, np.rint(corner + side[:, None]).astype(np.int64)


def _add(
    counts: NDArray[np.int64],
    best: NDArray[np.intp],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> None:
    """Count a block's classes in the regions that reach into it."""
    height, width = best.shape
    n_classes = counts.shape[1]
    limit = np.array([width, height])
    first, last = np.clip(low, 0, limit), np.clip(high, 0, limit)
    for index in np.flatnonzero((last > first).all(axis=1)):
        (left, top), (right, bottom) = first[index], last[index]
        part = best[top:bottom, left:right]
        counts[index] += np.bincount(part.ravel(), minlength=n_classes)
