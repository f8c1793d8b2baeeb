"""What each pixel of an image is: ilastik's features and a forest, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.feature_selection import FeatureSelection
from tumor_ratio.imaging.pixel_blocks import (
    BLOCK_PX,
    Block,
    Pixels,
    ReadRegion,
    blocks_of,
    check_image,
    in_threads,
)
from tumor_ratio.imaging.pixel_features import FeaturePlan
from tumor_ratio.imaging.pixel_groups import ungroup
from tumor_ratio.models.pixel_forest import PixelForest

OnProgress = Callable[[int, int], None]
"""`on_progress(done, total)`: blocks classified so far and in all."""


@dataclass(frozen=True, eq=False)
class PixelClassifier:
    """Features and a forest that belong together: an image in, each class' probabilities out.

    Parameters
    ----------
    forest : predicts.
    selection : its features.
    n_channels : of the images it was trained on.
    class_names : one a class, in the order of its predictions.
    importances : (F,) float64, see `FittedForest`; empty where they are not known.

    Raises
    ------
    ValueError
        If the parts do not belong together.
    """

    forest: PixelForest
    selection: FeatureSelection
    n_channels: int
    class_names: tuple[str, ...]
    importances: NDArray[np.float64]

    def __post_init__(self) -> None:
        n_features = self.selection.n_features(self.n_channels)
        if (
            n_features != self.forest.n_features
            or len(self.class_names) != self.forest.n_classes
            or self.importances.shape not in ((0,), (n_features,))
        ):
            raise ValueError("forest, features, class names and importances do not fit")

    def importance_by_name(self) -> dict[str, float]:
        """Importances by the features' names, the largest first; empty where they are not known."""
        names = self.selection.names(self.n_channels)
        order = np.argsort(-self.importances, kind="stable")
        return {names[index]: float(self.importances[index]) for index in order}

    def __call__(self, image: Pixels) -> NDArray[np.float32]:
        """Probabilities of the classes in each pixel, see `classify_pixels`.

        Parameters
        ----------
        image : (H, W, C) numbers, in the values that it was trained on.

        Returns
        -------
        (H, W, K) float32

        Raises
        ------
        ValueError
            If the image has another number of channels.
        """
        if image.ndim != 3 or image.shape[2] != self.n_channels:
            raise ValueError(
                f"expected (H, W, {self.n_channels}) as in training, got {image.shape}"
            )
        return classify_pixels(as_pixels(image), self.selection, self.forest)


def as_pixels(image: NDArray[Any]) -> Pixels:
    """The image in a type that features are computed of: uint8, or else float32."""
    return image if image.dtype == np.uint8 else image.astype(np.float32)


@dataclass(frozen=True)
class ClassifiedBlock:
    """What the pixels of a block are.

    Parameters
    ----------
    block : where it lies in the image.
    shares : (h, w, K) float32, the mean of the trees' distributions; sums to 1 in each pixel.
    """

    block: Block
    shares: NDArray[np.float32]


def classify_pixels(
    image: Pixels,
    selection: FeatureSelection,
    forest: PixelForest,
    *,
    block_px: int = BLOCK_PX,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> NDArray[np.float32]:
    """Probabilities of the classes for each pixel.

    Features never exist for more than a small tile a thread; beside the result the memory in use is
    that of `threads` blocks.

    Parameters
    ----------
    image : (H, W, C) uint8 or float32.
    selection, forest : the forest was trained on these features of so many channels.
    block_px : work in blocks of so many pixels; the result does not depend on it, to the last bit.
    threads : by default `own_threads()`; the result does not depend on it.
    on_progress : called after each block.

    Returns
    -------
    (H, W, K) float32

    Raises
    ------
    ValueError
        If the image is not (H, W, C) uint8 or float32, or the forest knows other features.
    """
    check_image(image)
    height, width, n_channels = image.shape
    shares = np.empty((height, width, forest.n_classes), dtype=np.float32)
    for found in classify_region(
        lambda t, l, b, r: image[t:b, l:r],
        (height, width),
        (0, 0, height, width),
        selection,
        forest,
        n_channels=n_channels,
        block_px=block_px,
        threads=threads,
        on_progress=on_progress,
    ):
        block = found.block
        shares[block.top : block.bottom, block.left : block.right] = found.shares
    return shares


def classify_region(
    read: ReadRegion,
    shape: tuple[int, int],
    box: tuple[int, int, int, int],
    selection: FeatureSelection,
    forest: PixelForest,
    *,
    n_channels: int = 3,
    block_px: int = BLOCK_PX,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[ClassifiedBlock]:
    """Classify part of an image, however large, in blocks as they are done, row by row.

    Parameters
    ----------
    read : gives the image's pixels; called in the calling thread.
    shape : height and width of the whole image: around the box its pixels count, beyond the border
        its mirror image.
    box : top, left, bottom, right, half-open, inside the image.
    selection, forest, block_px, threads, on_progress : as in `classify_pixels`.
    n_channels : of the image.

    Yields
    ------
    ClassifiedBlock

    Raises
    ------
    ValueError
        If the forest knows other features, the box leaves the image, or `read` gives other pixels
        than were asked for.
    """
    plan = FeaturePlan.of(selection, n_channels)
    if plan.n_features != forest.n_features:
        raise ValueError(
            f"the selection has {plan.n_features} features of {n_channels} channel(s), the forest "
            f"was trained on {forest.n_features}"
        )
    top, left, bottom, right = box
    if not (0 <= top <= bottom <= shape[0] and 0 <= left <= right <= shape[1]):
        raise ValueError(f"the box {box} leaves the image of {shape[0]} x {shape[1]} px")
    blocks = blocks_of(box, block_px)

    def classify(task: tuple[Block, Pixels]) -> ClassifiedBlock:
        block, planes = task
        shares = np.empty((*block.shape, forest.n_classes), dtype=np.float32)
        for tile in plan.tiles(planes, shape, block):
            rows = slice(tile.top - block.top, tile.bottom - block.top)
            columns = slice(tile.left - block.left, tile.right - block.left)
            ungroup(forest.predict_groups(tile.groups), tile.groups_across, shares[rows, columns])
        return ClassifiedBlock(block, shares)

    tasks = ((block, plan.read_block(read, shape, block)) for block in blocks)
    for done, found in enumerate(in_threads(classify, tasks, threads), start=1):
        if on_progress is not None:
            on_progress(done, len(blocks))
        yield found
