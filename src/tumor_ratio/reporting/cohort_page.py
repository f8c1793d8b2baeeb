"""The page of all predicted slides: side by side, by animal and group, and what failed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tumor_ratio.reporting.html_report import Block, KeyFigure, Picture, Report, Section, Table
from tumor_ratio.reporting.lengths import mm2_words, share_words
from tumor_ratio.reporting.prediction_definitions import definitions_section
from tumor_ratio.reporting.results_text import counted, number
from tumor_ratio.reporting.slide_page import ratio_words
from tumor_ratio.reporting.slide_summary import SlideSummary, read_summary
from tumor_ratio.reporting.tumor_words import tumor_area_words, tumor_notes
from tumor_ratio.reporting.without_paths import without_paths


@dataclass(frozen=True)
class CohortExtras:
    """What a cohort's page shows beside its slides; all of it may be missing.

    Parameters
    ----------
    thumbnails : data URI by slide_id, a small map or the slide itself; never its label.
    pages : address of a slide's own page by slide_id, relative to this page.
    animals, groups : tidy tables; the animal is the unit of a group.
    n_skipped : files of the folder that were no slides to predict.
    """

    thumbnails: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)
    animals: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    n_skipped: int = 0


def cohort_page(
    records: Sequence[Mapping[str, Any]], failures: pd.DataFrame, extras: CohortExtras
) -> Report:
    """Everything the page of a cohort says; `render_report` makes it HTML.

    Parameters
    ----------
    records : summaries of the slides that were predicted, at least one.
    failures : `schemas.Failures`: slide_id, step, message, and a remedy where there is the column.
    extras : thumbnails, links, animals and groups.

    Raises
    ------
    ValueError
        If there is no record, or one lacks a key or a stamp.
    """
    if not records:
        raise ValueError("a cohort's page needs at least one predicted slide")
    summaries = [read_summary(record) for record in records]
    stamps = list(dict.fromkeys(stamp for each in summaries for stamp in each.stamps))
    sections = [
        _slides(summaries, extras),
        _animals(extras),
        _warnings(summaries),
        _failures(failures),
        definitions_section(),
    ]
    return Report(
        title="Predicted slides",
        subtitle="Ki-67 ratio predicted from H&E slides",
        stamps=stamps,
        answer=_answer(summaries, failures, extras.n_skipped),
        key_figures=_key_figures(summaries, failures),
        sections=[section for section in sections if section.blocks],
    )


def _answer(summaries: Sequence[SlideSummary], failures: pd.DataFrame, n_skipped: int) -> list[str]:
    failed = failures["slide_id"].nunique()
    sentence = f"{counted(len(summaries), 'slide')} predicted"
    sentence += f"; {counted(failed, 'slide')} could not be finished." if failed else "."
    warned = sum(bool(each.warnings) for each in summaries)
    if warned:
        sentence += f" The model may not be valid for {warned} of them."
    if n_skipped:
        sentence += (
            f" Passed over: {counted(n_skipped, 'file')} of the folder; skipped_files.csv says why."
        )
    return [sentence]


def _key_figures(summaries: Sequence[SlideSummary], failures: pd.DataFrame) -> list[KeyFigure]:
    ratios = pd.Series([each.tumor_ratio_calibrated for each in summaries]).dropna()
    spread = f"{ratios.min():.2f} to {ratios.max():.2f}" if len(ratios) else "-"
    return [
        KeyFigure("slides", str(len(summaries)), "predicted"),
        KeyFigure("median tumor ratio", number(ratios.median(), 2), f"over slides: {spread}"),
        KeyFigure(
            "with an interval",
            str(sum(each.has_interval for each in summaries)),
            f"of {counted(len(summaries), 'slide')}",
        ),
        KeyFigure("with warnings", str(sum(bool(each.warnings) for each in summaries)), "slides"),
        KeyFigure("not finished", str(failures["slide_id"].nunique()), "slides"),
    ]


def _slides(summaries: Sequence[SlideSummary], extras: CohortExtras) -> Section:
    header = (
        "slide", "tumor ratio (interval)", "Ki-67-rich", "of tissue", "of organ", "foci",
        "stained", "scored", "warnings",
    )  # fmt: skip
    rows = [
        (
            each.slide_id,
            ratio_words(each),
            mm2_words(each.rich_mm2),
            share_words(each.rich_share_of_tissue),
            share_words(each.rich_share_of_organ),
            "-" if each.n_foci is None else str(each.n_foci),
            mm2_words(each.stained_mm2),
            share_words(each.scored_share),
            str(len(each.warnings) or "-"),
        )
        for each in summaries
    ]
    gallery = [
        Picture(
            extras.thumbnails[each.slide_id],
            f"{each.slide_id}: {ratio_words(each)}",
            extras.pages.get(each.slide_id, ""),
        )
        for each in summaries
        if each.slide_id in extras.thumbnails
    ]
    blocks = [Block(table=Table(header, rows)), *_tumor_areas(summaries)]
    if gallery:
        blocks.append(Block("Pictures", pictures=gallery))
    return Section("slides", "Slides", blocks)


def _tumor_areas(summaries: Sequence[SlideSummary]) -> list[Block]:
    """A table of tumor areas, where any slide has one."""
    known = [each for each in summaries if each.has_tumor_area]
    if not known:
        return []
    header = ("slide", "tumor area", "rests on", "but", "of the area of nuclei")
    rows = [
        (
            each.slide_id,
            tumor_area_words(each),
            each.tumor_area_basis,
            each.tumor_area_reason or "-",
            share_words(each.tumor_nuclear_share),
        )
        for each in known
    ]
    notes = list(dict.fromkeys(note for each in known for note in tumor_notes(each)))
    return [Block("Tumor area", table=Table(header, rows, 4), notes=notes)]


def _animals(extras: CohortExtras) -> Section:
    blocks = [
        Block(title, table=_plain(table))
        for title, table in (("Groups", extras.groups), ("Animals", extras.animals))
        if table is not None and len(table)
    ]
    return Section("animals", "Animals and groups", blocks)


def _warnings(summaries: Sequence[SlideSummary]) -> Section:
    rows = [(each.slide_id, warning) for each in summaries for warning in each.warnings]
    withheld = [
        (each.slide_id, f"interval withheld: {each.interval}")
        for each in summaries
        if each.interval and not each.has_interval
    ]
    if not rows and not withheld:
        return Section("warnings", "Warnings", [])
    note = "No warning would not prove that the model is valid for a slide."
    table = Table(("slide", "warning"), [*rows, *withheld], 2)
    return Section("warnings", "Warnings", [Block(table=table, notes=[note])])


def _failures(failures: pd.DataFrame) -> Section:
    if failures.empty:
        return Section("failures", "Not finished", [])
    named = "remedy" in failures.columns
    rows = [
        (
            str(row["slide_id"]),
            str(row["step"]),
            without_paths(str(row["message"])),
            *((without_paths(str(row["remedy"] or "-")),) if named else ()),
        )
        for row in failures.to_dict("records")
    ]
    told = ("what happened", "what to do") if named else ("what happened and what to do",)
    header = ("slide", "step", *told)
    return Section("failures", "Not finished", [Block(table=Table(header, rows, len(header)))])


def _plain(table: pd.DataFrame) -> Table:
    """A table as it is; leading columns of text to the left, numbers with three digits."""
    texts = [not pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    leading = texts.index(False) if False in texts else len(texts)
    rows = [
        tuple(_cell(value) for value in row) for row in table.itertuples(index=False, name=None)
    ]
    header = tuple(str(name).replace("_", " ") for name in table.columns)
    return Table(header, rows, max(1, leading))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if math.isfinite(value) else "-"
    return "-" if value is None or value is pd.NA else str(value)
