"""Nodes of nuclei_export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.imaging.outlines import unpack_outlines
from tumor_ratio.reporting.geojson import (
    NEGATIVE,
    NUCLEUS,
    POSITIVE,
    Outlined,
    feature_collection,
)
from tumor_ratio.reporting.stamps import NUCLEI_BY_NETWORK, RESEARCH_USE
from tumor_ratio.steps import SlideTasks, step

MEASUREMENTS = {
    "Area um^2": "area_um2",
    "Hematoxylin: Mean": "hematoxylin_od",
    "DAB: Mean": "dab_od_mean",
    "DAB: Max": "dab_od_max",
    "DAB: Core mean": "dab_od_core",
    "Call confidence": "confidence",
    "Detection probability": "detection",
}
"""Names in QuPath by column."""


def export_ihc(cohort: Cohort, ihc_nuclei: Mapping[str, PartitionRef]) -> SlideTasks:
    """Nuclei of the IHC sections, classed by grade."""
    return {
        pair.slide_id: partial(nuclei_geojson, ihc_nuclei[pair.slide_id], pair.ihc.mpp, True)
        for pair in cohort
        if pair.ihc is not None and pair.slide_id in ihc_nuclei
    }


def export_he(cohort: Cohort, he_nuclei: Mapping[str, PartitionRef]) -> SlideTasks:
    """Nuclei of the H&E sections."""
    return {
        pair.slide_id: partial(nuclei_geojson, he_nuclei[pair.slide_id], pair.he.mpp, False)
        for pair in cohort
        if pair.he is not None and pair.slide_id in he_nuclei
    }


@step(name="export_nuclei", version=1)
def nuclei_geojson(nuclei: PartitionRef, mpp: float, graded: bool) -> str:
    """One section's nuclei as GeoJSON in level-0 pixels of its own slide.

    Parameters
    ----------
    nuclei : the section's `tumor_ratio.schemas.Nuclei`.
    mpp : micrometres a level-0 pixel.
    graded : whether they are classed as negative, 1+, 2+, 3+ (IHC) or not at all (H&E).
    """
    return feature_collection(
        _outlined(nuclei.load(), mpp, graded), [RESEARCH_USE, NUCLEI_BY_NETWORK]
    )


def _outlined(nuclei: pd.DataFrame, mpp: float, graded: bool) -> Iterator[Outlined]:
    classes = (NEGATIVE, *POSITIVE) if graded else (NUCLEUS,) * (1 + len(POSITIVE))
    xy_um = nuclei[["x_px", "y_px"]].to_numpy(dtype=float) * mpp
    measured = nuclei[list(MEASUREMENTS.values())].to_numpy(dtype=float)
    outlines, grade = nuclei["outline"].tolist(), nuclei["grade"].to_numpy()
    for index, outline in enumerate(outlines):
        (polygon,) = unpack_outlines([outline], xy_um[index : index + 1])
        name, color = classes[grade[index]]
        values = dict(zip(MEASUREMENTS, measured[index], strict=True))
        yield Outlined(polygon / mpp, name, color, values)
