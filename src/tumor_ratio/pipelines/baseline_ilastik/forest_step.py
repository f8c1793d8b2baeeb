"""Growing or taking over the pixel forest of one stain, as one step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.approaches.ilastik import NAME as APPROACH
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
from tumor_ratio.models.forest_file import FOREST_FILE, write_forest
from tumor_ratio.models.forest_fit import N_TREES
from tumor_ratio.models.forest_growth import grow_classifier
from tumor_ratio.models.pixel_classifier import PixelClassifier
from tumor_ratio.phantom.strokes import BACKGROUND, CLASSES
from tumor_ratio.pipelines.baseline_ilastik.engine import PROJECT
from tumor_ratio.pipelines.baseline_ilastik.params import PixelForestParams, SectionParams
from tumor_ratio.reporting.stamps import TrainingData, stamps_for
from tumor_ratio.steps import step

SYNTHETIC = "synthetic "
"""Names of phantoms' tiles begin with it: they stay phantoms' in whatever project they get into."""
RGB = 3
NO_LABELS = (
    "no labels for {}: strokes are drawn on training phantoms only, and no ilastik project is "
    "named; set ilastik.{}.project"
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


@dataclass(frozen=True)
class ProjectOfUser:
    """An ilastik project as a source of labels or of a forest.

    Parameters
    ----------
    path : the project.
    images : the files of its images, so that other pixels train anew.
    allowed_folders : where they may lie beside its own folder.
    """

    path: Path
    images: tuple[Path, ...] = ()
    allowed_folders: tuple[str, ...] = ()

    def read(self) -> IlastikProject:
        """Open it; raises `IlastikError`."""
        return read_project(
            self.path, allowed_folders=[Path(name) for name in self.allowed_folders]
        )


@step(name="train_pixel_forest", version=1)
def train_section_forest(
    section: Section,
    pairs: tuple[SlidePair, ...],
    strokes: pd.DataFrame,
    options: SectionParams,
    growth: PixelForestParams,
    project: ProjectOfUser | None,
    by_ilastik: bool,
    phantoms: bool,
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
    by_ilastik : ilastik itself classifies; of a project then only names and features are taken.
    phantoms : the cohort holds phantoms, from which the approach learns one way or the other.
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
        If the labels that `options` names are not the project's, or its images are not RGB.
    IlastikError
        If the project cannot be used.
    SlideError
        If a slide cannot be read.
    """
    made: PixelClassifier | None
    labelled: dict[str, int] = {}
    if project is not None:
        opened = project.read()
        check_project(opened, options, section)
        names, selection = opened.label_names, opened.chosen_features()
        made, labelled, origin = _of_project(opened, options, growth, by_ilastik)
        phantoms |= any(lane.nickname.startswith(SYNTHETIC) for lane in opened.lanes)
    elif strokes.empty:
        kind = "phantom" if phantoms else "real"
        return {"missing": NO_LABELS.format(section, section), "training_data": kind}
    else:
        tiles = list(_stroke_tiles(section, pairs, strokes))
        names, selection = CLASSES[section], FeatureSelection.default()
        made = grow_classifier(
            [(rgb, drawn) for _, rgb, drawn in tiles],
            names,
            selection,
            seed=growth.seed,
            n_trees=growth.trees or N_TREES,
        )
        labelled = _counts((drawn for _, _, drawn in tiles), names)
        _write_labels(folder / PROJECT, tiles, section, selection)
        origin, phantoms = f"strokes on {len(tiles)} phantom tiles", True
    if made is not None and made.n_channels != RGB:
        raise ConfigurationError(
            f"the forest for {section} takes images of {made.n_channels} channel(s), slides "
            f"have {RGB}",
            "label RGB tiles in ilastik",
        )
    training_data: TrainingData = "phantom" if phantoms else "real"
    stamps = stamps_for(training_data)
    if made is not None:
        write_forest(made, folder / FOREST_FILE, stamps)
    return {
        "approach": APPROACH,
        "section": section,
        "architecture": _architecture(made, by_ilastik),
        "label_names": list(names),
        "counted": list(options.counted),
        "others": list(options.others),
        "background": [name for name in names if name not in options.counted + options.others],
        "labelled_pixels": labelled,
        "labels_from": origin,
        "mpp": mpp,
        "halo_px": FeaturePlan.of(selection, RGB).halo_px,
        "feature_importance": made.importance_by_name() if made and made.importances.size else {},
        "project": None if project is None else project.path.name,
        "training_data": training_data,
        "stamps": list(stamps),
    }


def _architecture(made: PixelClassifier | None, by_ilastik: bool) -> str:
    if by_ilastik:
        return "ilastik itself"
    assert made is not None
    return f"{made.forest.n_trees} trees on {made.forest.n_features} pixel features"


def check_project(project: IlastikProject, options: SectionParams, section: str) -> None:
    """Raise `ConfigurationError` where a project's labels are not those that the options name."""
    names = project.label_names
    unknown = set(options.counted + options.others) - set(names)
    if unknown:
        raise ConfigurationError(
            f"{project.path.name} has no label named {', '.join(sorted(unknown))}: its labels are "
            f"{', '.join(names)}",
            f"say in ilastik.{section}.counted and .others what its labels mean",
        )
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise ConfigurationError(
            f"{project.path.name} has labels of equal names, or of none: {', '.join(names)}",
            "give each label a name of its own in ilastik",
        )


def _of_project(
    project: IlastikProject, options: SectionParams, growth: PixelForestParams, by_ilastik: bool
) -> tuple[PixelClassifier | None, dict[str, int], str]:
    """A classifier, how many pixels of each label trained it, and what it is of."""
    name = project.path.name
    if by_ilastik:
        if options.retrain:
            raise ConfigurationError(
                f"ilastik itself classifies with {name} as it is",
                "train it in ilastik, or leave ilastik.executable empty to retrain it here",
            )
        return None, {}, f"{name}, classified by ilastik itself"
    if stores_forest(project) and not options.retrain:
        return read_stored_forest(project), {}, f"the forest that ilastik stored in {name}"
    made = retrained(project, seed=growth.seed, n_trees=growth.trees or PROJECT_TREES)
    labels = (lane.read_labels() for lane in project.labelled_lanes())
    return made, _counts(labels, project.label_names), f"the labels of {name}"


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
        yield SYNTHETIC + region.region_id, rgb, labels


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
