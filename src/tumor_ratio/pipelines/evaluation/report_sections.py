"""The sections of the report, each from the tables that it shows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.label_methods import TITLES
from tumor_ratio.metrics.consistency import Consistency, consistency
from tumor_ratio.pipelines.evaluation.params import EvaluationParams
from tumor_ratio.reporting.cohort_tables import failures_table, split_table, tile_table
from tumor_ratio.reporting.definitions import DEFINITIONS
from tumor_ratio.reporting.headline import Headline
from tumor_ratio.reporting.html_report import Block, Section, Table
from tumor_ratio.reporting.interval_coverage import COVERAGE, NOMINAL, coverage_note
from tumor_ratio.reporting.report_tables import mae_by_view
from tumor_ratio.reporting.results_text import interval, number
from tumor_ratio.reporting.undefined import undefined_in_views

ON_THEIR_REGIONS = "on_their_regions"


class LabelPictures(NamedTuple):
    """Data URIs of the pictures of the labels."""

    nuclei: str
    sensitivity: str
    distribution: str


def cohort_section(
    cohort: Cohort,
    patches: pd.DataFrame,
    tile_quality: pd.DataFrame,
    pair_quality: pd.DataFrame,
    folds: pd.DataFrame,
    failures: pd.DataFrame,
    places: Collection[str],
) -> Section:
    """Slides, tiles and failures; `places` are paths that no page may show."""
    kept = pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"]
    paired = sum(pair.he is not None and pair.ihc is not None for pair in cohort)
    phantoms = sum(pair.data_kind == "phantom" for pair in cohort)
    described = (
        f"{len(cohort)} slide pairs from the source “{cohort.source}”: {phantoms} phantoms, "
        f"{len(cohort) - phantoms} real; {paired} with both sections. No case lies in two parts."
    )
    n_splits = len(folds[["protocol", "repeat", "fold"]].drop_duplicates())
    if n_splits > 1:
        described += (
            f" The slides were split {n_splits} times (repeats and folds), and every case was "
            "tested in each repeat; the table and the distribution of labels show the first split."
        )
    blocks = [
        Block(paragraphs=[described], table=split_table(patches, kept, folds)),
        Block(
            "Tiles kept and left out",
            table=tile_table(tile_quality, pair_quality),
            notes=["A tile with several reasons counts under each of them."],
        ),
    ]
    if len(failures):
        blocks.append(
            Block("Slides that a step could not finish", table=failures_table(failures, places))
        )
    else:
        blocks.append(Block("Failures", paragraphs=["Every step finished every slide."]))
    return Section("cohort", "Cohort", blocks)


def ground_truth_section(
    patches: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    region_truths: pd.DataFrame,
    staining_quality: pd.DataFrame,
    pictures: LabelPictures,
    min_nuclei: int,
    params: EvaluationParams,
) -> Section:
    """The labels: what they were made of, how they are distributed, how far others agree."""
    labels = ratio_labels.merge(patches[["region_id", "slide_id"]], on="region_id")
    main = params.label_method
    undefined = int(labels.loc[labels["label_method"] == main, "tumor_ratio"].isna().sum())
    few = (
        f"{undefined} regions hold fewer than {min_nuclei} nuclei on the Ki-67 section: "
        "their ratio is undefined, they train and score nothing."
    )
    return Section(
        "ground-truth",
        "Ground truth",
        [
            Block(
                "Nuclei on Ki-67 tiles",
                picture=pictures.nuclei,
                notes=[
                    "A tile of each of the slides with the lowest, middle and highest ratio, plain "
                    "and with what was found: positive red, negative blue."
                ],
            ),
            _trust_block(staining_quality, pictures.sensitivity),
            Block("Distribution of the measured ratio", picture=pictures.distribution, notes=[few]),
            _agreement_block(labels, region_truths, patches, min_nuclei, params),
        ],
    )


def _trust_block(staining_quality: pd.DataFrame, sensitivity_uri: str) -> Block:
    """The threshold's weight, and the slides whose ratio means little."""
    doubted = staining_quality[~staining_quality["trusted"]]
    said = (
        "Low confidence: " + "; ".join(f"{r.slide_id}: {r.reason}" for r in doubted.itertuples())
        if len(doubted)
        else f"Of {len(staining_quality)} slides, none has stain, nuclei or a threshold that "
        "speaks against its ratio."
    )
    move = (staining_quality["ratio_at_010"] - staining_quality["ratio_at_030"]).median()
    return Block(
        "Had the threshold been another",
        picture=sensitivity_uri,
        notes=[
            f"Between thresholds of 0.1 and 0.3 a slide's ratio moves by {number(move, 3)} in the "
            "median.",
            said,
        ],
    )


def _agreement_block(
    labels: pd.DataFrame,
    region_truths: pd.DataFrame,
    patches: pd.DataFrame,
    min_nuclei: int,
    params: EvaluationParams,
) -> Block:
    """Labels against truths, and other ways to label against both, on the regions they share."""
    ratios = labels.pivot(index="region_id", columns="label_method", values="tumor_ratio")
    truths = region_truths.set_index("region_id")
    for section in ("ihc", "he"):
        enough = truths[f"{section}_n_nuclei"] >= min_nuclei
        ratios = ratios.join(truths[f"{section}_true"].where(enough), how="outer")
    main = params.label_method
    others = {name: title for name, title in TITLES.items() if name != main and name in ratios}
    if others:
        shared = ratios[list(others)].notna().all(axis=1)
        ratios[list(others)] = ratios[list(others)].where(shared)
        ratios[ON_THEIR_REGIONS] = ratios[main].where(shared)
    pairs = [
        ("measured label against the truth of the same section", main, "ihc_true"),
        ("… on the regions of the other methods", ON_THEIR_REGIONS, "ihc_true"),
        *((f"{title} against that truth", name, "ihc_true") for name, title in others.items()),
        *((f"measured label against {title}", main, name) for name, title in others.items()),
        ("true ratios of the two sections (consistency)", "he_true", "ihc_true"),
        ("measured label against the H&E section’s true ratio", main, "he_true"),
    ]
    slides = patches.set_index("region_id")["slide_id"].reindex(ratios.index)
    rows = [
        _agreement_row(title, consistency(ratios[one], ratios[two], slides, params.confidence))
        for title, one, two in pairs
        if one in ratios and two in ratios and ratios[[one, two]].notna().all(axis=1).any()
    ]
    if not rows:
        return Block("Agreement between measurements", ["Only one measurement is at hand."])
    notes = [
        "Circular: the network that ships has learned from phantoms, too.",
        "The difference between the two sections’ true ratios is no estimator’s fault: the "
        "sections cut different nuclei.",
    ]
    if region_truths.empty:
        notes = ["Real slides: the true ratios are unknown, and so is the ceiling."]
    header = (
        "comparison",
        "MAE",
        f"{params.confidence:.0%} interval",
        "mean squared difference",
        "slides",
        "regions",
    )
    return Block("Agreement between measurements", table=Table(header, rows), notes=notes)


def secondary_section(scores: pd.DataFrame, shown: Sequence[str], headline: Headline) -> Section:
    """The primary metric, seen otherwise."""
    other_regions = "admitted" if headline.regions == "selected" else "selected"
    other_output = "calibrated" if headline.output == "raw" else "raw"
    views = {
        f"{other_regions} regions": (headline._replace(regions=other_regions), "region"),
        f"{other_output} output": (headline._replace(output=other_output), "region"),
        "slide ratios": (headline, "slide"),
        **{
            f"against {reference}": (headline._replace(reference=reference), "region")
            for reference in ("ihc_measured", "ihc_true", "he_true")
            if reference != headline.reference
        },
    }
    table = mae_by_view(scores, shown, views)
    intro = (
        "MAE seen otherwise. Secondary: no choice was made by these figures, and none should be."
    )
    if not table.rows or len(table.header) == 1:
        return Section("secondary", "Secondary results", [Block(paragraphs=["None."])])
    return Section(
        "secondary",
        "Secondary results",
        [Block("", [intro], table, notes=undefined_in_views(scores, shown, views))],
    )


def definitions_section() -> Section:
    """How the numbers are defined, and how often their intervals hold."""
    slides = list(next(iter(COVERAGE.values())))
    held = Table(
        (f"{NOMINAL:.0%} interval of", *(f"{count} slides" for count in slides)),
        [(name, *(number(shares[count]) for count in slides)) for name, shares in COVERAGE.items()],
    )
    return Section(
        "definitions",
        "How the numbers are defined",
        [
            Block(table=Table(("name", "definition"), [tuple(row) for row in DEFINITIONS], 2)),
            Block("How often the intervals hold the truth", table=held, notes=[coverage_note()]),
        ],
    )


def _agreement_row(title: str, found: Consistency) -> tuple[str, ...]:
    return (
        title,
        number(found.mae),
        interval(*found.interval),
        number(found.mse, 4),
        str(found.n_slides),
        str(found.n_regions),
    )
