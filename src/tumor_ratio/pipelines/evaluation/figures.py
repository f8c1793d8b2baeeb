"""Nodes of evaluation that draw: figures for the catalog, MLflow and kedro-viz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.metrics.agreement import BIN_EDGES, BIN_NAMES, confusion_matrix
from tumor_ratio.metrics.scoring import slide_table
from tumor_ratio.pipelines.evaluation.nodes import headline_of
from tumor_ratio.pipelines.evaluation.params import EvaluationParams
from tumor_ratio.reporting.figures.confusion import draw_confusion
from tumor_ratio.reporting.figures.interactive import interactive_scatter
from tumor_ratio.reporting.figures.label_distribution import draw_label_distribution
from tumor_ratio.reporting.figures.mae_bars import draw_mae_bars
from tumor_ratio.reporting.figures.scatter import draw_scatter
from tumor_ratio.reporting.figures.style import approach_colours
from tumor_ratio.reporting.headline import headline_table
from tumor_ratio.reporting.stamps import CIRCULAR, TrainingData, stamps_for

SHOWN_BESIDE = ("ridge", "oracle")
"""Baseline and ceiling that models are drawn beside."""


def training_data(cohort: Cohort) -> TrainingData:
    """What the models learned from: one phantom in the cohort makes it "phantom"."""
    return "phantom" if any(pair.data_kind == "phantom" for pair in cohort) else "real"


def synthetic_share(cohort: Cohort) -> Literal["", "Some", "All"]:
    """How many of the cohort's slides are phantoms."""
    phantoms = [pair.data_kind == "phantom" for pair in cohort]
    return ("All" if all(phantoms) else "Some") if any(phantoms) else ""


def stamps_of(cohort: Cohort) -> tuple[str, ...]:
    """The sentences that every output of this cohort's evaluation carries."""
    kind = training_data(cohort)
    return (*stamps_for(kind), CIRCULAR) if kind == "phantom" else stamps_for(kind)


def headline_regions(compared_regions: pd.DataFrame, params: EvaluationParams) -> pd.DataFrame:
    """Rows of the primary comparison."""
    rows = admitted_regions(compared_regions, params)
    return rows[rows["selected"].astype(bool)] if params.headline.regions == "selected" else rows


def admitted_regions(compared_regions: pd.DataFrame, params: EvaluationParams) -> pd.DataFrame:
    """Rows of the primary protocol and reference, selected or not."""
    return compared_regions[
        (compared_regions["reference"] == params.headline.reference)
        & (compared_regions["protocol"] == params.headline.protocol)
    ]


def colours_of(approaches: pd.DataFrame) -> dict[str, str]:
    """Colour by approach, in the order of the table."""
    return approach_colours(approaches["approach"].tolist(), approaches["role"].tolist())


def draw_predicted_versus_measured(
    cohort: Cohort,
    compared_regions: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
) -> Figure:
    """Predicted against measured ratio, one panel an approach."""
    colours = models_and(approaches, SHOWN_BESIDE)
    return scatter_of(compared_regions, params, colours, stamps_of(cohort))


def scatter_of(
    compared_regions: pd.DataFrame,
    params: EvaluationParams,
    colours: Mapping[str, str],
    stamps: Sequence[str] = (),
) -> Figure:
    """The same of the approaches in `colours`, for a page that carries the stamps itself."""
    compared, output = headline_regions(compared_regions, params), params.headline.output
    compared = compared[compared["approach"].isin(list(colours))]
    return draw_scatter(
        compared,
        slide_table(compared, output),
        colours,
        output=output,
        bin_edges=BIN_EDGES,
        stamps=stamps,
    )


def draw_confusion_matrices(
    cohort: Cohort,
    compared_regions: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
) -> Figure:
    """Measured against predicted bin, one panel an approach."""
    names = models_and(approaches, ("majority_bin", "ridge"))
    return confusion_of(compared_regions, params, list(names), stamps_of(cohort))


def confusion_of(
    compared_regions: pd.DataFrame,
    params: EvaluationParams,
    names: Sequence[str],
    stamps: Sequence[str] = (),
) -> Figure:
    """The same of the named approaches, for a page that carries the stamps itself."""
    compared, output = headline_regions(compared_regions, params), params.headline.output
    matrices = {}
    for name in names:
        own = compared[(compared["approach"] == name) & compared[output].notna()]
        matrices[name] = confusion_matrix(own[output], own["measured"])
    return draw_confusion(matrices, BIN_NAMES, stamps=stamps)


def draw_mae(
    cohort: Cohort, scores: pd.DataFrame, approaches: pd.DataFrame, params: EvaluationParams
) -> Figure:
    """MAE of every approach with its interval."""
    return mae_of(scores, approaches, params, stamps_of(cohort))


def mae_of(
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
    stamps: Sequence[str] = (),
) -> Figure:
    """The same for a page that carries the stamps itself."""
    table = headline_table(scores, approaches, headline_of(params))
    return draw_mae_bars(table, colours_of(approaches), stamps=stamps)


def draw_labels(
    cohort: Cohort, patches: pd.DataFrame, references: pd.DataFrame, folds: pd.DataFrame
) -> Figure:
    """How the measured ratios are distributed over the parts of the split."""
    return labels_of(patches, references, folds, stamps_of(cohort))


def labels_of(
    patches: pd.DataFrame,
    references: pd.DataFrame,
    folds: pd.DataFrame,
    stamps: Sequence[str] = (),
) -> Figure:
    """The same for a page that carries the stamps itself."""
    measured = references.loc[
        references["reference"] == "ihc_measured", ["region_id", "tumor_ratio"]
    ]
    split = folds.drop_duplicates("slide_id")[["slide_id", "split"]]
    labels = (
        patches[["region_id", "slide_id"]]
        .merge(split, on="slide_id")
        .merge(measured, on="region_id", how="left")
    )
    return draw_label_distribution(labels, BIN_EDGES, stamps=stamps)


def draw_interactive(
    cohort: Cohort,
    compared_regions: pd.DataFrame,
    approaches: pd.DataFrame,
    params: EvaluationParams,
) -> Any:
    """Predicted against measured ratio with the regions' names under the pointer."""
    return interactive_scatter(
        headline_regions(compared_regions, params),
        models_and(approaches, SHOWN_BESIDE),
        output=params.headline.output,
        stamps=stamps_of(cohort),
    )


def models_and(approaches: pd.DataFrame, others: tuple[str, ...]) -> dict[str, str]:
    """Colours of the models and of few others; all approaches would be too many panels."""
    models = set(approaches.loc[approaches["role"] == "model", "approach"])
    colours = colours_of(approaches)
    return {name: colour for name, colour in colours.items() if name in models | set(others)}
