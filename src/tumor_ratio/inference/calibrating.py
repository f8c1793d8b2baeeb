"""From a cohort's tables to a model's calibration for new slides; the same for every approach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.imaging.appearance import Appearance
from tumor_ratio.inference.calibration_regions import calibration_regions
from tumor_ratio.inference.domain import trained_domain
from tumor_ratio.inference.new_slide_calibration import (
    NewSlideCalibration,
    calibrated_for_new_slides,
)
from tumor_ratio.metrics.folds import FIRST, FoldKey


class Part(Protocol):
    """A slide's stored result."""

    def load(self) -> Any:
        """Read it."""
        ...


def calibrate_model(
    card: Mapping[str, Any],
    cohort: Cohort,
    patches: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    predictions: pd.DataFrame,
    areas: Mapping[str, Part],
    appearances: Mapping[str, Part],
    *,
    label_method: str,
    protocol: str,
    key: FoldKey = FIRST,
) -> NewSlideCalibration:
    """Intervals, threshold, scale of areas and domain of a model.

    Parameters
    ----------
    card : of the model; `slides` names those that trained.
    cohort, patches, ratio_labels, folds, predictions : as in `calibration_regions`.
    areas : of `area_tasks`.
    appearances : records of how the slides look.
    label_method, protocol, key : of the model.
    """
    empty = pd.DataFrame({"region_id": pd.Series(dtype=str), "hematoxylin_um2": []})
    regions = calibration_regions(
        patches,
        ratio_labels,
        folds,
        predictions,
        pd.concat([empty, *(part.load() for part in areas.values())]),
        label_method=label_method,
        protocol=protocol,
        key=key,
    )
    trained = set(card["slides"]["train"])
    looks = {
        slide_id: Appearance.from_record(part.load())
        for slide_id, part in appearances.items()
        if slide_id in trained
    }
    domain = trained_domain([pair for pair in cohort if pair.slide_id in trained], looks)
    return calibrated_for_new_slides(card, regions, domain)
