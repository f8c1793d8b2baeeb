"""The tables of all slides together; every row carries what must not be separated from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.region_grid import REASONS
from tumor_ratio.inference.summary import WEIGHT_SOURCE, with_intervals
from tumor_ratio.inference.tumor_area import TUMOR_NUMBERS, TUMOR_TEXTS
from tumor_ratio.metrics.animals import animals_table, groups_table
from tumor_ratio.reporting.stamps import stamps_for

Records = Mapping[str, Mapping[str, Any]]
"""Summaries of slides, by slide id; see `summarise_slide`."""

NUMBERS = (
    "n_regions",
    "n_left_out",
    "n_answered_by_median",
    "organ_mm2",
    "stained_mm2",
    "scored_mm2",
    "nuclear_mm2",
    "tumor_ratio",
    "tumor_ratio_calibrated",
    "lower",
    "upper",
    "tau",
    "ki67_rich_area_mm2",
    "ki67_rich_share_of_tissue",
    "ki67_rich_share_of_organ",
    "smallest_detectable_um",
)
KNOWN = ("animal_id", "group", "block", "section_index", "section_spacing_um")
FOCUS = (
    "focus_id",
    "n_cells",
    "n_without_ratio",
    "area_um2",
    "equivalent_diameter_um",
    "x_px",
    "y_px",
    "mean_ratio",
    "max_ratio",
    "touches_excluded",
    "touches_edge",
)


def region_table(
    regions: Mapping[str, pd.DataFrame], records: Records, calibration: NewSlideCalibration | None
) -> pd.DataFrame:
    """Regions of all slides, with their intervals."""
    bounded = [
        with_intervals(part, calibration, records[slide_id]["interval"])
        for slide_id, part in regions.items()
    ]
    return stamped(pd.concat(bounded, ignore_index=True), records)


def slide_table(records: Records) -> pd.DataFrame:
    """A row a slide."""
    rows = [
        {
            "slide_id": slide_id,
            **{name: (record.get("meta") or {}).get(name) for name in KNOWN},
            **{name: record[name] for name in NUMBERS},
            "n_foci": record["ki67_rich_foci"]["number"],
            "foci_per_mm2": record["ki67_rich_foci"]["per_mm2"],
            "focus_mm2": record["ki67_rich_foci"]["area_mm2"],
            **{f"left_out_{name}": share for name, share in record["left_out"].items()},
            "tau_reason": record["tau_reason"],
            "area_reason": record["area_reason"],
            **{name: record[name] for name in (*TUMOR_NUMBERS, *TUMOR_TEXTS)},
        }
        for slide_id, record in records.items()
    ]
    numbers = [*NUMBERS, "n_foci", "foci_per_mm2", "focus_mm2", *TUMOR_NUMBERS]
    return stamped(pd.DataFrame(rows).astype(dict.fromkeys(numbers, "float64")), records)


def empty_record(slide_id: str, card: Mapping[str, Any]) -> dict[str, Any]:
    """What `slide_table` needs of a slide without a result, which is stamped all the same.

    Parameters
    ----------
    slide_id : the slide.
    card : of the model that was asked.
    """
    return {
        **dict.fromkeys(NUMBERS, math.nan),
        "slide_id": slide_id,
        "ki67_rich_foci": dict.fromkeys(("number", "per_mm2", "area_mm2"), math.nan),
        "left_out": dict.fromkeys(REASONS, math.nan),
        **dict.fromkeys(("interval", "tau_reason", "area_reason", *TUMOR_TEXTS), ""),
        **dict.fromkeys(TUMOR_NUMBERS, math.nan),
        "domain_warnings": [],
        "approach": card["approach"],
        "model": str(card.get("fingerprint", ""))[:16],
        "training_data": card["training_data"],
        "stamps": list(stamps_for(card["training_data"])),
    }


def focus_table(records: Records) -> pd.DataFrame:
    """A row a focus; typed columns even where there is none."""
    rows = [
        {"slide_id": slide_id, **{name: focus[name] for name in FOCUS}}
        for slide_id, record in records.items()
        for focus in record["ki67_rich_foci"]["foci"]
    ]
    return stamped(pd.DataFrame(rows, columns=["slide_id", *FOCUS]), records)


def curve_table(records: Records) -> pd.DataFrame:
    """Rich area over tau, a row a slide and tau."""
    rows = [
        {"slide_id": slide_id, "tau": point["tau"], "ki67_rich_area_mm2": point["mm2"]}
        for slide_id, record in records.items()
        for point in record["curve"]
    ]
    columns = ["slide_id", "tau", "ki67_rich_area_mm2"]
    return stamped(pd.DataFrame(rows, columns=columns), records)


def animal_tables(
    slides: pd.DataFrame, unfinished: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row an animal, and a row a group and measure.

    Parameters
    ----------
    slides : from `slide_table`. A slide without an animal is one of its own; animals without a
        group are one group, without a name.
    unfinished : what is known, by slide id, of slides that were asked for and have no summary. One
        with an animal or a group is a section without areas: its animal's sums are undefined, not
        smaller.
    """
    lacking = [
        {"slide_id": slide_id, **{name: meta.get(name) for name in KNOWN}}
        for slide_id, meta in (unfinished or {}).items()
        if meta.get("animal_id") or meta.get("group")
    ]
    sections = slides.rename(columns={"ki67_rich_area_mm2": "rich_mm2"})
    if lacking:
        sections = pd.concat([sections, pd.DataFrame(lacking)], ignore_index=True)
    sections = sections.assign(group=sections["group"].fillna(""))
    animals = animals_table(sections)
    said = {
        name: "; ".join(sorted({text for text in slides[name] if text}))
        for name in ("approach", "model", "training_data", "domain_warning", "stamp")
    }
    return animals.assign(**said), groups_table(animals).assign(**said)


def stamped(table: pd.DataFrame, records: Records) -> pd.DataFrame:
    """The table with why its slide's intervals are withheld, and approach, model, training data,
    warnings and stamps of each row.
    """
    columns = {
        "interval": lambda record: record["interval"],
        "weight_source": lambda _: WEIGHT_SOURCE,
        "approach": lambda record: record["approach"],
        "model": lambda record: record["model"],
        "training_data": lambda record: record["training_data"],
        "domain_warning": lambda record: "; ".join(record["domain_warnings"]),
        "stamp": lambda record: " ".join(record["stamps"]),
    }
    return table.assign(
        **{
            name: table["slide_id"].map({key: value(record) for key, record in records.items()})
            for name, value in columns.items()
        }
    )
