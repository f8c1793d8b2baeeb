"""A classifier trained anew from a project's own labels, where it stores none to be read."""

from __future__ import annotations

from collections.abc import Iterator

from tumor_ratio.ilastik.errors import Where
from tumor_ratio.ilastik.project import IlastikProject
from tumor_ratio.models.forest_growth import LabelledImage, grow_classifier
from tumor_ratio.models.pixel_classifier import PixelClassifier

N_TREES = 400
"""ilastik grows 100; forests of so few, from a few hundred labelled pixels, differ by chance in up
to 2.3 % of the pixels, of 400 trees in up to 1.1 % (two projects, eight seeds each)."""


def retrained(project: IlastikProject, *, seed: int, n_trees: int = N_TREES) -> PixelClassifier:
    """Train on all labelled pixels of a project, with its own features.

    Parameters
    ----------
    project : with images that can be read.
    seed : the same gives the same forest.
    n_trees : classifying takes time in proportion to it.

    Raises
    ------
    IlastikError
        If nothing is labelled, only one label is used, no features are chosen, an image cannot be
        read, or the images have different channels.
    """
    selection = project.chosen_features()
    names = project.label_names
    try:
        return grow_classifier(_labelled(project), names, selection, seed=seed, n_trees=n_trees)
    except ValueError as error:
        raise Where(project.path, "/PixelClassification/LabelSets").error(
            str(error), "label at least two classes, on images of the same channels"
        ) from error


def _labelled(project: IlastikProject) -> Iterator[LabelledImage]:
    for lane in project.labelled_lanes():
        yield lane.read_image(), lane.read_labels()
