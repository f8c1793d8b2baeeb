"""What is said of one slide: ratio, areas, foci, what was left out, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.domain import DomainWarning, interval_reason
from tumor_ratio.inference.fields import RatioField, cell_means, ratio_field
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.region_grid import REASONS, RegionGrid
from tumor_ratio.inference.survey import SlideSurvey
from tumor_ratio.inference.tumor_area import tissue_ratio, tumor_area_record
from tumor_ratio.metrics.foci import (
    Foci,
    find_foci,
    outline_cells,
    rich_area,
    rich_area_curve,
    smallest_detectable_um,
)
from tumor_ratio.metrics.tumor_share import Labellings
from tumor_ratio.reporting.stamps import stamps_for

WEIGHT_SOURCE = "hematoxylin_area"
NO_RATIO = "interval withheld: the slide has no ratio"
NO_CALIBRATION = "the model is not calibrated for new slides: train it anew"


@dataclass(frozen=True)
class FociOptions:
    """How rich areas are cut out.

    Parameters
    ----------
    tau : ratio from which on a cell is rich; None takes the model's own, chosen on its training
        slides.
    min_area_um2 : smallest focus; at least four cells in any case.
    merge_um : gaps up to this wide are closed.
    intervals_anyway : the user's word that slides are of the training's kind, see
        `interval_reason`.
    """

    tau: float | None = None
    min_area_um2: float = 0.0
    merge_um: float = 0.0
    intervals_anyway: bool = False


@dataclass(frozen=True)
class SlideSummary:
    """One slide's result.

    Parameters
    ----------
    record : plain values for JSON; None where something is not known.
    regions : the slide's regions with lower and upper.
    field : its ratios as a picture.
    foci : on the field's grid; none where there is no tau.
    """

    record: dict[str, Any]
    regions: pd.DataFrame
    field: RatioField
    foci: Foci


def summarise_slide(
    slide: Slide,
    survey: SlideSurvey,
    regions: pd.DataFrame,
    grid: RegionGrid,
    card: Mapping[str, Any],
    calibration: NewSlideCalibration | None,
    warnings: Sequence[DomainWarning],
    options: FociOptions,
    labellings: Labellings | None = None,
) -> SlideSummary:
    """Sum up one slide.

    Parameters
    ----------
    slide, survey, grid : the slide, and what its regions were made of.
    regions : from `predict_regions`.
    card, calibration : of the model; without a calibration there are no intervals, areas and foci.
    warnings : from `judge_domain`.
    options : how rich areas are cut out.
    labellings : of tumor and other nuclei, where the user knows them; see `tumor_area_record`.

    Returns
    -------
    SlideSummary
        Its record has: slide_id; organ_mm2 (outline, air spaces in), stained_mm2, scored_mm2 (the
        stained tissue of cells with a ratio); left_out, the share of all tissue (stained, folded or
        under pen) by reason; n_regions (with a ratio), n_left_out, n_answered_by_median (of those
        with a ratio, see `predict_regions`); nuclear_mm2; tumor_ratio and
        tumor_ratio_calibrated, sum(w r) / sum(w) over cells, w the nuclear area; lower, upper, and
        interval, why they are withheld (empty where they are not); tau with tau_reason;
        ki67_rich_area_mm2, its share of scored tissue and of the organ's outline without the tissue
        that was left out; curve; ki67_rich_foci; smallest_detectable_um; what
        `tumor_area_record` says of the tumor; domain_warnings; approach, model, training_data,
        stamps.

    Notes
    -----
    Tissue that could not be scored counts neither as rich nor as poor. Rich areas and foci are made
    of ratios on which as much area lies over a threshold as of measured ones (the calibration's
    `area_ratio`): a network's own answers are drawn to the mean, and so is their area.
    """
    withheld = interval_reason(
        warnings, calibration.n_cases if calibration else 0, anyway=options.intervals_anyway
    )
    bounded = with_intervals(regions, calibration, withheld)
    field = ratio_field(bounded, slide, survey, grid)
    rich_ratio = area_field(field, regions, slide, grid, calibration)
    foci, areas = _rich(field, rich_ratio, calibration, options)
    ratios = _slide_ratios(field, regions, slide, grid)
    lower, upper = math.nan, math.nan
    if calibration and not withheld:
        bounds = calibration.slide_interval(
            [ratios["tumor_ratio_calibrated"]], [ratios["nuclear_mm2"] * 1e6]
        )
        lower, upper = (float(bound[0]) for bound in bounds)
    tissue = _tissue(field, survey)
    rich_mm2 = areas["ki67_rich_area_mm2"]
    has_foci = areas["tau"] is not None and bool(np.isfinite(field.ratio).any())
    record = {
        "slide_id": slide.slide_id,
        "mpp": slide.mpp,
        "region_um": grid.size_um,
        "cell_um": grid.cell_um,
        "cell_px": field.cell_px,
        **{name: tissue[name] for name in ("organ_mm2", "stained_mm2", "scored_mm2", "left_out")},
        "n_regions": int((regions["reason"] == "").sum()),
        "n_left_out": int((regions["reason"] != "").sum()),
        "n_answered_by_median": int(regions["answered_by_median"].sum()),
        **ratios,
        "weight_source": WEIGHT_SOURCE,
        "lower": lower,
        "upper": upper,
        "interval": withheld or (NO_RATIO if math.isnan(lower) else ""),
        **areas,
        "ki67_rich_share_of_tissue": _share(rich_mm2, tissue["scored_mm2"]),
        "ki67_rich_share_of_organ": _share(rich_mm2, tissue["judged_mm2"]),
        "ki67_rich_foci": {
            "number": len(foci.table) if has_foci else None,
            "per_mm2": _share(len(foci.table), tissue["scored_mm2"]) if has_foci else None,
            "area_mm2": float(foci.table["area_um2"].sum()) / 1e6 if has_foci else None,
            "foci": focus_records(foci, field.cell_px),
        },
        "smallest_detectable_um": smallest_detectable_um(grid.cell_um, options.min_area_um2),
        **tumor_area_record(
            *(tissue_ratio(field), ratios["tumor_ratio_calibrated"], tissue["scored_mm2"]),
            *(card, labellings),
        ),
        "domain_warnings": [warning.text for warning in warnings],
        "approach": card["approach"],
        "model": str(card.get("fingerprint", ""))[:16],
        "training_data": card["training_data"],
        "stamps": list(stamps_for(card["training_data"])),
    }
    return SlideSummary(_without_nan(record), bounded, field, foci)


def with_intervals(
    regions: pd.DataFrame, calibration: NewSlideCalibration | None, withheld: str
) -> pd.DataFrame:
    """Regions with lower and upper; NaN where intervals are withheld or there is no ratio."""
    if calibration is None or withheld:
        return regions.assign(lower=np.nan, upper=np.nan)
    lower, upper = calibration.region_interval(
        regions["tumor_ratio_calibrated"], regions["nuclear_um2"]
    )
    return regions.assign(lower=lower, upper=upper)


def area_field(
    field: RatioField,
    regions: pd.DataFrame,
    slide: Slide,
    grid: RegionGrid,
    calibration: NewSlideCalibration | None,
) -> NDArray[np.float64]:
    """(R, C) ratios for areas and foci: where the field has one, on the calibration's scale."""
    if calibration is None:
        return np.full(field.ratio.shape, np.nan)
    scored = regions[regions["tumor_ratio"].notna()]
    mapped = calibration.area_ratio(scored["tumor_ratio"])
    mean = cell_means(scored, [mapped], field.ratio.shape, field.cell_px, grid.size_um / slide.mpp)
    return np.where(np.isfinite(field.ratio), mean[0], np.nan)


def focus_records(foci: Foci, cell_px: float) -> list[dict[str, Any]]:
    """Foci as plain values: their table, centroid and outline in level-0 pixels.

    `polygons` is a list of polygons of closed rings of [x, y], as a GeoJSON MultiPolygon has them.
    """
    found: list[dict[str, Any]] = []
    for record in foci.table.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        polygons = [
            [np.round(np.asarray(ring) * cell_px, 2).tolist() for ring in polygon]
            for polygon in outline_cells(foci.labels, int(row["focus_id"]))
        ]
        x_px, y_px = row.pop("x_cells") * cell_px, row.pop("y_cells") * cell_px
        found.append({**row, "x_px": x_px, "y_px": y_px, "polygons": polygons})
    return found


def _rich(
    field: RatioField,
    rich_ratio: NDArray[np.float64],
    calibration: NewSlideCalibration | None,
    options: FociOptions,
) -> tuple[Foci, dict[str, Any]]:
    own = calibration.tau if calibration else math.nan
    tau = own if options.tau is None else options.tau
    reason = calibration.tau_reason if calibration else NO_CALIBRATION
    excluded = np.isin(field.reason, REASONS)
    if calibration is None or math.isnan(tau):
        nothing = find_foci(np.full(field.ratio.shape, np.nan), excluded, 1.0, field.cell_um)
        return nothing, {
            "tau": None,
            "tau_reason": reason,
            "area_reason": reason,
            "ki67_rich_area_mm2": None,
            "curve": [],
        }
    foci = find_foci(
        rich_ratio, excluded, tau, field.cell_um, options.min_area_um2, options.merge_um
    )
    curve = rich_area_curve(rich_ratio, field.tissue, field.cell_um)
    return foci, {
        "tau": tau,
        "tau_reason": "" if options.tau is None else "given by the user",
        "area_reason": calibration.area_reason,
        "ki67_rich_area_mm2": rich_area(rich_ratio, field.tissue, tau, field.cell_um) / 1e6,
        "curve": [
            {"tau": float(each), "mm2": float(area) / 1e6}
            for each, area in zip(curve["tau"], curve["rich_um2"], strict=True)
        ],
    }


def _slide_ratios(
    field: RatioField, regions: pd.DataFrame, slide: Slide, grid: RegionGrid
) -> dict[str, float]:
    """The slide's ratios and nuclear area; NaN where no cell has a weight."""
    scored = regions[regions["tumor_ratio"].notna()]
    raw = cell_means(
        scored,
        [scored["tumor_ratio"].to_numpy()],
        field.ratio.shape,
        field.cell_px,
        grid.size_um / slide.mpp,
    )[0]
    weight, total = field.nuclear_um2, float(field.nuclear_um2.sum())
    return {
        "nuclear_mm2": total / 1e6,
        **{
            name: float(np.nansum(weight * values)) / total if total > 0 else math.nan
            for name, values in (("tumor_ratio", raw), ("tumor_ratio_calibrated", field.ratio))
        },
    }


def _tissue(field: RatioField, survey: SlideSurvey) -> dict[str, Any]:
    """Areas of the section, and shares of its tissue that were left out.

    `judged_mm2` is the organ's outline without tissue that was left out; damage beyond the outline
    takes nothing off it.
    """
    classes, pixel_mm2 = survey.classes, survey.mpp**2 / 1e6
    pen = classes.pen & classes.organ
    tissue_like = classes.stained | classes.fold | pen | survey.unreadable
    side = survey.mpp / field.cell_um
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * side).astype(int), most - 1)
        for n, most in zip(tissue_like.shape, field.reason.shape, strict=True)
    )
    reason = field.reason[np.ix_(rows, columns)]
    total = int(tissue_like.sum())
    scored = np.isfinite(field.ratio)
    return {
        "organ_mm2": float(classes.organ.sum() * pixel_mm2),
        "stained_mm2": float(classes.stained.sum() * pixel_mm2),
        "scored_mm2": float((field.tissue * scored).sum() * field.cell_um**2 / 1e6),
        "judged_mm2": float((classes.organ & ~(tissue_like & (reason != ""))).sum() * pixel_mm2),
        "left_out": {
            name: float((tissue_like & (reason == name)).sum() / total) if total else 0.0
            for name in REASONS
        },
    }


def _share(part: float | None, whole: float) -> float | None:
    return None if part is None or not whole > 0 else part / whole


def _without_nan(value: Any) -> Any:
    """The same plain values, None where a number is NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    return value.item() if isinstance(value, np.generic) else value
