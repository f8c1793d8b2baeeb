"""Sections of the report, one a model: figures, numbers, best and worst regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.pipelines.evaluation import agreement_figures, figures
from tumor_ratio.pipelines.evaluation.examples import (
    BEST,
    WORST,
    ExampleRegion,
    pick_examples,
    read_examples,
)
from tumor_ratio.pipelines.evaluation.nodes import headline_of
from tumor_ratio.pipelines.evaluation.params import EvaluationParams
from tumor_ratio.reporting.answer import against_median
from tumor_ratio.reporting.approach_tables import (
    bin_table,
    correlation_columns,
    correlation_table,
    metric_columns,
    metric_table,
)
from tumor_ratio.reporting.html_report import Block, Example, Picture, Section
from tumor_ratio.reporting.images import photo_uri
from tumor_ratio.reporting.results_text import interval, number
from tumor_ratio.reporting.undefined import undefined_notes

NEIGHBOURS = (
    "The sections are neighbours: the same tissue, other cells. Outlined: nuclei that the measured "
    "ratio counts, positive red, negative blue. The furthest come from different tiles."
)


class Compared(NamedTuple):
    """What all of these sections are made of."""

    cohort: Cohort
    patches: pd.DataFrame
    ihc_nuclei: Mapping[str, PartitionRef]
    compared_regions: pd.DataFrame
    approaches: pd.DataFrame
    scores: pd.DataFrame
    params: EvaluationParams


def approach_sections(world: Compared, table: pd.DataFrame) -> list[Section]:
    """A section for each scored model.

    Parameters
    ----------
    world : the tables.
    table : what `answer.with_tests` gives.
    """
    models = [str(name) for name in table.index[table["role"] == "model"]]
    return [
        Section(f"approach-{place}", name, _blocks(world, name, table.loc[[name]].iloc[0]))
        for place, name in enumerate(models, 1)
    ]


def _blocks(world: Compared, name: str, row: pd.Series) -> list[Block]:
    headline = headline_of(world.params)
    bounds = interval(row["region_mae_lower"], row["region_mae_upper"])
    said = (
        f"Learned from: {row['supervision']}. MAE {number(row['region_mae'])} {bounds}".rstrip()
        + "; beside always answering the training median: "
        + f"{against_median(row, world.params.confidence)}."
    )
    secondary = (
        "The first row’s first number is the primary endpoint; all other numbers are secondary. "
        f"In brackets: {world.params.confidence:.0%} intervals over slides; {headline.output} "
        "output. Intervals end where their figure’s range does."
    )
    between = "Within: inside slides, whatever lies between them. Between: of slide ratios."
    own = (world.scores, name, headline)
    bins = agreement_figures.METRIC_OF_BIN
    return [
        Block(paragraphs=[said], pictures=_panels(world, name)),
        Block(
            "Agreement",
            table=metric_table(world.scores, name, headline),
            notes=[secondary, *undefined_notes(*own, metric_columns(headline))],
        ),
        Block(
            "Within and between slides",
            table=correlation_table(world.scores, name, headline),
            notes=[between, *undefined_notes(*own, correlation_columns(headline))],
        ),
        Block("Error by measured bin", table=bin_table(world.scores, name, bins, headline)),
        *_example_blocks(world, name),
    ]


def _panels(world: Compared, name: str) -> list[Picture]:
    colours = {name: figures.colours_of(world.approaches)[name]}
    compared, params = world.compared_regions, world.params
    scored = (compared, world.scores, world.approaches, params, colours)
    drawn = {
        "Predicted against measured: dots are regions, rings slides.": figures.scatter_of(
            compared, params, colours
        ),
        "Bland-Altman: bias and 95 % limits of the regions, bands their intervals; rings are "
        "slides.": agreement_figures.limits_of(*scored),
        "Calibration: eighths of the regions by prediction, least squares line of "
        "all.": agreement_figures.calibration_of(*scored),
        "Bins: regions, and their share of the measured bin.": figures.confusion_of(
            compared, params, [name]
        ),
    }
    return [agreement_figures.picture_of(figure, caption) for caption, figure in drawn.items()]


def _example_blocks(world: Compared, name: str) -> list[Block]:
    """The closest and the furthest regions with their pictures."""
    output = world.params.headline.output
    compared = figures.headline_regions(world.compared_regions, world.params)
    tile_of = world.patches.set_index("region_id")["tile_id"]
    chosen = pick_examples(
        compared[compared["approach"] == name], tile_of, output, world.params.examples
    )
    regions = read_examples(world.cohort, world.patches, chosen, output, world.ihc_nuclei)
    groups = {
        group: [_example(region) for region in regions if region.group == group]
        for group in (BEST, WORST)
    }
    shown = [Block(group, examples=own) for group, own in groups.items() if own]
    return [*shown, Block(notes=[NEIGHBOURS])] if shown else []


def _example(region: ExampleRegion) -> Example:
    he, ihc, outlined = (
        "" if rgb is None else photo_uri(rgb) for rgb in (region.he, region.ihc, region.outlined)
    )
    said = f"measured {number(region.measured, 2)} · predicted {number(region.predicted, 2)}"
    return Example(he, ihc, outlined, (said, region.region_id))
