"""Predictions beside references: all approaches on the same test regions."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from tumor_ratio.metrics.folds import check_folds
from tumor_ratio.schemas import References

RUN: Final = ["protocol", "repeat", "fold"]

JUDGED: Final = [
    "approach", "role", "supervision", "scored", "coverage", "reason", "n_asked", "n_missing",
    "n_missing_alone",
]  # fmt: skip

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

    Raises
    ------
    ConfigurationError
        If a slide or case is in two parts of a fold, or tested twice in a repeat.
    """
    check_folds(folds)
    kept = pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"]
    regions = patches[["region_id", "slide_id", "tile_id"]].assign(
        selected=patches["tile_id"].isin(kept)
    )
    tested = folds.loc[folds["split"] == "test", [*RUN, "slide_id", "case_id"]]
    return tested.merge(regions, on="slide_id", how="inner")


def of_another_split(
    predictions: pd.DataFrame, slide_of: pd.Series, folds: pd.DataFrame
) -> dict[str, str]:
    """Approaches whose predictions cannot be of these folds, and why.

    A fold's validation and test slides are predicted. Where some of its training slides are, too,
    and others are not, these were dealt otherwise when the predictions were made, and what tests
    now may have trained the model. Predictions of all slides say nothing of a split.

    Parameters
    ----------
    predictions : `schemas.Predictions`.
    slide_of : slide of each region, by its id.
    folds : `schemas.Folds`.

    Returns
    -------
    dict of str to str
        One line for each such approach.
    """
    predicted = predictions[["approach", *RUN]].assign(
        slide_id=predictions["region_id"].map(slide_of)
    )
    trained = folds.loc[folds["split"] == "train", [*RUN, "slide_id"]]
    trained = trained[trained["slide_id"].isin(slide_of)]
    trained = trained.assign(n_train=trained.groupby(RUN)["slide_id"].transform("size"))
    found = predicted.drop_duplicates().merge(trained, on=[*RUN, "slide_id"])
    found = found[
        found.groupby(["approach", *RUN])["slide_id"].transform("size") < found["n_train"]
    ]
    return {
        str(row.approach): f"predicted before the slides were dealt anew: {row.slide_id} was held "
        "out then and trains now; run the approach's pipeline again"
        for row in found.drop_duplicates("approach").itertuples()
    }


def draw_regions(
    regions: pd.DataFrame, labelled: pd.Series, per_slide: int, seed: int = 0
) -> pd.DataFrame:
    """At most so many labelled regions of a slide, of kept tiles and of others.

    Parameters
    ----------
    regions : what `regions_of_test_slides` gives.
    labelled : ids of the regions with a label; others are left out.
    per_slide : how many of each slide, of the selected and of the other regions.
    seed : of the draw, which depends on nothing but the slide's regions: it is the same in every
        repeat and fold.

    Returns
    -------
    DataFrame
        Rows of `regions`, in their order.
    """
    known = regions.loc[regions["region_id"].isin(labelled)].drop_duplicates("region_id")
    drawn = [
        own["region_id"].sort_values().sample(min(per_slide, len(own)), random_state=seed)
        for _, own in known.groupby(["slide_id", "selected"])
    ]
    chosen = pd.concat(drawn) if drawn else known["region_id"]
    return regions[regions["region_id"].isin(chosen)].reset_index(drop=True)


def match_approaches(
    predictions: pd.DataFrame,
    approaches: pd.DataFrame,
    references: pd.DataFrame,
    regions: pd.DataFrame,
    he_um2: pd.Series,
    *,
    protocol: str,
    reference: str,
    min_coverage: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join predictions and references on the test regions that all scored approaches predicted.

    Each protocol is a comparison of its own: an approach takes part where it predicted enough of
    the protocol's test regions, over all its repeats and folds. Elsewhere it costs nobody a region.

    Parameters
    ----------
    predictions : `schemas.Predictions` of all approaches.
    approaches : approach, role, supervision and reason (why it has no predictions, where known).
    references : `schemas.References`.
    regions : what `regions_of_test_slides` gives.
    he_um2 : nuclear area on H&E by region id: the weight of a predicted region in its slide.
    protocol : the one that the table of approaches speaks of.
    reference : the one by which coverage counts.
    min_coverage : an approach that predicts a smaller share of a protocol's test regions with that
        reference is not scored in it, and named; otherwise it would shrink everybody's test set.

    Returns
    -------
    compared : `schemas.ComparedRegions` of all protocols.
    approaches : `schemas.Approaches` of `protocol`.
    """
    labelled = references[references["tumor_ratio"].notna()].rename(
        columns={"tumor_ratio": "measured", "nuclei_um2": "measured_um2"}
    )
    keys = [*RUN, "region_id"]
    wanted = regions.merge(labelled.loc[labelled["reference"] == reference, ["region_id"]])
    predictions = _without_infinite(predictions)
    predicted = predictions[predictions["tumor_ratio"].notna()].merge(regions, on=keys)
    parts, tables = [], {}
    for name in {protocol, *regions["protocol"]}:
        own, asked, found = (t[t["protocol"] == name] for t in (predicted, wanted, predictions))
        tables[name] = _judge(
            approaches, own.merge(asked[keys], on=keys), found, asked, min_coverage
        )
        parts.append(_on_common_regions(own, tables[name]))
    compared = (
        pd.concat(parts, ignore_index=True)
        .sort_values(keys, kind="stable")
        .merge(
            labelled[["region_id", "reference", "measured", "measured_um2"]],
            on="region_id",
            suffixes=("_learned", ""),
        )
        .rename(columns={"tumor_ratio": "raw", "tumor_ratio_calibrated": "calibrated"})
    )
    compared = compared.assign(he_um2=compared["region_id"].map(he_um2).astype(np.float64))
    return compared[COLUMNS].reset_index(drop=True), tables[protocol]


def _without_infinite(predictions: pd.DataFrame) -> pd.DataFrame:
    """An infinite answer is none, as NaN is none."""
    answers = predictions[["tumor_ratio", "tumor_ratio_calibrated"]].astype(np.float64)
    return predictions.assign(**answers.where(np.isfinite(answers)))


def _on_common_regions(predicted: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Predictions of a protocol's scored approaches where every one of them has one."""
    scored = table.loc[table["scored"], "approach"]
    common = predicted[predicted["approach"].isin(scored)]
    counts = common.groupby([*RUN, "region_id"])["approach"].transform("size")
    return common[counts == len(scored)]


def _judge(
    approaches: pd.DataFrame,
    answered: pd.DataFrame,
    predictions: pd.DataFrame,
    wanted: pd.DataFrame,
    min_coverage: float,
) -> pd.DataFrame:
    """`schemas.Approaches` of one protocol: who is scored, and why others are not."""
    names = approaches["approach"]
    counted = answered.groupby("approach").size()
    coverage = names.map(counted).fillna(0.0) / max(len(wanted), 1)
    runs = predictions.groupby("approach")[RUN].apply(lambda own: len(own.drop_duplicates()))
    n_runs = len(wanted[RUN].drop_duplicates())
    reasons = [
        _why_not_scored(
            str(known), share, min_coverage, len(wanted), int(runs.get(name, 0)), n_runs
        )
        for name, known, share in zip(names, approaches["reason"], coverage, strict=True)
    ]
    scored = names[[not reason for reason in reasons]]
    alone = _missing_alone(answered[answered["approach"].isin(scored)], wanted, scored)
    table = approaches.assign(
        scored=names.isin(scored),
        coverage=coverage,
        reason=reasons,
        n_asked=len(wanted),
        n_missing=len(wanted) - names.map(counted).fillna(0).astype(int),
        n_missing_alone=names.map(alone).fillna(0).astype(int),
    )
    return table[JUDGED]


def _missing_alone(answered: pd.DataFrame, wanted: pd.DataFrame, scored: pd.Series) -> pd.Series:
    """Regions that a scored approach lacks and all other scored ones have, by approach."""
    keys = [*RUN, "region_id"]
    answers = answered.groupby(keys).size().rename("answers").reset_index()
    counts = wanted[keys].merge(answers, on=keys, how="left").fillna({"answers": 0})
    nearly = counts.loc[counts["answers"] == len(scored) - 1, keys]
    had = answered.merge(nearly, on=keys).groupby("approach").size()
    return len(nearly) - had.reindex(scored).fillna(0)


def _why_not_scored(
    reason: str, coverage: float, min_coverage: float, n_regions: int, runs: int, n_runs: int
) -> str:
    """One line, empty where the approach is scored."""
    if reason:
        return reason
    if not runs:
        return "no predictions: it did not run"
    if n_regions == 0:
        return "no test region has a label"
    if coverage == 0:
        return "no finite prediction for any test region"
    if coverage < min_coverage and runs < n_runs:
        return f"ran in {runs} of {n_runs} folds only; `protocol: holdout` scores it"
    if coverage < min_coverage:
        return f"predicted only {coverage:.0%} of the test regions ({min_coverage:.0%} asked for)"
    return ""
