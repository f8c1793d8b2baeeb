"""Nodes of evaluation that write: the results as text, and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tumor_ratio.cohort.manifest import PATH_COLUMNS
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.pipelines.evaluation import figures
from tumor_ratio.pipelines.evaluation import report_sections as sections
from tumor_ratio.pipelines.evaluation.approach_sections import Compared, approach_sections
from tumor_ratio.pipelines.evaluation.nodes import NO_TRUTH, headline_of
from tumor_ratio.pipelines.evaluation.nuclei_examples import example_tiles
from tumor_ratio.pipelines.evaluation.params import EvaluationParams
from tumor_ratio.pipelines.evaluation.provenance import data_section
from tumor_ratio.pipelines.evaluation.results_section import lost_of, results_section
from tumor_ratio.pipelines.evaluation.study_section import study_section
from tumor_ratio.reporting.answer import answer_of, key_figures, with_tests
from tumor_ratio.reporting.figures.nuclei_overlay import draw_nuclei_tiles
from tumor_ratio.reporting.figures.threshold_sensitivity import draw_sensitivity
from tumor_ratio.reporting.headline import headline_table, value_of
from tumor_ratio.reporting.html_report import Report, render_report
from tumor_ratio.reporting.images import figure_photo_uri, figure_uri
from tumor_ratio.reporting.lost_regions import lost_regions_note
from tumor_ratio.reporting.results_text import counted, results_text
from tumor_ratio.reporting.stamps import TRUE_TRANSFORM


def write_results_table(
    cohort: Cohort,
    patches: pd.DataFrame,
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    compared_regions: pd.DataFrame,
    paired_comparisons: pd.DataFrame,
    params: EvaluationParams,
) -> str:
    """The primary comparison in plain words, and as a table."""
    headline = headline_of(params)
    table = headline_table(scores, approaches, headline)
    table = with_tests(table, paired_comparisons, headline)
    synthetic = figures.synthetic_share(cohort)
    return results_text(
        table,
        approaches,
        headline,
        answer=answer_of(table, headline, math.nan, params.confidence, synthetic=synthetic),
        region_um=region_side_um(patches),
        confidence=params.confidence,
        notes=comparison_notes(
            table, compared_regions, approaches, params, synthetic=bool(synthetic)
        ),
        stamps=figures.stamps_of(cohort),
    )


def write_report(
    cohort: Cohort,
    cohort_plan: Mapping[str, Any],
    tiles: pd.DataFrame,
    patches: pd.DataFrame,
    tile_quality: pd.DataFrame,
    pair_quality: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    staining_quality: pd.DataFrame,
    ihc_nuclei: Mapping[str, PartitionRef],
    region_truths: pd.DataFrame,
    references: pd.DataFrame,
    folds: pd.DataFrame,
    compared_regions: pd.DataFrame,
    approaches: pd.DataFrame,
    scores: pd.DataFrame,
    paired_comparisons: pd.DataFrame,
    failures: pd.DataFrame,
    min_nuclei: int,
    params: EvaluationParams,
) -> str:
    """The report as one self-contained page."""
    headline = headline_of(params)
    table = headline_table(scores, approaches, headline)
    table = with_tests(table, paired_comparisons, headline)
    synthetic = figures.synthetic_share(cohort)
    notes = comparison_notes(table, compared_regions, approaches, params, synthetic=bool(synthetic))
    compared = Compared(cohort, patches, ihc_nuclei, compared_regions, approaches, scores, params)
    hashed = {
        "patches": patches,
        "ratio_labels": ratio_labels,
        "folds": folds,
        "references": references,
        "compared_regions": compared_regions,
        "scores": scores,
    }
    label_pictures = sections.LabelPictures(
        nuclei=figure_photo_uri(
            draw_nuclei_tiles(
                example_tiles(cohort, tiles, pair_quality, staining_quality, ihc_nuclei)
            )
        ),
        sensitivity=figure_uri(draw_sensitivity(staining_quality)),
        distribution=figure_uri(figures.labels_of(patches, references, folds)),
    )
    side_um = region_side_um(patches)
    return render_report(
        Report(
            title="Tumor ratio from H&E: evaluation",
            subtitle=_subtitle(cohort, side_um, params),
            stamps=figures.stamps_of(cohort),
            answer=answer_of(table, headline, side_um, params.confidence, synthetic=synthetic),
            key_figures=key_figures(table),
            sections=[
                results_section(
                    compared_regions, scores, approaches, paired_comparisons, notes, params
                ),
                *approach_sections(compared, table),
                sections.cohort_section(
                    cohort,
                    patches,
                    tile_quality,
                    pair_quality,
                    folds,
                    failures,
                    _places(cohort_plan),
                ),
                sections.ground_truth_section(
                    patches,
                    ratio_labels,
                    region_truths,
                    staining_quality,
                    label_pictures,
                    min_nuclei,
                    params,
                ),
                sections.secondary_section(scores, table.index.tolist(), headline),
                study_section(),
                sections.definitions_section(),
                data_section(cohort, cohort_plan, hashed),
            ],
        )
    )


def _places(cohort_plan: Mapping[str, Any]) -> set[str]:
    """Paths of the slides that a manifest names."""
    pairs = cohort_plan.get("pairs", [])
    return {str(pair[name]) for pair in pairs for name in PATH_COLUMNS if pair.get(name)}


def _outside_notes(
    compared_regions: pd.DataFrame, approaches: pd.DataFrame, params: EvaluationParams
) -> list[str]:
    """How many answers of each model are no ratios, where any are not."""
    regions = figures.headline_regions(compared_regions, params)
    output = params.headline.output
    outside = ~regions[output].between(0, 1) & regions[output].notna()
    models = approaches.loc[approaches["role"] == "model", "approach"]
    counts = regions[outside].groupby("approach").size()
    asked = regions.groupby("approach").size()
    return [
        f"{counts[name]} of {asked[name]} answers of {name} are outside [0, 1], and scored as they "
        "are."
        for name in models
        if name in counts
    ]


def comparison_notes(
    table: pd.DataFrame,
    compared_regions: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
    *,
    synthetic: bool,
) -> list[str]:
    """What a reader must know of it: how pairs lie, lost regions, few slides, undefined skill."""
    if table.empty:
        return []
    notes = [TRUE_TRANSFORM] if synthetic else []
    notes += lost_regions_note(lost_of(compared_regions, approaches, params))
    slides = int(table["n_slides"].max())
    if slides < 5:
        notes.append(
            f"only {counted(slides, 'test slide')}: a demonstration; the intervals say little, "
            "and no ranking follows."
        )
    notes += _outside_notes(compared_regions, approaches, params)
    if "oracle" not in table.index:
        notes.append(f"no oracle and no skill: {NO_TRUTH}, or the oracle could not be fitted.")
    elif table["region_skill_mae"].isna().all():
        notes.append("skill is undefined: the interval of the oracle's gain does not lie above 0.")
    if value_of(table, "ridge", "region_gain_mae") <= 0:
        notes.append(
            "the ridge gains nothing over the training median, so no gain is stated in its terms."
        )
    if figures.headline_regions(compared_regions, params)["he_um2"].isna().any():
        notes.append("regions without H&E nuclei carry no weight in their slide's predicted ratio.")
    return notes


def region_side_um(patches: pd.DataFrame) -> float:
    """Side of a region in micrometres (the median, should they differ); NaN without regions."""
    return float((patches["size_px"] * patches["mpp"]).median()) if len(patches) else math.nan


def _subtitle(cohort: Cohort, side_um: float, params: EvaluationParams) -> str:
    primary = params.headline
    side = f"{side_um:.0f} µm" if math.isfinite(side_um) else "no"
    return (
        f"Cohort “{cohort.source}” · {side} regions · protocol {primary.protocol} · primary "
        f"endpoint: slide-macro MAE against {primary.reference}, {primary.regions} regions, "
        f"{primary.output} output"
    )
