"""Drawing one slide, predicting it, and holding what is said against the truth, as one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.inference.domain import FIELDS, PHANTOM
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.region_grid import RegionGrid
from tumor_ratio.inference.summary import FociOptions, SlideSummary, area_field
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.aggregation import slide_ratios
from tumor_ratio.metrics.foci import find_foci, lesion_scores, rich_area, rich_area_curve
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.prediction_options import Flips
from tumor_ratio.models.segmenter import SegmenterRef
from tumor_ratio.phantom.pair import PhantomFiles, render_pair
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.region_truths import measure_slide_truths
from tumor_ratio.pipelines.prediction_validation.true_areas import (
    TrueField,
    nuclei_areas_mm2,
    true_field,
    true_tissue_ratio,
)
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef

TAUS = tuple(round(0.025 * number, 3) for number in range(1, 41))
"""Of the curves."""


@dataclass(frozen=True)
class SlideOptions:
    """How slides are predicted and scored.

    Parameters
    ----------
    step_px, min_tissue : see `predict_whole_slide`.
    foci : how rich areas are cut out, of prediction and truth.
    min_nuclei : a ratio on fewer nuclei, true or measured, is undefined.
    diameter_edges_um : see `lesion_scores`.
    compute, flips : see `load_slide_model`.
    """

    step_px: int | None
    min_tissue: float
    foci: FociOptions
    min_nuclei: int
    diameter_edges_um: tuple[float, ...]
    compute: ComputeOptions
    flips: Flips = "none"


@dataclass(frozen=True)
class LabelOptions:
    """How the IHC section's ratios are measured."""

    segmenter: SegmenterRef
    segmentation: SegmentationParams


@step(name="validate_prediction", version=3, uses=[segment_slide, measure_slide_truths])
def validate_slide(
    planned: PhantomSlide,
    model: ModelRef,
    calibration: dict[str, Any] | None,
    label: LabelOptions | None,
    options: SlideOptions,
) -> dict[str, Any]:
    """What is predicted of a slide, as the pipeline `prediction` does, beside its truth.

    Parameters
    ----------
    planned : the slide; it is drawn into a folder that is gone afterwards.
    model, calibration : what answers; the calibration as a record, None where there is none.
    label : how the IHC section is measured; None measures nothing.
    options : how slides are predicted and scored.

    Returns
    -------
    dict
        `slide`, plain values; `regions`, `curve` and `foci`, tables as lists of records. None where
        something is undefined.

    Raises
    ------
    SlideError
        As `predict_whole_slide`.
    """
    from tumor_ratio.inference.slide_model import load_slide_model
    from tumor_ratio.inference.whole_slide import predict_whole_slide

    known = None if calibration is None else NewSlideCalibration.from_record(calibration)
    loaded = load_slide_model(model.folder, options.compute, flips=options.flips)
    with TemporaryDirectory(prefix="validation_") as temporary:
        files = render_pair(planned, Path(temporary))
        pair = _pair(planned, files)
        summary = predict_whole_slide(
            pair.frame,
            loaded,
            known,
            dict.fromkeys(FIELDS, PHANTOM),
            step_px=options.step_px,
            min_tissue=options.min_tissue,
            options=options.foci,
        )
        truth = true_field(planned, files.truth_dir, summary.field, options.min_nuclei)
        truths = measure_slide_truths(files.truth_dir, planned.mpp, summary.regions, 1.0)
        nuclei_mm2 = nuclei_areas_mm2(files.truth_dir)
        measured, refused = _measured(pair, summary.regions, label, options.min_nuclei)
    grid = RegionGrid(
        loaded.size_px, loaded.mpp, options.step_px or loaded.size_px, options.min_tissue
    )
    rich = area_field(summary.field, summary.regions, pair.frame, grid, known)
    regions = _regions(summary.regions, truths, measured, options.min_nuclei)
    slide = {
        "tumor_labelling": planned.tumor_labelling,
        "burden": planned.burden,
        **{name: summary.record[name] for name in ("lower", "upper", "interval", "tau")},
        "tumor_ratio": summary.record["tumor_ratio_calibrated"],
        **_slide_references(regions),
        "label_reason": refused,
        "n_regions": summary.record["n_regions"],
        "n_left_out": summary.record["n_left_out"],
        "stained_mm2": summary.record["stained_mm2"],
        "true_stained_mm2": truth.stained_um2 / 1e6,
        "smallest_detectable_um": summary.record["smallest_detectable_um"],
        "tumor_mm2": float(truth.tumor_um2.sum()) / 1e6,
        **nuclei_mm2,
        **{name: summary.record[name] for name in ("scored_mm2", "tissue_ratio")},
        "true_tissue_ratio": true_tissue_ratio(summary.field, truth),
        **_areas(summary, rich, truth),
    }
    return _plain(
        {
            "slide": slide,
            "regions": regions.to_dict("records"),
            "curve": _curve(summary, rich, truth),
            "foci": _foci(summary, truth, options),
        }
    )


def _pair(planned: PhantomSlide, files: PhantomFiles) -> SlidePair:
    slide_id, mpp = planned.slide_id, planned.mpp
    return SlidePair(
        slide_id,
        planned.case_id,
        open_slide(files.he_path, slide_id=slide_id, mpp=mpp),
        open_slide(files.ihc_path, slide_id=slide_id, mpp=mpp),
        transform=files.transform,
        data_kind="phantom",
        truth_dir=files.truth_dir,
    )


def _measured(
    pair: SlidePair, regions: pd.DataFrame, label: LabelOptions | None, min_nuclei: int
) -> tuple[pd.DataFrame, str]:
    """Measured ratio and nuclear area of each region; NaN, with the reason, where refused."""
    nothing = pd.DataFrame({"tumor_ratio": np.nan, "nuclei_um2": np.nan}, index=regions.index)
    if label is None:
        return nothing, ""
    own = label.segmentation.for_slide(pair.slide_id)
    try:
        nuclei = segment_slide(pair, regions, "ihc", label.segmenter, own)
    except SlideError as error:
        return nothing, str(error)
    return region_ratios(regions, nuclei, pair.frame.mpp, min_nuclei=min_nuclei), ""


def _regions(
    predicted: pd.DataFrame, truths: pd.DataFrame, measured: pd.DataFrame, min_nuclei: int
) -> pd.DataFrame:
    """Regions with a ratio beside their references, each with the nuclear area behind it."""
    table = pd.DataFrame(
        {
            "region_id": predicted["region_id"].to_numpy(),
            "tumor_ratio": predicted["tumor_ratio_calibrated"].to_numpy(),
            "lower": predicted["lower"].to_numpy(),
            "upper": predicted["upper"].to_numpy(),
            "ihc_measured": measured["tumor_ratio"].to_numpy(),
            "ihc_measured_um2": measured["nuclei_um2"].to_numpy(),
        }
    )
    for section in ("ihc", "he"):
        enough = truths[f"{section}_n_nuclei"] >= min_nuclei
        table[f"{section}_true"] = truths[f"{section}_true"].where(enough).to_numpy()
        table[f"{section}_true_um2"] = truths[f"{section}_nuclei_um2"].to_numpy()
    return table[table["tumor_ratio"].notna()].reset_index(drop=True)


def _slide_references(regions: pd.DataFrame) -> dict[str, float]:
    """The slide's ratio by each reference, over the regions that were predicted."""
    one = np.zeros(len(regions))
    return {
        name: float(slide_ratios(regions[name], regions[f"{name}_um2"], one).get(0.0, np.nan))
        for name in ("ihc_measured", "ihc_true", "he_true")
    }


def _areas(
    summary: SlideSummary, rich: NDArray[np.float64], truth: TrueField
) -> dict[str, float | int]:
    """Rich areas in mm2, predicted and true; NaN without tau.

    `rich_mm2` and `true_rich_mm2` are of the same cells with the same tissue, so that only ratios
    differ; `reported_rich_mm2` is what the slide's summary says, `true_rich_all_mm2` the truth with
    true tissue on all cells, those left out included.
    """
    field, tau = summary.field, summary.record["tau"]
    both = np.isfinite(rich) & np.isfinite(truth.ratio)
    counts = {
        "n_cells": int(both.sum()),
        "n_cells_without_truth": int((np.isfinite(rich) & ~both).sum()),
    }
    if tau is None:
        names = ("rich", "true_rich", "reported_rich", "true_rich_all", "tumor_in_rich")
        return {**counts, **{f"{name}_mm2": np.nan for name in names}}

    def area(ratio: NDArray[np.float64], tissue: NDArray[np.float64]) -> float:
        return rich_area(ratio, tissue, tau, field.cell_um) / 1e6

    return {
        **counts,
        "rich_mm2": area(np.where(both, rich, np.nan), field.tissue),
        "true_rich_mm2": area(np.where(both, truth.ratio, np.nan), field.tissue),
        "reported_rich_mm2": summary.record["ki67_rich_area_mm2"],
        "true_rich_all_mm2": area(truth.ratio, truth.tissue),
        "tumor_in_rich_mm2": float(truth.tumor_um2[rich >= tau].sum()) / 1e6,
    }


def _curve(
    summary: SlideSummary, rich: NDArray[np.float64], truth: TrueField
) -> list[dict[str, Any]]:
    """Predicted and true rich area over tau, on the same cells."""
    field = summary.field
    both = np.isfinite(rich) & np.isfinite(truth.ratio)
    if not both.any():
        return []
    predicted, true = (
        rich_area_curve(np.where(both, ratio, np.nan), field.tissue, field.cell_um, TAUS)
        for ratio in (rich, truth.ratio)
    )
    return [
        {"tau": tau, "rich_mm2": float(ours) / 1e6, "true_rich_mm2": float(theirs) / 1e6}
        for tau, ours, theirs in zip(TAUS, predicted["rich_um2"], true["rich_um2"], strict=True)
    ]


def _foci(summary: SlideSummary, truth: TrueField, options: SlideOptions) -> list[dict[str, Any]]:
    """Counts by diameter; true foci by the same rule, those in tissue that was left out, too."""
    tau = summary.record["tau"]
    if tau is None:
        return []
    nothing = np.zeros(truth.ratio.shape, dtype=bool)
    true = find_foci(
        truth.ratio,
        nothing,
        tau,
        summary.field.cell_um,
        options.foci.min_area_um2,
        options.foci.merge_um,
    )
    scores = lesion_scores(summary.foci, true, options.diameter_edges_um)
    columns = ["from_um", "to_um", "n_truth", "n_found", "n_predicted", "n_right"]
    return [
        {str(name): value for name, value in row.items()}
        for row in scores[columns].to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """Plain values for JSON, None where a number is NaN or infinite."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
