"""The tumor's area in words; apart from the pages that say it."""

from __future__ import annotations

import math
from typing import Final

from tumor_ratio.reporting.html_report import Block
from tumor_ratio.reporting.lengths import mm2_words, share_words
from tumor_ratio.reporting.slide_summary import SlideSummary

ASSUMED: Final = (
    "Assumed: within a cell, tumor has as much area of nuclei per mm² as the tissue around it; "
    "otherwise the area is off by as much."
)
ON_TOP: Final = (
    "The range is that of the given labelling only: the prediction’s own error comes on top."
)


def tumor_area_words(summary: SlideSummary) -> str:
    """The area with its range where labellings are given; a dash without an area."""
    area = mm2_words(summary.tumor_area_mm2)
    if not math.isfinite(summary.tumor_area_lower_mm2):
        return area
    lower, upper = summary.tumor_area_lower_mm2, summary.tumor_area_upper_mm2
    return f"{area} ({lower:.3g} to {upper:.3g} for the given labelling)"


def tumor_block(summary: SlideSummary) -> Block:
    """The area, what it rests on and what speaks against it; or why there is none."""
    reason = _sentence(summary.tumor_area_reason)
    if not summary.has_tumor_area:
        return Block(paragraphs=[f"Tumor area: not given. {reason or 'No reason given.'}"])
    return Block(
        warnings=[reason] if reason else [],
        paragraphs=[
            f"Tumor area: {tumor_area_words(summary)}. {_sentence(summary.tumor_area_basis)}",
            f"Of the area of nuclei, {share_words(summary.tumor_nuclear_share)} is tumor.",
        ],
        notes=tumor_notes(summary),
    )


def tumor_notes(summary: SlideSummary) -> list[str]:
    """What must be known of the area; empty without one."""
    if not summary.has_tumor_area:
        return []
    ranged = math.isfinite(summary.tumor_area_lower_mm2)
    return [*([ON_TOP] if ranged else []), ASSUMED]


def _sentence(text: str) -> str:
    text = text.rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if text else ""
