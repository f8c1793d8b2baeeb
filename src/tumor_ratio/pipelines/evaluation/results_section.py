"""The section of the report with the comparison itself."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tumor_ratio.metrics.sign_flips import smallest_p
from tumor_ratio.pipelines.evaluation import agreement_figures, figures
from tumor_ratio.pipelines.evaluation.nodes import headline_of
from tumor_ratio.pipelines.evaluation.params import EvaluationParams
from tumor_ratio.reporting.answer import with_tests
from tumor_ratio.reporting.comparison_tables import differences
from tumor_ratio.reporting.headline import headline_table, pick
from tumor_ratio.reporting.html_report import Block, Section
from tumor_ratio.reporting.images import figure_uri
from tumor_ratio.reporting.interval_coverage import coverage_note
from tumor_ratio.reporting.lost_regions import lost_regions, lost_regions_table
from tumor_ratio.reporting.report_tables import not_run_table, paired_table, primary_table
from tumor_ratio.reporting.results_text import not_scored, standing_notes

PRIMARY = (
    "The primary endpoint, fixed before any model was scored, is the MAE in the column marked so. "
    "All other columns and everything below are secondary."
)
SAME = "Models, baselines and oracle are compared on the same regions."


def results_section(
    compared_regions: pd.DataFrame,
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    paired_comparisons: pd.DataFrame,
    notes: Sequence[str],
    params: EvaluationParams,
) -> Section:
    """Primary table, what was not scored, differences in pairs, and where the error comes from."""
    headline = headline_of(params)
    table = headline_table(scores, approaches, headline)
    table = with_tests(table, paired_comparisons, headline)
    missing = not_scored(approaches)
    named = [f"{name} was not scored: {reason}." for name, reason in missing]
    said = (
        SAME,
        *named,
        *standing_notes(params.confidence, "against median"),
        coverage_note(),
        *notes,
    )
    if table.empty:
        blocks = [Block(paragraphs=["No approach could be compared."], notes=said)]
    else:
        blocks = [Block(paragraphs=[PRIMARY], table=primary_table(table), notes=said)]
    if missing:
        blocks.append(Block("What was not scored, and why", table=not_run_table(approaches)))
    lost = lost_of(compared_regions, approaches, params)
    if len(lost):
        blocks.append(Block("Regions lost to the comparison", table=lost_regions_table(lost)))
    if not table.empty:
        blocks += [
            _mae_block(scores, approaches, params),
            _pairs_block(paired_comparisons, scores, approaches, params),
            _bins_block(scores, approaches, params),
            _beside_block(compared_regions, approaches, params),
        ]
    return Section("results", "Results", blocks)


def lost_of(
    compared_regions: pd.DataFrame, approaches: pd.DataFrame, params: EvaluationParams
) -> pd.DataFrame:
    """Labelled test regions of the primary comparison that it loses, by approach."""
    each = figures.admitted_regions(compared_regions, params).groupby("approach").size()
    return lost_regions(approaches, int(each.max()) if len(each) else 0)


def _mae_block(scores: pd.DataFrame, approaches: pd.DataFrame, params: EvaluationParams) -> Block:
    note = (
        f"Whiskers: {params.confidence:.0%} Student’s t interval over slides. Dashed: training "
        "median (grey) and oracle (green)."
    )
    picture = figure_uri(figures.mae_of(scores, approaches, params))
    return Block("MAE beside baselines and oracle", picture=picture, notes=[note])


def _pairs_block(
    paired_comparisons: pd.DataFrame,
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
) -> Block:
    headline = headline_of(params)
    own = pick(paired_comparisons, headline)
    picture = agreement_figures.differences_of(paired_comparisons, scores, approaches, params)
    cases = int(own["n_cases"].max()) if len(own) else 0
    notes = [
        "Differences are paired by case (by slide, where each slide is a case of its own). "
        f"Intervals are {params.confidence:.0%} Student’s t and not adjusted for the number of "
        "pairs; p is of a sign-flip test, p (Holm) is adjusted for all pairs of models, constant "
        "and ridge. Ridges and oracle against the constant were not tested.",
    ]
    if cases > 1:
        notes.append(f"{cases} cases cannot give a p below {smallest_p(cases):.2g}.")
    return Block(
        "Differences between approaches (secondary)",
        table=paired_table(differences(paired_comparisons, scores, approaches, headline), own),
        picture=figure_uri(picture),
        notes=notes,
    )


def _bins_block(scores: pd.DataFrame, approaches: pd.DataFrame, params: EvaluationParams) -> Block:
    note = (
        "Most regions lie in the lowest bin and decide the MAE; whether an approach sees burden "
        "shows in the upper bins, beside the constants."
    )
    picture = figure_uri(agreement_figures.bin_errors_of(scores, approaches, params))
    return Block("Error by measured bin (secondary)", picture=picture, notes=[note])


def _beside_block(
    compared_regions: pd.DataFrame, approaches: pd.DataFrame, params: EvaluationParams
) -> Block:
    """What baselines and ceiling look like in the figures that each model has further down."""
    beside = {
        name: colour
        for name, colour in figures.colours_of(approaches).items()
        if name in figures.SHOWN_BESIDE
    }
    pictures = [
        (
            figures.scatter_of(compared_regions, params, beside),
            "Ridge and oracle: predicted against measured.",
        ),
        (
            figures.confusion_of(compared_regions, params, ["majority_bin", "ridge"]),
            "Bins: majority_bin always gives the same answer; what a bin accuracy is worth.",
        ),
    ]
    return Block(
        "Baselines and ceiling",
        pictures=[agreement_figures.picture_of(figure, note) for figure, note in pictures],
    )
