"""Nodes of evaluation that draw agreement: limits, calibration, differences, error by bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.metrics.agreement import BIN_NAMES
from tumor_ratio.metrics.calibration_bins import calibration_bins
from tumor_ratio.metrics.figure_ranges import IN_BIN
from tumor_ratio.metrics.scoring import slide_table
from tumor_ratio.pipelines.evaluation import figures
from tumor_ratio.pipelines.evaluation.nodes import headline_of
from tumor_ratio.pipelines.evaluation.params import EvaluationParams
from tumor_ratio.reporting.comparison_tables import differences, errors_by_bin
from tumor_ratio.reporting.figures.bland_altman import draw_bland_altman
from tumor_ratio.reporting.figures.calibration import draw_calibration
from tumor_ratio.reporting.figures.differences import draw_differences
from tumor_ratio.reporting.figures.error_by_bin import draw_error_by_bin
from tumor_ratio.reporting.headline import headline_table
from tumor_ratio.reporting.html_report import Picture
from tumor_ratio.reporting.images import figure_uri

METRIC_OF_BIN = dict(zip(BIN_NAMES, IN_BIN, strict=True))


def picture_of(figure: Figure, caption: str) -> Picture:
    """A figure for the page."""
    return Picture(figure_uri(figure), caption)


def draw_limits(
    cohort: Cohort,
    compared_regions: pd.DataFrame,
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
) -> Figure:
    """Predicted minus measured ratio with the limits of agreement, one panel an approach."""
    colours = figures.models_and(approaches, figures.SHOWN_BESIDE)
    stamps = figures.stamps_of(cohort)
    return limits_of(compared_regions, scores, approaches, params, colours, stamps)


def limits_of(
    compared_regions: pd.DataFrame,
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
    colours: Mapping[str, str],
    stamps: Sequence[str] = (),
) -> Figure:
    """The same of the approaches in `colours`, for a page that carries the stamps itself."""
    compared, output = figures.headline_regions(compared_regions, params), params.headline.output
    compared = compared[compared["approach"].isin(list(colours))]
    return draw_bland_altman(
        compared,
        slide_table(compared, output),
        headline_table(scores, approaches, headline_of(params)),
        colours,
        output=output,
        stamps=stamps,
    )


def draw_calibration_lines(
    cohort: Cohort,
    compared_regions: pd.DataFrame,
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
) -> Figure:
    """Mean measured against mean predicted ratio, one panel an approach."""
    colours = figures.models_and(approaches, figures.SHOWN_BESIDE)
    stamps = figures.stamps_of(cohort)
    return calibration_of(compared_regions, scores, approaches, params, colours, stamps)


def calibration_of(
    compared_regions: pd.DataFrame,
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
    colours: Mapping[str, str],
    stamps: Sequence[str] = (),
) -> Figure:
    """The same of the approaches in `colours`, for a page that carries the stamps itself."""
    compared = figures.headline_regions(compared_regions, params)
    compared = compared[compared["approach"].isin(list(colours))]
    bins = calibration_bins(compared, params.headline.output, confidence=params.confidence)
    table = headline_table(scores, approaches, headline_of(params))
    return draw_calibration(bins, table, colours, stamps=stamps)


def draw_mae_differences(
    cohort: Cohort,
    paired_comparisons: pd.DataFrame,
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
) -> Figure:
    """Differences in MAE to the constant, to the ridge, and between models."""
    stamps = figures.stamps_of(cohort)
    return differences_of(paired_comparisons, scores, approaches, params, stamps)


def differences_of(
    paired_comparisons: pd.DataFrame,
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
    stamps: Sequence[str] = (),
) -> Figure:
    """The same for a page that carries the stamps itself."""
    table = differences(paired_comparisons, scores, approaches, headline_of(params))
    return draw_differences(table, figures.colours_of(approaches), stamps)


def draw_bin_errors(
    cohort: Cohort, scores: pd.DataFrame, approaches: pd.DataFrame, params: EvaluationParams
) -> Figure:
    """MAE by measured bin."""
    return bin_errors_of(scores, approaches, params, figures.stamps_of(cohort))


def bin_errors_of(
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
    stamps: Sequence[str] = (),
) -> Figure:
    """The same for a page that carries the stamps itself."""
    colours = figures.models_and(
        approaches, ("training_median", "majority_bin", *figures.SHOWN_BESIDE)
    )
    return draw_error_by_bin(
        errors_by_bin(scores, METRIC_OF_BIN, headline_of(params)), colours, stamps
    )
