"""Classifying the pixels of one slide, as one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.labelling.declaration_checks import Section
from tumor_ratio.labelling.pixel_classes import region_class_areas
from tumor_ratio.pipelines.baseline_ilastik.engine import IlastikEngine, classifier_of
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef


@step(name="classify_pixels", version=1)
def classify_slide(
    pair: SlidePair,
    regions: pd.DataFrame,
    section: Section,
    model: ModelRef,
    engine: IlastikEngine | None,
) -> pd.DataFrame:
    """Areas of the classes in each region of one section.

    Parameters
    ----------
    pair : the slide pair.
    regions : `tumor_ratio.schemas.Regions` of it.
    section : which slide.
    model : the stain's forest.
    engine : ilastik itself, instead of the forest.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.ClassAreas`.

    Raises
    ------
    SlideError
        If the slide cannot be read.
    IlastikError
        If ilastik fails.
    """
    return region_class_areas(
        pair,
        regions,
        section,
        classifier_of(model, engine),
        tuple(model.card["label_names"]),
        mpp=float(model.card["mpp"]),
        halo_px=int(model.card["halo_px"]),
    )
