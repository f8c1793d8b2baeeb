"""One slide from its file to its summary, in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.appearance import slide_appearance
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.domain import (
    DomainWarning,
    TrainedDomain,
    judge_declared,
    judge_domain,
    judge_pixel_size,
)
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.predict_slide import check_resolution, predict_regions
from tumor_ratio.inference.region_grid import RegionGrid
from tumor_ratio.inference.region_model import RegionModel
from tumor_ratio.inference.summary import FociOptions, SlideSummary, summarise_slide
from tumor_ratio.inference.survey import survey_slide
from tumor_ratio.metrics.tumor_share import Labellings


def predict_whole_slide(
    slide: Slide,
    model: RegionModel,
    calibration: NewSlideCalibration | None,
    declared: Mapping[str, str],
    *,
    step_px: int | None = None,
    min_tissue: float = 0.25,
    options: FociOptions | None = None,
    labellings: Labellings | None = None,
    tell: Callable[[int], None] | None = None,
) -> SlideSummary:
    """Predict a slide and sum it up.

    Parameters
    ----------
    slide : the H&E slide.
    model, calibration : what answers; `NewSlideCalibration.read` of the same folder.
    declared : species, organ and stain protocol of the slide; empty or absent where unknown.
    step_px, min_tissue : see `RegionGrid`; by default regions do not overlap.
    options, labellings : see `summarise_slide`.
    tell : see `predict_regions`.

    Raises
    ------
    SlideError
        If the slide is scanned too coarsely for the model, shows no tissue, or most of it cannot be
        read.
    """
    grid = RegionGrid(model.size_px, model.mpp, step_px or model.size_px, min_tissue)
    check_resolution(slide, grid.mpp)
    survey = survey_slide(slide, grid.cell_um)
    regions = predict_regions(slide, model, survey, grid, tell=tell)
    trained = calibration.domain if calibration else TrainedDomain(model.card.get("domain", {}))
    return summarise_slide(
        *(slide, survey, regions, grid, model.card, calibration),
        warnings_of(slide, declared, trained),
        options or FociOptions(),
        labellings,
    )


def warnings_of(
    slide: Slide, declared: Mapping[str, str], trained: TrainedDomain
) -> list[DomainWarning]:
    """What speaks against using a model on a slide; see `judge_domain`.

    Damage where the slide's look is judged is one more such reason: it costs no slide.
    """
    try:
        return judge_domain(slide_appearance(slide), declared, trained)
    except SlideError as error:
        return [
            *judge_declared(declared, trained.declared),
            *judge_pixel_size(slide.mpp, [each.mpp for each in trained.appearances]),
            DomainWarning("appearance", f"how it looks cannot be judged: {error.message}"),
        ]
