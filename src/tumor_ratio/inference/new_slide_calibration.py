"""What a model needs beside its weights to be used on new slides: `calibration.json` in its folder.

Intervals and the scale of areas come from slides that served neither training, nor the choice of an
epoch or a map: the test slides of the model's fold. What is chosen rather than measured, the
threshold of rich areas and their scale, comes from its training and its validation slides.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.inference.domain import TrainedDomain
from tumor_ratio.metrics.aggregation import slide_ratios
from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.metrics.conformal import (
    COVERAGE,
    MIN_UNITS,
    ConformalQuantile,
    conformal_quantile,
    conformity_scores,
    expected_error,
    ratio_bounds,
)
from tumor_ratio.metrics.rich_scale import area_map, rich_threshold

FILE_NAME = "calibration.json"
CARD_FILE = "card.json"
FORMAT = 2
READ = (1, FORMAT)
"""Formats that are read; in the first, nothing is known of the training slides' sharpness."""
REMEDY = "calibrate it anew: kedro run --pipelines=regression"

MIN_MATCHED_REGIONS = 100
"""With fewer validation regions, quantiles of their ratios are too uncertain to match."""

IDENTITY = MonotoneMap((0.0, 1.0), (0.0, 1.0))

COLUMNS = (
    "slide_id",
    "case_id",
    "split",
    "tumor_ratio",
    "tumor_ratio_calibrated",
    "hematoxylin_um2",
    "measured",
    "measured_um2",
)
"""Of the regions that `calibrated_for_new_slides` takes."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class NewSlideCalibration:
    """Intervals, threshold, scale of areas and domain of one model.

    Parameters
    ----------
    model : the model's fingerprint.
    approach, stamps : of the model.
    slides : the calibration slides.
    n_cases : independent cases among them (the slides, where none shares its case); of these fewer
        than 9 give no interval.
    n_regions : regions behind `region_quantile`.
    rank : k = ceil((n_cases + 1) coverage).
    region_quantile, slide_quantile : half widths in expected errors; NaN without intervals.
    reason : why there are no intervals; empty where there are.
    tau : regions at or over this ratio are rich in Ki-67; NaN where training slides show no spread.
    tau_reason : why there is no tau; empty where there is.
    area_map : of raw predictions, see `area_ratio`; the identity where it could not be fitted.
    area_reason : why it could not; empty where it could.
    domain : what the training slides are.
    coverage : that is promised.
    """

    model: str
    approach: str
    stamps: tuple[str, ...]
    slides: tuple[str, ...]
    n_cases: int
    n_regions: int
    rank: int
    region_quantile: float
    slide_quantile: float
    reason: str
    tau: float
    tau_reason: str
    area_map: MonotoneMap
    area_reason: str
    domain: TrainedDomain
    coverage: float = COVERAGE

    @property
    def n_slides(self) -> int:
        """Calibration slides."""
        return len(self.slides)

    def region_interval(
        self, ratio: ArrayLike, nuclear_um2: ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Bounds for the ratio that staining would show in regions of the model's size.

        Parameters
        ----------
        ratio : any shape, calibrated ratios in [0, 1].
        nuclear_um2 : the same shape, hematoxylin-stained area of the regions.

        Returns
        -------
        lower, upper : the same shape, in [0, 1]; NaN where there is no ratio, and everywhere
            without intervals.
        """
        return ratio_bounds(ratio, expected_error(ratio, nuclear_um2), self.region_quantile)

    def slide_interval(
        self, ratio: ArrayLike, nuclear_um2: ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Bounds for whole slides' ratios; as `region_interval`, of slides' sums."""
        return ratio_bounds(ratio, expected_error(ratio, nuclear_um2), self.slide_quantile)

    def area_ratio(self, raw: ArrayLike) -> FloatArray:
        """Ratios of which as much area lies over a threshold as of measured ones.

        Parameters
        ----------
        raw : (N,) the network's answers for regions of the model's size, not calibrated: the
            calibrated ones are tied in steps, and steps have no quantiles to match.
        """
        return self.area_map.apply(raw)

    def to_record(self) -> dict[str, Any]:
        """Describe it for JSON; what is not there is None."""
        return {
            "format": FORMAT,
            "stamps": list(self.stamps),
            "model": self.model,
            "approach": self.approach,
            "coverage": self.coverage,
            "slides": list(self.slides),
            "n_slides": self.n_slides,
            "n_cases": self.n_cases,
            "n_regions": self.n_regions,
            "rank": self.rank,
            "region_quantile": _or_none(self.region_quantile),
            "slide_quantile": _or_none(self.slide_quantile),
            "reason": self.reason,
            "tau": _or_none(self.tau),
            "tau_reason": self.tau_reason,
            "area_map": self.area_map.to_record(),
            "area_reason": self.area_reason,
            "domain": self.domain.to_record(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> NewSlideCalibration:
        """What `to_record` described.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something is missing or no such description.
        """
        if record["format"] not in READ:
            raise ValueError(f"format {record['format']}, not {FORMAT}")
        return cls(
            model=str(record["model"]),
            approach=str(record["approach"]),
            stamps=tuple(record["stamps"]),
            slides=tuple(record["slides"]),
            n_cases=int(record["n_cases"]),
            n_regions=int(record["n_regions"]),
            rank=int(record["rank"]),
            region_quantile=_or_nan(record["region_quantile"]),
            slide_quantile=_or_nan(record["slide_quantile"]),
            reason=str(record["reason"]),
            tau=_or_nan(record["tau"]),
            tau_reason=str(record["tau_reason"]),
            area_map=MonotoneMap.from_record(record["area_map"]),
            area_reason=str(record["area_reason"]),
            domain=TrainedDomain.from_record(record["domain"]),
            coverage=float(record["coverage"]),
        )

    @classmethod
    def read(cls, folder: Path) -> NewSlideCalibration | None:
        """The calibration in a model folder; None where it has none.

        Raises
        ------
        ConfigurationError
            If the file cannot be used, or is of another model than the folder's card.
        """
        path = folder / FILE_NAME
        try:
            found = cls.from_record(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path} cannot be used ({error})", REMEDY) from error
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        if found.model != card.get("fingerprint"):
            raise ConfigurationError(f"{path} is of another model than {CARD_FILE} beside", REMEDY)
        return found


class _Intervals(NamedTuple):
    regions: ConformalQuantile
    slides: ConformalQuantile
    n_regions: int
    names: tuple[str, ...]


def calibrated_for_new_slides(
    card: Mapping[str, Any], regions: pd.DataFrame, domain: TrainedDomain
) -> NewSlideCalibration:
    """What calibration slides say of a model.

    Parameters
    ----------
    card : of the model.
    regions : one row a region of the model's fold, with `COLUMNS`: slide_id, case_id; split,
        "train", "validation" or "test"; tumor_ratio and tumor_ratio_calibrated, as predicted (NaN
        on training slides); hematoxylin_um2, the region's weight at prediction (test slides);
        measured, the region's measured ratio, and measured_um2, the nuclear area behind it. Numbers
        are NaN where unknown.
    domain : of the training slides.
    """
    parts = {split: regions[regions["split"] == split] for split in ("train", "validation", "test")}
    intervals = _intervals(parts["test"])
    tau = rich_threshold(parts["train"]["measured"], parts["train"]["slide_id"])
    scale, area_reason = _area_scale(parts["validation"])
    return NewSlideCalibration(
        model=str(card["fingerprint"]),
        approach=str(card["approach"]),
        stamps=tuple(card.get("stamps", ())),
        slides=intervals.names,
        n_cases=intervals.slides.n_units,
        n_regions=intervals.n_regions,
        rank=intervals.slides.rank,
        region_quantile=intervals.regions.value,
        slide_quantile=intervals.slides.value,
        reason=_few(len(intervals.names), intervals.slides.n_units),
        tau=tau,
        tau_reason="the training slides' regions all show one ratio" if math.isnan(tau) else "",
        area_map=scale,
        area_reason=area_reason,
        domain=domain,
    )


def _intervals(test: pd.DataFrame) -> _Intervals:
    """Quantiles of both levels, over slides for which both can be said."""
    known = test[test["tumor_ratio_calibrated"].notna() & test["hematoxylin_um2"].notna()]
    names = known["slide_id"].to_numpy()
    measured = slide_ratios(known["measured"], known["measured_um2"], names)
    predicted = slide_ratios(known["tumor_ratio_calibrated"], known["hematoxylin_um2"], names)
    area = known.groupby("slide_id")["hematoxylin_um2"].sum()
    usable = measured.index[(measured.notna() & predicted.notna()).to_numpy()]
    measured, predicted = measured[usable], predicted[usable]
    cases = known.drop_duplicates("slide_id").set_index("slide_id")["case_id"].reindex(usable)
    scores = conformity_scores(predicted, measured, expected_error(predicted, area.reindex(usable)))
    rows = known[known["slide_id"].isin(usable) & known["measured"].notna()]
    ratio = rows["tumor_ratio_calibrated"].to_numpy()
    region_scores = conformity_scores(
        ratio, rows["measured"], expected_error(ratio, rows["hematoxylin_um2"])
    )
    return _Intervals(
        conformal_quantile(region_scores, rows["case_id"], rows["slide_id"]),
        conformal_quantile(scores, cases, usable),
        len(rows),
        tuple(str(name) for name in usable),
    )


def _few(n_slides: int, n_cases: int) -> str:
    if n_cases >= MIN_UNITS:
        return ""
    of_cases = f" of {n_cases} cases" if n_cases != n_slides else ""
    return f"{n_slides} calibration slides{of_cases}, fewer than {MIN_UNITS}"


def _area_scale(validation: pd.DataFrame) -> tuple[MonotoneMap, str]:
    known = validation[validation["tumor_ratio"].notna() & validation["measured"].notna()]
    if len(known) < MIN_MATCHED_REGIONS:
        return IDENTITY, f"{len(known)} validation regions, fewer than {MIN_MATCHED_REGIONS}"
    return area_map(known["tumor_ratio"], known["measured"], known["slide_id"]), ""


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
