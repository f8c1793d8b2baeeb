"""The summary record of a predicted slide, read once for all pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tumor_ratio.reporting.focus_outline import FocusOutline, focus_outlines
from tumor_ratio.reporting.without_paths import without_paths


@dataclass(frozen=True)
class SlideSummary:
    """What a page says of one slide; undefined numbers are NaN.

    Parameters
    ----------
    slide_id : its name.
    organ_mm2 : area of the organ's outline, air spaces in.
    stained_mm2 : stained tissue.
    scored_mm2 : stained tissue that has a ratio.
    left_out : share of all tissue (stained, folded or under pen) by reason.
    n_regions, n_left_out : regions with a ratio and without one.
    n_answered_by_median : regions whose ratio is the training slides' median, as too few nuclei
        show.
    region_um, cell_um : sides of a region that is judged and of a cell of the maps.
    tumor_ratio, tumor_ratio_calibrated : of the slide.
    lower, upper : of the calibrated ratio.
    interval : why there is no interval; empty where there is one.
    tau : ratio from which a cell counts as rich; NaN where there is none.
    tau_reason : why there is no tau, or where it comes from; empty for the model's own.
    area_reason : what to know of the scale that areas are measured on; may be empty.
    rich_mm2 : Ki-67-rich area at tau.
    rich_share_of_tissue, rich_share_of_organ : of the scored tissue, and of the organ's outline
        without what was left out.
    curve : tau and rich area in mm2, ascending.
    n_foci, foci_per_mm2 : number, and per mm2 of scored tissue; None and NaN without tau.
    foci : the largest first.
    smallest_detectable_um : diameter of the smallest focus that can be reported.
    tumor_area_mm2 : NaN where nothing says what the ratio means for it.
    tumor_area_lower_mm2, tumor_area_upper_mm2 : over the ranges of the labellings alone; NaN where
        none are given.
    tumor_nuclear_share : the tumor's share of the area of nuclei.
    tumor_area_basis : what these rest on; empty without an area.
    tumor_area_reason : why there is no tumor area, or what speaks against the one given.
    warnings : why the model may not be valid for this slide.
    approach, model, training_data : of the model.
    stamps : sentences that every output carries.
    """

    slide_id: str
    organ_mm2: float
    stained_mm2: float
    scored_mm2: float
    left_out: Mapping[str, float]
    n_regions: int
    n_left_out: int
    n_answered_by_median: int
    region_um: float
    cell_um: float
    tumor_ratio: float
    tumor_ratio_calibrated: float
    lower: float
    upper: float
    interval: str
    tau: float
    tau_reason: str
    area_reason: str
    rich_mm2: float
    rich_share_of_tissue: float
    rich_share_of_organ: float
    curve: Sequence[tuple[float, float]]
    n_foci: int | None
    foci_per_mm2: float
    foci: Sequence[FocusOutline]
    smallest_detectable_um: float
    tumor_area_mm2: float
    tumor_area_lower_mm2: float
    tumor_area_upper_mm2: float
    tumor_nuclear_share: float
    tumor_area_basis: str
    tumor_area_reason: str
    warnings: Sequence[str]
    approach: str
    model: str
    training_data: str
    stamps: Sequence[str]

    @property
    def has_interval(self) -> bool:
        """Whether both bounds are known."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)

    @property
    def has_tumor_area(self) -> bool:
        """Whether there is a tumor area."""
        return math.isfinite(self.tumor_area_mm2)

    @property
    def scored_share(self) -> float:
        """Share of the stained tissue that has a ratio; NaN without stained tissue."""
        return self.scored_mm2 / self.stained_mm2 if self.stained_mm2 > 0 else math.nan


def read_summary(record: Mapping[str, Any]) -> SlideSummary:
    """Read a summary record; file names and paths are taken out of its sentences.

    Raises
    ------
    ValueError
        If the record lacks a key, or carries no stamp.
    """
    try:
        foci = record["ki67_rich_foci"]
        summary = SlideSummary(
            slide_id=str(record["slide_id"]),
            organ_mm2=_number(record["organ_mm2"]),
            stained_mm2=_number(record["stained_mm2"]),
            scored_mm2=_number(record["scored_mm2"]),
            left_out={str(name): _number(share) for name, share in record["left_out"].items()},
            n_regions=int(record["n_regions"]),
            n_left_out=int(record["n_left_out"]),
            n_answered_by_median=int(record["n_answered_by_median"]),
            region_um=_number(record["region_um"]),
            cell_um=_number(record["cell_um"]),
            tumor_ratio=_number(record["tumor_ratio"]),
            tumor_ratio_calibrated=_number(record["tumor_ratio_calibrated"]),
            lower=_number(record["lower"]),
            upper=_number(record["upper"]),
            interval=without_paths(
                str(record["interval"] or "").removeprefix("interval withheld: ")
            ),
            tau=_number(record["tau"]),
            tau_reason=without_paths(str(record["tau_reason"] or "")),
            area_reason=without_paths(str(record["area_reason"] or "")),
            rich_mm2=_number(record["ki67_rich_area_mm2"]),
            rich_share_of_tissue=_number(record["ki67_rich_share_of_tissue"]),
            rich_share_of_organ=_number(record["ki67_rich_share_of_organ"]),
            curve=[(_number(each["tau"]), _number(each["mm2"])) for each in record["curve"]],
            n_foci=None if foci["number"] is None else int(foci["number"]),
            foci_per_mm2=_number(foci["per_mm2"]),
            foci=focus_outlines(foci["foci"]),
            smallest_detectable_um=_number(record["smallest_detectable_um"]),
            tumor_area_mm2=_number(record["tumor_area_mm2"]),
            tumor_area_lower_mm2=_number(record["tumor_area_lower_mm2"]),
            tumor_area_upper_mm2=_number(record["tumor_area_upper_mm2"]),
            tumor_nuclear_share=_number(record["tumor_nuclear_share"]),
            tumor_area_basis=str(record["tumor_area_basis"] or ""),
            tumor_area_reason=str(record["tumor_area_reason"] or ""),
            warnings=[without_paths(str(warning)) for warning in record["domain_warnings"]],
            approach=str(record["approach"]),
            model=without_paths(str(record["model"])),
            training_data=str(record["training_data"]),
            stamps=[str(stamp) for stamp in record["stamps"]],
        )
    except KeyError as error:
        raise ValueError(f"the slide's summary lacks {error}") from error
    if not summary.stamps:
        raise ValueError(f"the summary of slide {summary.slide_id} carries no stamp")
    return summary


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
