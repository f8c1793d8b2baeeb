"""A CSV of the user's own slides, checked whole before anything runs."""

from __future__ import annotations

import difflib
import logging
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tumor_ratio.cohort.csv_rows import read_csv_rows
from tumor_ratio.cohort.pair import META_FIELDS, MetaValue
from tumor_ratio.cohort.written_cells import is_missing, name_key, place_written
from tumor_ratio.errors import ManifestError
from tumor_ratio.imaging.slide_checks import MAX_MPP, MIN_MPP
from tumor_ratio.params import Params

REQUIRED_COLUMNS = ("slide_id",)
PATH_COLUMNS = ("he_path", "ihc_path")
MPP_COLUMNS = ("he_mpp", "ihc_mpp")
NUMBER_COLUMNS = ("section_index", "section_spacing_um", "thickness_um")
COLUMNS = ("slide_id", "case_id", *PATH_COLUMNS, *MPP_COLUMNS, *META_FIELDS)
REMEDY = "set cohort.manifest.path (for new slides prediction.manifest) to your list of slides"
MARKER_MEANINGS = ("proliferation", "tumor")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

logger = logging.getLogger(__name__)


class ManifestParams(Params):
    """Where the user's own slides are listed."""

    path: str = "data/manifest.csv"
    """A CSV; relative paths inside it start from its own folder."""
    allowed_root: str = ""
    """Folder that the slides must lie in, links followed; empty allows any place."""


@dataclass(frozen=True)
class PlannedPair:
    """A manifest's row: slide files that are to be opened.

    Parameters
    ----------
    slide_id, case_id : names of the pair and of its case.
    he_path, ihc_path : the files, at least one; whether they exist shows when they are opened.
    he_mpp, ihc_mpp : micrometres per pixel, or None to believe the file.
    meta : the other columns, see `pair.META_FIELDS`; None where the row says nothing.
    """

    slide_id: str
    case_id: str
    he_path: Path | None
    ihc_path: Path | None
    he_mpp: float | None = None
    ihc_mpp: float | None = None
    meta: dict[str, MetaValue] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """Describe the row in plain values, for JSON."""
        return {
            "slide_id": self.slide_id,
            "case_id": self.case_id,
            "he_path": None if self.he_path is None else str(self.he_path),
            "ihc_path": None if self.ihc_path is None else str(self.ihc_path),
            "he_mpp": self.he_mpp,
            "ihc_mpp": self.ihc_mpp,
            "meta": dict(self.meta),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PlannedPair:
        """Rebuild what `to_record` described."""
        he_path, ihc_path = (record[name] for name in PATH_COLUMNS)
        return cls(
            slide_id=record["slide_id"],
            case_id=record["case_id"],
            he_path=None if he_path is None else Path(he_path),
            ihc_path=None if ihc_path is None else Path(ihc_path),
            he_mpp=record["he_mpp"],
            ihc_mpp=record["ihc_mpp"],
            meta=dict(record["meta"]),
        )


def read_manifest(
    path: Path | str, root: Path | None = None, *, warn: bool = True
) -> tuple[PlannedPair, ...]:
    """Read and check a manifest.

    Parameters
    ----------
    path : a CSV (see `read_csv_rows`) with `slide_id`, at least one of `he_path` and `ihc_path`,
        and any of the other `COLUMNS`. Empty cells are unknown, and so are those of `MISSING`; an
        unknown `case_id` is the slide's own id. `~` is the user's own folder.
    root : folder from which a relative `path` starts; the current folder by default.
    warn : log which names are taken as one, and which cells as empty.

    Returns
    -------
    tuple of PlannedPair
        In the file's order, image paths absolute; cases and animals whose names mean the same
        (`name_key`) have the first one's. Whether the images exist and can be read shows
        when they are opened, and then costs that slide only.

    Raises
    ------
    ManifestError
        Naming every bad row and column at once, with what to do.
    """
    path = (root or Path.cwd()) / Path(path).expanduser()
    header, rows = read_csv_rows(path, remedy=REMEDY)
    problems = _column_problems(header)
    if problems:
        raise ManifestError(str(path), problems)
    if not rows:
        raise ManifestError(str(path), ["no slides: add one row a slide below the header"])
    planned = []
    notes = []
    for line, cells in rows:
        notes += [f"{name} '{cells[name]}'" for name in header if _says_missing(name, cells[name])]
        known = {n: "" if _says_missing(n, cell) else cell for n, cell in cells.items()}
        pair, complaints = _planned_pair(defaultdict(str, known), path.parent)
        problems += [f"line {line} ({cells['slide_id'] or 'no slide_id'}): {c}" for c in complaints]
        planned.append((line, pair))
    pairs, merged = _with_one_name([pair for _, pair in planned])
    planned = list(zip((line for line, _ in planned), pairs, strict=True))
    problems += _repeated_names([(line, pair.slide_id) for line, pair in planned])
    problems += _shared_files(planned)
    if problems:
        raise ManifestError(str(path), problems)
    if warn and notes:
        said = ", ".join(f"{note} ({n})" for note, n in Counter(notes).most_common(5))
        logger.warning("%s: %d cells are taken as empty: %s", path, len(notes), said)
    if warn and merged:
        logger.warning("%s: taken as one: %s", path, "; ".join(merged))
    return pairs


def _says_missing(column: str, cell: str) -> bool:
    """Whether something is written there that means nothing; a group may be called none."""
    return bool(cell) and is_missing(cell) and not (column == "group" and cell.lower() == "none")


def _with_one_name(pairs: list[PlannedPair]) -> tuple[tuple[PlannedPair, ...], list[str]]:
    """Pairs whose cases and animals have one spelling each, and the spellings that others lost.

    Two spellings of one case would let it train and test.
    """
    spellings: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    named = []
    for pair in pairs:
        first = {}
        for field_name, name in (("case", pair.case_id), ("animal", pair.meta["animal_id"])):
            if name is not None:
                known = spellings[field_name, name_key(str(name))]
                known[str(name)] = None
                first[field_name] = next(iter(known))
        meta = {**pair.meta, "animal_id": first.get("animal")}
        named.append(replace(pair, case_id=first["case"], meta=meta))
    merged = [
        f"{kind} {' and '.join(repr(name) for name in names)}"
        for (kind, _), names in spellings.items()
        if len(names) > 1
    ]
    return tuple(named), merged


def _column_problems(header: list[str]) -> list[str]:
    problems = []
    for name, count in Counter(header).items():
        if count > 1:
            problems.append(f"column '{name}' appears {count} times; keep one")
        if name not in COLUMNS:
            close = difflib.get_close_matches(name.lower(), COLUMNS, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            problems.append(f"unknown column '{name}'{hint}; valid columns: {', '.join(COLUMNS)}")
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    problems += [f"no column '{name}'; add it" for name in missing]
    if not set(PATH_COLUMNS) & set(header):
        problems.append("neither a column 'he_path' nor 'ihc_path'; add at least one")
    return problems


def _planned_pair(cells: Mapping[str, str], folder: Path) -> tuple[PlannedPair, list[str]]:
    complaints: list[str] = []
    slide_id = cells["slide_id"]
    if not slide_id:
        complaints.append("no slide_id; give each slide a name")
    elif not FILE_NAME.fullmatch(slide_id):
        complaints.append(
            f"slide_id '{slide_id}' becomes part of file names; use letters, digits, '_', '-' and "
            "'.', beginning with a letter or digit, at most 100"
        )
    paths: dict[str, Path | None] = dict.fromkeys(PATH_COLUMNS)
    for name in PATH_COLUMNS:
        if cells[name]:
            paths[name], complaint = place_written(cells[name], folder)
            complaints += [f"{name} {complaint}"] if complaint else []
    if not any(paths.values()):
        complaints.append("neither he_path nor ihc_path; give at least one image")
    elif _place(paths["he_path"]) == _place(paths["ihc_path"]):
        complaints.append("he_path and ihc_path name the same file")
    numbers = {}
    for name in (*MPP_COLUMNS, *NUMBER_COLUMNS):
        numbers[name], wrong = _number(name, cells[name])
        complaints += wrong
    meaning = cells["marker_meaning"].lower()
    if meaning and meaning not in MARKER_MEANINGS:
        complaints.append(
            f"marker_meaning '{cells['marker_meaning']}' is unknown; use one of "
            f"{', '.join(MARKER_MEANINGS)}, or leave it empty"
        )
    meta: dict[str, MetaValue] = {
        name: numbers[name] if name in NUMBER_COLUMNS else cells[name] or None
        for name in META_FIELDS
    }
    meta["marker_meaning"] = meaning or None
    pair = PlannedPair(
        slide_id=slide_id,
        case_id=cells["case_id"] or slide_id,
        he_path=paths["he_path"],
        ihc_path=paths["ihc_path"],
        he_mpp=numbers["he_mpp"],
        ihc_mpp=numbers["ihc_mpp"],
        meta=meta,
    )
    return pair, complaints


def _number(name: str, text: str) -> tuple[float | None, list[str]]:
    if not text:
        return None, []
    try:
        value = float(text)
    except ValueError:
        return None, [f"{name} '{text}' is not a number (decimals take a point)"]
    if name in MPP_COLUMNS and not MIN_MPP <= value <= MAX_MPP:
        return None, [
            f"{name} {text} is not believable; micrometres per pixel lie in "
            f"[{MIN_MPP:g}, {MAX_MPP:g}]"
        ]
    if not math.isfinite(value) or value < 0 or (name != "section_index" and value == 0):
        return None, [f"{name} {text} must be a positive number"]
    return value, []


def _repeated_names(names: list[tuple[int, str]]) -> list[str]:
    lines = defaultdict(list)
    for line, name in names:
        if name:
            lines[name.lower()].append((line, name))  # file systems may not tell a from A
    return [
        f"slide_id '{same[0][1]}' on lines {', '.join(str(line) for line, _ in same)}; "
        "each slide needs a name of its own (upper and lower case do not count)"
        for same in lines.values()
        if len(same) > 1
    ]


def _shared_files(planned: list[tuple[int, PlannedPair]]) -> list[str]:
    """Complaints about one image in several cases: it would be trained on and tested with."""
    users = defaultdict(list)
    for line, pair in planned:
        for place in {_place(pair.he_path), _place(pair.ihc_path)} - {None}:
            users[place].append((line, pair.case_id))
    return [
        f"{place} on lines {', '.join(str(line) for line, _ in rows)} belongs to several cases; "
        "give these rows one case_id"
        for place, rows in users.items()
        if len({case for _, case in rows}) > 1
    ]


def _place(path: Path | None) -> str | None:
    """Where a file lies, links followed: one for all its names."""
    return None if path is None else os.path.realpath(path)
