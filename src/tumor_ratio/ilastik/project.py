"""A project of ilastik's pixel classification (0.5 to 1.4): images, labels, chosen features.

Nothing of it is executed: entries that are pickles (`ClassifierFactory`, `pickled_type`,
`Bookmarks`) are not read. The forest that ilastik trained is read by `stored_forest`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tumor_ratio.ilastik.axes import as_yxc, flat_size
from tumor_ratio.ilastik.errors import IlastikError, Where
from tumor_ratio.ilastik.image_files import MAX_IMAGE_PX, read_image
from tumor_ratio.ilastik.image_paths import ImagePlace
from tumor_ratio.ilastik.label_blocks import LabelBlock, check_blocks, label_image
from tumor_ratio.imaging.feature_selection import FeatureSelection


@dataclass(frozen=True)
class Label:
    """A class that pixels are told apart by.

    Parameters
    ----------
    name : as the user called it.
    colour : red, green and blue in 0 to 255.
    """

    name: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Lane:
    """One image of a project, with its labels.

    Parameters
    ----------
    nickname : the image's name in ilastik.
    where : its place in the project.
    axes : order of the image's axes as stored; empty where the project does not tell.
    shape : the image's sides in that order; None where the project does not tell.
    image : where the pixels are; the error to raise where they are not to be had.
    blocks : labels.
    """

    nickname: str
    where: Where
    axes: str
    shape: tuple[int, ...] | None
    image: ImagePlace | IlastikError
    blocks: tuple[LabelBlock, ...] = field(repr=False)

    @property
    def is_labelled(self) -> bool:
        """Whether any pixel has a label."""
        return any(block.values.any() for block in self.blocks)

    @property
    def size_px(self) -> int | None:
        """How many pixels the image has; None where the project does not tell."""
        if self.shape is None:
            return None
        height, width, _ = flat_size(self.shape, self.axes, self.where)
        return height * width

    def read_image(self) -> np.ndarray:
        """The image, (H, W, C) in the type it is stored in.

        Raises
        ------
        IlastikError
            If it is not there, may not be read, or is not what the project says.
        """
        if isinstance(self.image, IlastikError):
            raise self.image
        array, axes = read_image(self.image, self.axes, self.shape)
        return as_yxc(array, axes, self.where)

    def read_labels(self) -> np.ndarray:
        """The labels, (H, W) uint8 of the image's size: 0 unlabelled, k the k-th label.

        The image is read for its size where the project does not tell it.

        Raises
        ------
        IlastikError
            As `read_image`; if labels lie outside the image.
        """
        if self.shape is None:
            height, width, _ = self.read_image().shape
        else:
            height, width, _ = flat_size(self.shape, self.axes, self.where)
        return label_image(self.blocks, height, width)

    def check(self) -> None:
        """Raise `IlastikError` where the project's own words about the image do not fit."""
        if self.shape is None:
            return
        height, width, _ = flat_size(self.shape, self.axes, self.where)
        if height * width > MAX_IMAGE_PX:
            raise self.where.error(
                f"claims an image of {height} x {width} px, more than {MAX_IMAGE_PX}",
                "use tiles, not whole slides",
            )
        check_blocks(self.blocks, height, width)


@dataclass(frozen=True)
class IlastikProject:
    """What a project file says.

    Parameters
    ----------
    path : the file.
    version : of the ilastik that saved it, such as `1.4.0`.
    labels : in the order of their values, from 1.
    selection : the features; None where none were chosen yet.
    lanes : images, in ilastik's order.
    """

    path: Path
    version: str
    labels: tuple[Label, ...]
    selection: FeatureSelection | None
    lanes: tuple[Lane, ...]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in the order of their values."""
        return tuple(label.name for label in self.labels)

    def chosen_features(self) -> FeatureSelection:
        """The features; raises `IlastikError` where none were chosen."""
        if self.selection is None:
            raise Where(self.path, "/FeatureSelections").error(
                "no features are chosen", "choose features in ilastik and save the project"
            )
        return self.selection

    def labelled_lanes(self) -> tuple[Lane, ...]:
        """Images with labels; raises `IlastikError` where there are no images, or no labels."""
        if not self.lanes:
            raise Where(self.path, "/Input Data").error(
                "no images", "add images in ilastik and save the project"
            )
        labelled = tuple(lane for lane in self.lanes if lane.is_labelled)
        if not labelled:
            raise Where(self.path, "/PixelClassification/LabelSets").error(
                "nothing is labelled", "label some pixels in ilastik and save the project"
            )
        return labelled
