"""The section of the report that says of which data and by which software it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.fingerprint import table_hash
from tumor_ratio.reporting.html_report import Block, Section, Table
from tumor_ratio.reporting.software import software_versions

SHOWN_DIGITS = 12
STATED = ("species", "organ", "stain", "marker", "marker_meaning")


def data_section(
    cohort: Cohort, cohort_plan: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]
) -> Section:
    """Cohort, content hashes of the tables, versions of the packages.

    Parameters
    ----------
    cohort : as loaded.
    cohort_plan : what was asked for; of phantoms, family and seed are shown, never a path.
    tables : by name.
    """
    rows = [
        (name, f"{len(table)}", table_hash(table)[:SHOWN_DIGITS]) for name, table in tables.items()
    ]
    versions = list(software_versions().items())
    note = (
        "Content: the first digits of the SHA-256 of a table’s columns and values, as read for "
        "this page; equal digits mean equal data."
    )
    return Section(
        "data",
        "Data and software",
        [
            Block("Cohort", table=Table(("", "value"), _cohort_rows(cohort, cohort_plan), 2)),
            Block("Tables", table=Table(("table", "rows", "content"), rows), notes=[note]),
            Block("Software", table=Table(("package", "version"), versions)),
        ],
    )


def _cohort_rows(cohort: Cohort, plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    planned: Sequence[Mapping[str, Any]] = plan.get("pairs", ())
    rows = [
        ("source", cohort.source),
        ("slide pairs", f"{len(cohort)} of {len(planned)} planned"),
        ("cases", str(len({pair.case_id for pair in cohort}))),
    ]
    if cohort.source == "phantom":
        rows += [
            (name, _distinct(pair.get(name) for pair in planned)) for name in ("family", "seed")
        ]
    rows.append(("µm per pixel, level 0", _distinct(f"{pair.frame.mpp:g}" for pair in cohort)))
    rows += [
        (name.replace("_", " "), _distinct(pair.meta.get(name) for pair in cohort))
        for name in STATED
    ]
    return rows


def _distinct(values: Any) -> str:
    """What occurs, in order; "not declared" for what nobody knows."""
    known = list(dict.fromkeys("not declared" if each is None else str(each) for each in values))
    most = 6
    left = f" and {len(known) - most} more" if len(known) > most else ""
    return (", ".join(known[:most]) + left) or "-"
