"""The page of one predicted slide: how high, where, how sure, and what was left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tumor_ratio.reporting.figures.rich_area_curve import draw_rich_area
from tumor_ratio.reporting.focus_outline import FocusOutline
from tumor_ratio.reporting.html_report import Block, KeyFigure, Picture, Report, Section, Table
from tumor_ratio.reporting.images import figure_uri
from tumor_ratio.reporting.lengths import area_words, length_words, mm2_words, share_words
from tumor_ratio.reporting.map_field import IN_WORDS
from tumor_ratio.reporting.prediction_definitions import definitions_section
from tumor_ratio.reporting.results_text import number
from tumor_ratio.reporting.slide_summary import SlideSummary, read_summary
from tumor_ratio.reporting.tumor_words import tumor_area_words, tumor_block

MOST_FOCI: Final = 20
"""Rows of the table; the others are in foci.csv and in the GeoJSON file."""


@dataclass(frozen=True)
class SlidePictures:
    """Pictures of a slide as data URIs; empty ones are left out. None may show its label.

    Parameters
    ----------
    heat_map, interval_map : from `draw_map`.
    thumbnail : the slide itself, small.
    close_ups : the largest foci on H&E.
    """

    heat_map: str = ""
    interval_map: str = ""
    thumbnail: str = ""
    close_ups: Sequence[Picture] = ()


def slide_page(record: Mapping[str, Any], pictures: SlidePictures) -> Report:
    """Everything the page of a slide says; `render_report` makes it HTML.

    Parameters
    ----------
    record : from `summarise_slide`.
    pictures : of the slide.

    Raises
    ------
    ValueError
        If the record lacks a key, or carries no stamp.
    """
    summary = read_summary(record)
    sections = [
        _where(pictures),
        _areas(summary),
        _rich_area(summary),
        _foci(summary, pictures.close_ups),
        _model(summary),
        definitions_section(),
    ]
    if summary.warnings:
        sections.insert(0, _warnings(summary))
    return Report(
        title=summary.slide_id,
        subtitle="Ki-67 ratio predicted from an H&E slide",
        stamps=summary.stamps,
        answer=_answer(summary),
        key_figures=_key_figures(summary),
        sections=sections,
    )


def ratio_words(summary: SlideSummary) -> str:
    """The calibrated ratio with its interval, or with the word that it has none."""
    value = summary.tumor_ratio_calibrated
    if not math.isfinite(value):
        return "no ratio"
    if summary.has_interval:
        return f"{value:.2f} ({summary.lower:.2f} to {summary.upper:.2f})"
    return f"{value:.2f} (no interval)"


def _answer(summary: SlideSummary) -> list[str]:
    value = summary.tumor_ratio_calibrated
    if not math.isfinite(value):
        return ["This slide has no ratio: no tissue of it could be scored."]
    sentence = f"Predicted tumor ratio {value:.2f}"
    if summary.has_interval:
        sentence += f", interval {summary.lower:.2f} to {summary.upper:.2f}."
    else:
        sentence += f". Interval withheld: {summary.interval or 'no reason given'}."
    sentences = [sentence]
    if summary.n_foci is None:
        sentences.append(_no_tau(summary))
    elif math.isfinite(summary.rich_mm2):
        sentences.append(
            f"{summary.rich_mm2:.3g} mm² of stained tissue are Ki-67-rich (tau "
            f"{number(summary.tau, 2)}), {_counted(summary.n_foci)}. This is no tumor area."
        )
    if summary.has_tumor_area:
        sentences.append(f"Tumor area: {tumor_area_words(summary)}.")
    return sentences


def _no_tau(summary: SlideSummary) -> str:
    reason = summary.tau_reason.rstrip(".") or "no reason given"
    if math.isfinite(summary.tau):
        reason = "no tissue of it could be scored"
    return f"No Ki-67-rich area and no foci: {reason}."


def _counted(n_foci: int) -> str:
    """Foci in words; single rich cells make an area and no focus."""
    if n_foci == 0:
        return "in no focus large enough to report"
    return "in and around one focus" if n_foci == 1 else f"in and around {n_foci} foci"


def _key_figures(summary: SlideSummary) -> list[KeyFigure]:
    has_tau = math.isfinite(summary.tau)
    tau = f"tau {number(summary.tau, 2)}" if has_tau else "no tau"
    bounds = f"{summary.lower:.2f} to {summary.upper:.2f}"
    foci = f"{number(summary.foci_per_mm2, 2)} per mm² scored"
    if not has_tau:
        foci = "no tau"
    elif summary.n_foci is None:
        foci = "nothing scored"
    elif math.isfinite(summary.smallest_detectable_um):
        foci += f"; from {length_words(round(summary.smallest_detectable_um))} on"
    rich, tissue = (
        "is Ki-67-rich" if has_tau else "no tau",
        f"of {mm2_words(summary.stained_mm2)} stained tissue",
    )
    return [
        KeyFigure(
            "tumor ratio, calibrated",
            number(summary.tumor_ratio_calibrated, 2),
            bounds if summary.has_interval else "interval withheld",
        ),
        KeyFigure(
            "Ki-67-rich area, mm²",
            f"{summary.rich_mm2:.3g}" if math.isfinite(summary.rich_mm2) else "-",
            tau,
        ),
        KeyFigure("of the scored tissue", share_words(summary.rich_share_of_tissue), rich),
        KeyFigure("of the organ outline", share_words(summary.rich_share_of_organ), rich),
        KeyFigure("Ki-67-rich foci", "-" if summary.n_foci is None else str(summary.n_foci), foci),
        KeyFigure("scored", share_words(summary.scored_share), tissue),
    ]


def _warnings(summary: SlideSummary) -> Section:
    note = "No warning would not prove that the model is valid for a slide."
    return Section(
        "warnings",
        "This model may not be valid for this slide",
        [Block(warnings=list(summary.warnings), notes=[note])],
    )


def _where(pictures: SlidePictures) -> Section:
    blocks = [
        Block(title, picture=uri)
        for title, uri in (
            ("Predicted ratio", pictures.heat_map),
            ("Where it is sure, and where not", pictures.interval_map),
        )
        if uri
    ]
    if pictures.thumbnail:
        blocks.append(Block("The slide", pictures=[Picture(pictures.thumbnail, "H&E")]))
    return Section("where", "Where", blocks or [Block(paragraphs=["No map was drawn."])])


def _areas(summary: SlideSummary) -> Section:
    areas = [
        ("organ outline, air spaces included", mm2_words(summary.organ_mm2)),
        ("stained tissue", mm2_words(summary.stained_mm2)),
        ("stained tissue with a ratio", mm2_words(summary.scored_mm2)),
        ("regions with a ratio", str(summary.n_regions)),
        ("regions left out", str(summary.n_left_out)),
    ]
    left_out = [
        (IN_WORDS.get(reason, reason), share_words(share))
        for reason, share in sorted(summary.left_out.items(), key=lambda item: -item[1])
        if share > 0
    ]
    blocks = [Block(table=Table(("", "of this section"), areas), notes=_by_median(summary))]
    if left_out:
        header = ("left out because", "share of all tissue")
        blocks.append(
            Block(
                "Left out",
                table=Table(header, left_out),
                notes=[
                    "All tissue: stained, folded or under pen. What was left out has no ratio; it "
                    "counts nowhere as 0."
                ],
            )
        )
    else:
        blocks.append(Block(paragraphs=["No tissue was left out."]))
    return Section("areas", "What was measured", blocks)


def _by_median(summary: SlideSummary) -> list[str]:
    """How many ratios say nothing of their own region; no sentence where there are none."""
    if not summary.n_answered_by_median:
        return []
    return [
        "Answered with the training slides' median, since too few nuclei show: "
        f"{summary.n_answered_by_median} of {summary.n_regions} regions with a ratio."
    ]


def _rich_area(summary: SlideSummary) -> Section:
    figure = figure_uri(draw_rich_area(summary.curve, summary.tau)) if summary.curve else ""
    notes = [
        f"{name}: {reason}"
        for name, reason in (("Tau", summary.tau_reason), ("Scale of areas", summary.area_reason))
        if reason
    ]
    blocks = [tumor_block(summary)]
    if figure or notes:
        blocks.append(Block("Area for every tau" if figure else "", picture=figure, notes=notes))
    return Section("rich-area", "Ki-67-rich area", blocks)


def _foci(summary: SlideSummary, close_ups: Sequence[Picture]) -> Section:
    foci = summary.foci
    if summary.n_foci is None:
        return Section("foci", "Foci", [Block(paragraphs=[_no_tau(summary)])])
    if not foci:
        return Section("foci", "Foci", [Block(paragraphs=["No focus was found."])])
    rows = [
        (
            str(focus.focus_id),
            area_words(focus.area_um2),
            f"{focus.equivalent_diameter_um:.0f} µm",
            number(focus.mean_ratio, 2),
            number(focus.max_ratio, 2),
            _flags(focus),
        )
        for focus in foci[:MOST_FOCI]
    ]
    header = ("focus", "area", "diameter", "mean ratio", "highest", "may go on")
    notes = [
        "Diameter of the disc of the same area. Profiles in one section: do not add them over "
        "sections."
    ]
    if len(foci) > MOST_FOCI:
        notes.append(f"The {MOST_FOCI} largest of {len(foci)} foci.")
    blocks = [Block(table=Table(header, rows), notes=notes)]
    if close_ups:
        blocks.append(Block("The largest on H&E", pictures=close_ups))
    return Section("foci", "Foci", blocks)


def _flags(focus: FocusOutline) -> str:
    flags = [
        words
        for is_so, words in (
            (focus.touches_excluded, "into tissue left out"),
            (focus.touches_edge, "beyond the scan"),
        )
        if is_so
    ]
    return ", ".join(flags) or "-"


def _model(summary: SlideSummary) -> Section:
    learned = {"phantom": "synthetic slides (phantoms)", "real": "real slides"}
    rows = [
        ("approach", summary.approach),
        ("model", summary.model),
        ("learned from", learned.get(summary.training_data, summary.training_data)),
        ("side of a region, of a cell", f"{summary.region_um:.4g} µm, {summary.cell_um:.4g} µm"),
        ("tumor ratio, raw", number(summary.tumor_ratio)),
        ("tumor ratio, calibrated", number(summary.tumor_ratio_calibrated)),
    ]
    return Section("model", "Model", [Block(table=Table(("", "value"), rows, 2))])
