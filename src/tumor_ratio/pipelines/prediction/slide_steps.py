"""The two steps of one slide: its regions, and what is said of it as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tumor_ratio.atomic import file_stem
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.domain import FIELDS, TrainedDomain
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.region_grid import RegionGrid
from tumor_ratio.inference.summary import FociOptions, summarise_slide
from tumor_ratio.inference.survey import survey_slide
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.tumor_share import Labellings
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.prediction_options import Flips
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.partition_folder import PartitionRef
    from tumor_ratio.datasets.trained_model import ModelRef
    from tumor_ratio.inference.slide_files import FileOptions


@dataclass(frozen=True)
class PredictionOptions:
    """How regions are laid and predicted.

    Parameters
    ----------
    step_px, min_tissue : see `RegionGrid`; a step of None is the region's side.
    compute, flips : see `load_slide_model`.
    """

    step_px: int | None
    min_tissue: float
    compute: ComputeOptions
    flips: Flips = "none"


@step(name="predict_new_slide", version=4, uses=[segment_slide])
def predict_new_slide(pair: SlidePair, model: ModelRef, options: PredictionOptions) -> pd.DataFrame:
    """Ratios of all regions of a slide that show tissue; see `predict_regions`.

    Parameters
    ----------
    pair : the slide; only its H&E is read.
    model : the trained model; its card says size and resolution of the regions.
    options : how regions are laid and predicted.

    Raises
    ------
    SlideError
        If the slide is scanned too coarsely for the model, shows no tissue, or most of it cannot be
        read.
    """
    from tumor_ratio.inference.predict_slide import check_resolution, predict_regions
    from tumor_ratio.inference.slide_model import load_slide_model

    slide, grid = he_slide(pair), region_grid(model, options)
    check_resolution(slide, grid.mpp)
    survey = survey_slide(slide, grid.cell_um)
    loaded = load_slide_model(model.folder, options.compute, flips=options.flips)
    return predict_regions(slide, loaded, survey, grid)


@step(name="summarise_new_slide", version=5)
def summarise_new_slide(
    pair: SlidePair,
    regions: PartitionRef,
    model: ModelRef,
    calibration: dict[str, Any] | None,
    options: PredictionOptions,
    declared: dict[str, str],
    foci: FociOptions,
    labellings: Labellings | None,
    files: FileOptions,
    folder: str,
) -> dict[str, Any]:
    """What is said of a slide, and its files to look at; see `summarise_slide`.

    Parameters
    ----------
    pair : the slide.
    regions : from `predict_new_slide`.
    model, options : as there.
    calibration : the model's, as a record; None where it has none.
    declared : species, organ and stain of the slide.
    foci, labellings : see `summarise_slide`.
    files : what is written.
    folder : where the slides' folders are; text, since it is written and not read.

    Returns
    -------
    dict
        The summary's record, with what the manifest knows of the slide as `meta`, and its files as
        `products`, see `write_slide_files`.
    """
    from tumor_ratio.inference.slide_files import write_slide_files
    from tumor_ratio.inference.whole_slide import warnings_of

    slide, grid = he_slide(pair), region_grid(model, options)
    known = None if calibration is None else NewSlideCalibration.from_record(calibration)
    trained = TrainedDomain(model.card.get("domain", {})) if known is None else known.domain
    survey = survey_slide(slide, grid.cell_um)
    summary = summarise_slide(
        *(slide, survey, regions.load(), grid, model.card, known),
        warnings_of(slide, declared, trained),
        foci,
        labellings,
    )
    own = Path(folder).absolute() / file_stem(slide.slide_id)
    products = write_slide_files(slide, survey, summary, own, files)
    return {
        **summary.record,
        "meta": dict(pair.meta),
        "products": [str(path) for path in products],
    }


def he_slide(pair: SlidePair) -> Slide:
    """The pair's H&E slide.

    Raises
    ------
    SlideError
        If it has none.
    """
    if pair.he is None:
        raise SlideError(pair.slide_id, "has no H&E slide to predict from", "give he_path")
    return pair.he


def region_grid(model: ModelRef, options: PredictionOptions) -> RegionGrid:
    """The grid of a model's regions."""
    size_px = int(model.card["patch_px"])
    return RegionGrid(
        size_px, float(model.card["mpp"]), options.step_px or size_px, options.min_tissue
    )


def declared_of(pair: SlidePair, default: Any) -> dict[str, str]:
    """Species, organ and stain of a slide: its row's, else those given for all; may be empty."""
    return {name: str(pair.meta.get(name) or getattr(default, name)) for name in FIELDS}


def calibration_record(model: ModelRef) -> dict[str, Any] | None:
    """The calibration in a model's folder, as a record.

    Raises
    ------
    ConfigurationError
        If it is there and cannot be used.
    """
    found = NewSlideCalibration.read(model.folder)
    return None if found is None else found.to_record()
