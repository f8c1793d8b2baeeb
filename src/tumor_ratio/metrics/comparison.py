"""Predictions beside references: all approaches on the same test regions."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from tumor_ratio.schemas import References

RUN: Final = ["protocol", "repeat", "fold"]

COLUMNS: Final = [
    "approach", *RUN, "slide_id", "case_id", "tile_id", "region_id", "reference", "measured",
    "measured_um2", "raw", "calibrated", "he_um2", "selected",
]  # fmt: skip


def references_table(
    ratio_labels: pd.DataFrame, truths: pd.DataFrame, *, label_method: str, min_nuclei: int
) -> pd.DataFrame:
    """The ratio of each region by each reference that is known.

    Parameters
    ----------
    ratio_labels : `schemas.RatioLabels`; the rows of `label_method` become `ihc_measured`.
    truths : `schemas.RegionTruths`, empty for real slides; becomes `ihc_true` and `he_true`.
    label_method : the method whose labels are the measured ratio.
    min_nuclei : a true ratio on fewer nuclei is undefined (NaN), as a measured one is.

    Returns
    -------
    DataFrame
        `schemas.References`.
    """
    measured = ratio_labels[ratio_labels["label_method"] == label_method]
    parts = [measured.assign(reference="ihc_measured")]
    for section in ("ihc", "he"):
        names = {
            f"{section}_true": "tumor_ratio",
            f"{section}_nuclei_um2": "nuclei_um2",
            f"{section}_n_nuclei": "n_nuclei",
        }
        part = truths[["region_id", *names]].rename(columns=names)
        ratio = part["tumor_ratio"].where(part["n_nuclei"] >= min_nuclei)
        parts.append(part.assign(reference=f"{section}_true", tumor_ratio=ratio))
    columns = ["region_id", "reference", "tumor_ratio", "nuclei_um2", "n_nuclei"]
    filled = [part[columns] for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else References.empty()


def regions_of_test_slides(
    patches: pd.DataFrame, pair_quality: pd.DataFrame, folds: pd.DataFrame
) -> pd.DataFrame:
    """Regions of test slides, once a protocol, repeat and fold.

    Parameters
    ----------
    patches : `schemas.Regions`, cut from every admitted tile.
    pair_quality : `schemas.PairQuality` of the tiles.
    folds : `schemas.Folds`.

    Returns
    -------
    DataFrame
        protocol, repeat, fold, slide_id, case_id, region_id, tile_id, selected (the region's tile
        was kept).
    """
    kept = pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"]
    regions = patches[["region_id", "slide_id", "tile_id"]].assign(
        selected=patches["tile_id"].isin(kept)
    )
    tested = folds.loc[folds["split"] == "test", [*RUN, "slide_id", "case_id"]]
    return tested.merge(regions, on="slide_id", how="inner")


def match_approaches(
    predictions: pd.DataFrame,
    approaches: pd.DataFrame,
    references: pd.DataFrame,
    regions: pd.DataFrame,
    he_um2: pd.Series,
    *,
    reference: str,
    min_coverage: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join predictions and references on the test regions that all scored approaches predicted.

    Parameters
    ----------
    predictions : `schemas.Predictions` of all approaches.
    approaches : approach, role, supervision and reason (why it has no predictions, where known).
    references : `schemas.References`.
    regions : what `regions_of_test_slides` gives.
    he_um2 : nuclear area on H&E by region id: the weight of a predicted region in its slide.
    reference : the one by which coverage counts.
    min_coverage : an approach that predicts a smaller share of the test regions with that
        reference is not scored, and named; otherwise it would shrink everybody's test set.

    Returns
    -------
    compared : `schemas.ComparedRegions`
    approaches : `schemas.Approaches`
    """
    labelled = references[references["tumor_ratio"].notna()].rename(
        columns={"tumor_ratio": "measured", "nuclei_um2": "measured_um2"}
    )
    keys = [*RUN, "region_id"]
    wanted = regions.merge(labelled.loc[labelled["reference"] == reference, ["region_id"]])
    predicted = predictions[predictions["tumor_ratio"].notna()].merge(regions, on=keys)
    counted = predicted.merge(wanted[keys], on=keys).groupby("approach").size()
    coverage = approaches["approach"].map(counted).fillna(0.0) / max(len(wanted), 1)
    listed = set(predictions["approach"])
    reasons = [
        _why_not_scored(name in listed, str(known), share, min_coverage, len(wanted))
        for name, known, share in zip(
            approaches["approach"], approaches["reason"], coverage, strict=True
        )
    ]
    table = approaches.assign(
        scored=[not reason for reason in reasons], coverage=coverage, reason=reasons
    )
    scored = table.loc[table["scored"], "approach"]
    common = predicted[predicted["approach"].isin(scored)]
    everybody = common.groupby(keys)["approach"].transform("size") == len(scored)
    compared = common[everybody].merge(
        labelled[["region_id", "reference", "measured", "measured_um2"]],
        on="region_id",
        suffixes=("_learned", ""),
    )
    compared = compared.rename(
        columns={"tumor_ratio": "raw", "tumor_ratio_calibrated": "calibrated"}
    ).assign(he_um2=compared["region_id"].map(he_um2).astype(np.float64))
    columns = ["approach", "role", "supervision", "scored", "coverage", "reason"]
    return compared[COLUMNS].reset_index(drop=True), table[columns]


def _why_not_scored(
    has_rows: bool, reason: str, coverage: float, min_coverage: float, n_regions: int
) -> str:
    """One line, empty where the approach is scored."""
    if reason:
        return reason
    if not has_rows:
        return "no predictions: it did not run"
    if n_regions == 0:
        return "no test region has a label"
    if coverage == 0:
        return "no finite prediction for any test region"
    if coverage < min_coverage:
        return f"predicted only {coverage:.0%} of the test regions ({min_coverage:.0%} asked for)"
    return ""
