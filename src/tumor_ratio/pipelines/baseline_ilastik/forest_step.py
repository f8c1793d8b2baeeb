"""Growing or taking over the pixel forest of one stain, as one step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.ilastik.label_colours import default_colour
from tumor_ratio.ilastik.project import IlastikProject, Label
from tumor_ratio.ilastik.project_reading import read_project
from tumor_ratio.ilastik.project_writing import LabelledTile, write_project
from tumor_ratio.ilastik.retraining import N_TREES as PROJECT_TREES
from tumor_ratio.ilastik.retraining import retrained
from tumor_ratio.ilastik.stored_forest import read_stored_forest, stores_forest
from tumor_ratio.imaging.feature_selection import FeatureSelection
from tumor_ratio.imaging.pixel_features import FeaturePlan
from tumor_ratio.imaging.regions import Region
from tumor_ratio.labelling.declaration_checks import Section
from tumor_ratio.models.forest_file import write_forest
from tumor_ratio.models.forest_fit import N_TREES
from tumor_ratio.models.forest_growth import grow_classifier
from tumor_ratio.models.pixel_classifier import PixelClassifier
from tumor_ratio.phantom.strokes import BACKGROUND, CLASSES
from tumor_ratio.pipelines.baseline_ilastik.params import PixelForestParams, SectionParams
from tumor_ratio.steps import step

FOREST, PROJECT = "forest.safetensors", "labels.ilp"
NO_LABELS = (
    "no labels: the slides are no phantoms, and no ilastik project is named (ilastik.{}.project)"
)
COLOURS = {
    BACKGROUND: (130, 130, 130),
    "other nucleus": (60, 110, 220),
    "tumor nucleus": (220, 60, 160),
    "negative nucleus": (60, 110, 220),
    "positive nucleus": (170, 90, 30),
}

Tile = tuple[str, NDArray[Any], NDArray[np.uint8]]
"""Name, (H, W, C) image, (H, W) labels."""


@step(version=1)
def train_section_forest(
    section: Section,
    pairs: tuple[SlidePair, ...],
    strokes: pd.DataFrame,
    options: SectionParams,
    growth: PixelForestParams,
    project: Path | None,
    allowed_folders: tuple[str, ...],
    mpp: float,
    *,
    folder: Path,
    on_epoch: Any = None,
) -> dict[str, Any]:
    """Make the forest of one stain, and write it with what it was made of.

    Parameters
    ----------
    section : which stain.
    pairs : slides of the strokes.
    strokes : `tumor_ratio.schemas.Strokes` of this stain; no rows where a project is given.
    options : what the labels mean.
    growth : how the forest grows.
    project : an ilastik project, whose stored forest serves or whose labels train one.
    allowed_folders : where its images may lie beside its own folder.
    mpp : micrometres a pixel that is classified.
    folder : written: `forest.safetensors`, and `labels.ilp`: the strokes, for ilastik to open.
    on_epoch : not called: a forest has no epochs.

    Returns
    -------
    dict
        The card; only `missing`, with the reason, where there are no labels.

    Raises
    ------
    ConfigurationError
        If the labels that `options` names are not the project's.
    IlastikError
        If the project cannot be used.
    SlideError
        If a slide cannot be read.
    """
    if project is not None:
        made, labelled, origin = _of_project(project, allowed_folders, options, growth, section)
        kind = "real"
    elif strokes.empty:
        return {"missing": NO_LABELS.format(section), "training_data": "real"}
    else:
        tiles = list(_stroke_tiles(section, pairs, strokes))
        selection = FeatureSelection.default()
        made = grow_classifier(
            [(rgb, drawn) for _, rgb, drawn in tiles],
            CLASSES[section],
            selection,
            seed=growth.seed,
            n_trees=growth.trees or N_TREES,
        )
        labelled = _counts((drawn for _, _, drawn in tiles), CLASSES[section])
        _write_labels(folder / PROJECT, tiles, section, selection)
        origin, kind = f"strokes on {len(tiles)} tiles of training phantoms", "phantom"
    write_forest(made, folder / FOREST)
    n_features = made.forest.n_features
    return {
        "approach": "ilastik",
        "section": section,
        "architecture": f"{made.forest.n_trees} trees on {n_features} pixel features",
        "label_names": list(made.class_names),
        "counted": list(options.counted),
        "others": list(options.others),
        "labelled_pixels": labelled,
        "labels_from": origin,
        "mpp": mpp,
        "halo_px": FeaturePlan.of(made.selection, made.n_channels).halo_px,
        "feature_importance": made.importance_by_name() if made.importances.size else {},
        "project": None if project is None else str(project.name),
        "training_data": kind,
    }


def _of_project(
    path: Path,
    allowed_folders: Sequence[str],
    options: SectionParams,
    growth: PixelForestParams,
    section: Section,
) -> tuple[PixelClassifier, dict[str, int], str]:
    project = read_project(path, allowed_folders=[Path(name) for name in allowed_folders])
    _check_names(project, options, section)
    if stores_forest(project) and not options.retrain:
        return read_stored_forest(project), {}, f"the forest that ilastik stored in {path.name}"
    n_trees = growth.trees or PROJECT_TREES
    labels = (lane.read_labels() for lane in project.labelled_lanes())
    return (
        retrained(project, seed=growth.seed, n_trees=n_trees),
        _counts(labels, project.label_names),
        f"the labels of {path.name}",
    )


def _check_names(project: IlastikProject, options: SectionParams, section: Section) -> None:
    unknown = set(options.counted + options.others) - set(project.label_names)
    if unknown:
        raise ConfigurationError(
            f"{project.path.name} has no label named {', '.join(sorted(unknown))}: its labels are "
            f"{', '.join(project.label_names)}",
            f"say in ilastik.{section}.counted and .others what its labels mean",
        )


def _stroke_tiles(
    section: Section, pairs: Sequence[SlidePair], strokes: pd.DataFrame
) -> Iterator[Tile]:
    """The tiles that strokes lie on, with the strokes as label images."""
    by_id = {pair.slide_id: pair for pair in pairs}
    for _, own in strokes.groupby(["slide_id", "x_px", "y_px", "size_px", "mpp"], sort=False):
        first = own.iloc[0]
        region = Region(
            str(first["slide_id"]),
            "",
            "tile",
            int(first["x_px"]),
            int(first["y_px"]),
            int(first["size_px"]),
            float(first["mpp"]),
        )
        pair = by_id[region.slide_id]
        rgb = pair.read_he(region) if section == "he" else pair.read_ihc(region)
        labels = np.zeros(rgb.shape[:2], dtype=np.uint8)
        labels[own["row"], own["column"]] = own["label"]
        yield region.region_id, rgb, labels


def _counts(labels: Iterable[NDArray[np.uint8]], names: Sequence[str]) -> dict[str, int]:
    """Labelled pixels of each class."""
    counts = sum(np.bincount(each.ravel(), minlength=len(names) + 1)[1:] for each in labels)
    return dict(zip(names, np.asarray(counts).tolist(), strict=True))


def _write_labels(
    path: Path, tiles: Sequence[Tile], section: Section, selection: FeatureSelection
) -> None:
    labels = [
        Label(name, COLOURS.get(name, default_colour(index)))
        for index, name in enumerate(CLASSES[section])
    ]
    embedded = [LabelledTile(name, labels=drawn, pixels=rgb) for name, rgb, drawn in tiles]
    write_project(path, embedded, labels, selection)
