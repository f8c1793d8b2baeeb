"""How the numbers of a predicted slide are defined, in the reader's words."""

from __future__ import annotations

from typing import Final

from tumor_ratio.reporting.html_report import Block, Section, Table

PREDICTION_DEFINITIONS: Final = (
    (
        "tumor ratio",
        "Area of Ki-67-positive nuclei over the area of all nuclei, as the neighbouring Ki-67 "
        "section would show it; estimated here from H&E alone. The slide’s ratio is the mean of "
        "its regions weighted by nuclear area. It is not the tumor’s share of the tissue.",
    ),
    (
        "raw, calibrated",
        "Calibrated ratios went through a monotone map fitted on validation slides; raw ones did "
        "not. Maps show calibrated ratios.",
    ),
    (
        "interval",
        "Where the measured ratio of a neighbouring section is expected to lie in nine of ten new "
        "slides like the calibration slides (split conformal prediction over slides). It says "
        "nothing of slides that differ from them.",
    ),
    (
        "stained tissue, organ outline, scored",
        "Stained tissue leaves out air spaces and holes; the organ outline encloses them. "
        "Scored is the stained tissue that has a ratio; the rest is listed by reason and never "
        "counts as 0.",
    ),
    (
        "Ki-67-rich area, tau",
        "Stained tissue in cells whose ratio is at least tau. Tau was chosen on training slides; "
        "the curve shows the area for every other choice. Areas and foci are measured on ratios "
        "mapped so that as much area lies over a threshold as measured ratios have there, since a "
        "network’s answers are drawn to the mean: maps can show less than tau within a focus. "
        "Shares are of scored tissue, and of the organ outline without what was left out.",
    ),
    (
        "Ki-67-rich focus",
        "Rich cells that touch by a side or a corner, with small gaps closed and holes filled, "
        "from a smallest area on. A focus is a profile in one section: one nodule may show on "
        "several. It may be normal proliferating tissue, such as a germinal centre.",
    ),
    (
        "smallest detectable diameter",
        "Diameter of the disc with the smallest focus’ area; nothing smaller is ever reported.",
    ),
    (
        "may go on",
        "The focus borders on tissue that could not be scored, or on the scan’s edge: its area is "
        "a lower bound.",
    ),
)


def definitions_section() -> Section:
    """The definitions, as the last section of a page."""
    table = Table(("", "what it means"), PREDICTION_DEFINITIONS, 2)
    return Section("definitions", "Definitions", [Block(table=table)])
