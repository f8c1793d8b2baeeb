"""Classifying the pixels of one slide, as one step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.ilastik.headless import HeadlessIlastik
from tumor_ratio.labelling.declaration_checks import Section
from tumor_ratio.labelling.pixel_classes import Classify, region_class_areas
from tumor_ratio.models.forest_file import read_forest
from tumor_ratio.pipelines.baseline_ilastik.forest_step import FOREST, PROJECT
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef


@step(version=1)
def classify_slide(
    pair: SlidePair,
    regions: pd.DataFrame,
    section: Section,
    model: ModelRef,
    executable: str,
    project: Path | None,
    timeout_s: float,
) -> pd.DataFrame:
    """Areas of the classes in each region of one section.

    Parameters
    ----------
    pair : the slide pair.
    regions : `tumor_ratio.schemas.Regions` of it.
    section : which slide.
    model : the stain's forest.
    executable : an `ilastik` to classify with; empty: the built-in forest.
    project : what the executable opens; None: the strokes that the forest grew of.
    timeout_s : for one block by the executable.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.ClassAreas`.

    Raises
    ------
    SlideError
        If the slide cannot be read.
    ConfigurationError
        If the forest takes images of another number of channels.
    IlastikError
        If the executable fails.
    """
    stored = read_forest(model.folder / FOREST)
    if stored.n_channels != 3:
        raise ConfigurationError(
            f"the forest for {section} takes images of {stored.n_channels} channel(s), slides have "
            "3",
            "label RGB tiles in ilastik",
        )
    classify: Classify
    if executable:
        classify = HeadlessIlastik(
            Path(executable),
            project or model.folder / PROJECT,
            stored.class_names,
            timeout_s=timeout_s,
            retrain=project is None,
        )
    else:
        classify = stored
    return region_class_areas(
        pair,
        regions,
        section,
        classify,
        stored.class_names,
        mpp=float(model.card["mpp"]),
        halo_px=int(model.card["halo_px"]),
    )
