"""Nodes of evaluation that make tables: references, baselines, comparison, scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import regions_of
from tumor_ratio.metrics import baselines, oracle
from tumor_ratio.metrics.baseline_predictions import baseline_predictions
from tumor_ratio.metrics.comparison import (
    draw_regions,
    match_approaches,
    of_another_split,
    references_table,
    regions_of_test_slides,
)
from tumor_ratio.metrics.oracle import oracle_predictions
from tumor_ratio.metrics.scoring import score_table
from tumor_ratio.phantom.region_truths import measure_slide_truths
from tumor_ratio.pipelines.evaluation.params import EvaluationParams
from tumor_ratio.reporting.headline import Headline, headline_metrics
from tumor_ratio.schemas import Approaches, Predictions, RegionTruths
from tumor_ratio.steps import SlideTasks

Parts = Mapping[str, PartitionRef]

REGION_RATIOS = "region ratios of the neighbouring Ki-67 section"
NO_TRUTH = "truth unknown on real slides"
ACCOUNT_OF = "account_of_"


def measure_truths(cohort: Cohort, patches: pd.DataFrame, params: EvaluationParams) -> SlideTasks:
    """True ratios of the phantoms' patches, one task a slide; real slides have no truth."""
    tasks = {}
    for pair in cohort:
        own = regions_of(patches, pair.slide_id)
        if pair.truth_dir is not None and len(own):
            tasks[pair.slide_id] = partial(
                measure_slide_truths,
                pair.truth_dir,
                pair.frame.mpp,
                own,
                params.oracle.surroundings,
            )
    return tasks


def gather_truths(slide_truths: Parts) -> pd.DataFrame:
    """The true ratios of all phantoms in one table, empty for real slides."""
    parts = [ref.load() for ref in slide_truths.values()]
    return pd.concat(parts, ignore_index=True) if parts else RegionTruths.empty()


def gather_references(
    patches: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    region_truths: pd.DataFrame,
    min_nuclei: int,
    params: EvaluationParams,
) -> pd.DataFrame:
    """Measured and, on phantoms, true ratios of the patches."""
    known = sorted(ratio_labels["label_method"].unique())
    if known and params.label_method not in known:
        raise ConfigurationError(
            f"no ratio labels by the method '{params.label_method}'",
            f"set `evaluation.label_method` to one of those measured: {', '.join(known)}",
        )
    labels = ratio_labels[ratio_labels["region_id"].isin(patches["region_id"])]
    return references_table(
        labels, region_truths, label_method=params.label_method, min_nuclei=min_nuclei
    )


def predict_baselines(
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    references: pd.DataFrame,
    patch_features: pd.DataFrame,
    folds: pd.DataFrame,
    params: EvaluationParams,
) -> pd.DataFrame:
    """Constants and ridges, fitted on training slides."""
    return baseline_predictions(
        patches,
        pair_quality,
        references,
        patch_features,
        folds,
        reference="ihc_measured",
        alphas=params.ridge_alphas,
    )


def predict_oracle(
    region_truths: pd.DataFrame,
    references: pd.DataFrame,
    folds: pd.DataFrame,
    params: EvaluationParams,
) -> pd.DataFrame:
    """What the H&E section's truth says of the measured label; empty without truth."""
    return oracle_predictions(
        region_truths,
        references,
        folds,
        reference="ihc_measured",
        groups=params.oracle.groups,
        seed=params.oracle.seed,
    )


def collect_predictions(
    baseline_predictions: pd.DataFrame,
    oracle_predictions: pd.DataFrame,
    region_truths: pd.DataFrame,
    **models: pd.DataFrame | Mapping[str, str] | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The predictions of all approaches in one table, and the list of what should be in it.

    `account_of_<approach>` is what an approach says of itself: `supervision`, and a `reason` where
    it has no answer. A model without predictions stays in the list, so that the report can name it.
    """
    accounts = {
        name.removeprefix(ACCOUNT_OF): account
        for name, account in models.items()
        if name.startswith(ACCOUNT_OF) and isinstance(account, Mapping)
    }
    own = {name: table for name, table in models.items() if not name.startswith(ACCOUNT_OF)}
    tables = [*own.values(), baseline_predictions, oracle_predictions]
    filled = [table for table in tables if isinstance(table, pd.DataFrame) and len(table)]
    predictions = pd.concat(filled, ignore_index=True) if filled else Predictions.empty()
    return predictions, _listed(tuple(own), accounts, region_truths.empty)


def _listed(
    models: tuple[str, ...],
    accounts: Mapping[str, Mapping[str, str]],
    real: bool,
) -> pd.DataFrame:
    """Approach, role, supervision and a known reason against it, in the order of the tables."""
    no_truth = NO_TRUTH if real else ""
    rows = [
        *((name, "model", *_account(accounts.get(name, {}))) for name in models),
        *((name, "baseline", baselines.SUPERVISION[name], "") for name in baselines.BASELINES),
        *((name, oracle.ROLES[name], oracle.SUPERVISION, no_truth) for name in oracle.ORACLES),
    ]
    return pd.DataFrame(rows, columns=["approach", "role", "supervision", "reason"])


def _account(account: Mapping[str, str]) -> tuple[str, str]:
    return account.get("supervision") or REGION_RATIOS, account.get("reason", "")


def compare_approaches(
    predictions: pd.DataFrame,
    listed_approaches: pd.DataFrame,
    references: pd.DataFrame,
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    patch_features: pd.DataFrame,
    folds: pd.DataFrame,
    params: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions beside references on the test regions that all scored approaches predicted.

    Predictions that were made for another split are not compared: their approach is named.
    """
    he_um2 = patch_features.set_index("region_id")["he_nuclei_um2"]
    regions = regions_of_test_slides(patches, pair_quality, folds)
    if params.test_regions_per_slide is not None:
        known = references["tumor_ratio"].notna()
        known &= references["reference"] == params.headline.reference
        labelled = references.loc[known, "region_id"]
        regions = draw_regions(regions, labelled, params.test_regions_per_slide)
    slide_of = patches.set_index("region_id")["slide_id"]
    stale = of_another_split(predictions, slide_of, folds)
    reason = listed_approaches["approach"].map(stale).fillna(listed_approaches["reason"])
    compared, approaches = match_approaches(
        predictions[~predictions["approach"].isin(stale)],
        listed_approaches.assign(reason=reason),
        references,
        regions,
        he_um2,
        protocol=params.headline.protocol,
        reference=params.headline.reference,
        min_coverage=params.min_coverage,
    )
    return compared, Approaches.validate(approaches)


def score_approaches(
    compared_regions: pd.DataFrame, approaches: pd.DataFrame, params: EvaluationParams
) -> pd.DataFrame:
    """Every figure of the comparison, one row each."""
    return score_table(compared_regions, approaches, confidence=params.confidence)


def collect_run_metrics(
    scores: pd.DataFrame, approaches: pd.DataFrame, params: EvaluationParams
) -> dict[str, dict[str, float]]:
    """The headline figures by approach, under the same names for each; undefined ones left out."""
    return headline_metrics(scores, approaches, headline_of(params))


def headline_of(params: EvaluationParams) -> Headline:
    """The primary comparison as the reporting functions take it."""
    return Headline(**params.headline.model_dump())
