"""Rows of a user's CSV, in the dialects of spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tumor_ratio.errors import ManifestError

DELIMITERS = ",;\t"
_SEPARATOR_LINE = re.compile(r'\A[ \t]*"?sep=([^\n"])"?[,;\t ]*(?=\n|\Z)', re.IGNORECASE)
"""By which Excel is told the separator."""
_EMPTY_LINES = re.compile(r'(?:[ ",;\t]*\n)+')
"""Before the header, of whatever separator."""
_OPEN_QUOTE = "a quote is not closed, or a cell goes on over the line's end; correct its \""

Row = tuple[int, defaultdict[str, str]]
"""The line that it ends on, and cells by column; a cell that is not there is empty."""


def read_csv_rows(path: Path, *, remedy: str) -> tuple[list[str], list[Row]]:
    """Read a CSV with a header; cells are stripped, empty lines and columns at the end left out.

    Parameters
    ----------
    path : UTF-8 with or without a byte-order mark; separated by what a first line `sep=;` says,
        else by the comma, semicolon or tab that the header has most of.
    remedy : what to do where there is no such file.

    Raises
    ------
    ManifestError
        If it cannot be read, a quote is not closed, or a row has more cells than the header.
    """
    text = _text(path, remedy)
    told = _SEPARATOR_LINE.match(text)
    if told:
        text = text[told.end() :]  # its line's end stays, so that lines keep their numbers
    empty = _EMPTY_LINES.match(text)
    if empty:
        text = "\n" * empty[0].count("\n") + text[empty.end() :]
    header_line = text.lstrip("\n").partition("\n")[0]
    delimiter = told[1] if told else max(DELIMITERS, key=header_line.count)
    header: list[str] = []
    rows: list[Row] = []
    problems = []
    try:
        for line, cells in _lines(text, delimiter):
            if not header:
                header = cells
                continue
            if len(cells) > len(header):
                problems.append(
                    f"line {line}: {len(cells)} cells under {len(header)} columns; quote "
                    "cells that contain the separator"
                )
            rows.append((line, defaultdict(str, zip(header, cells, strict=False))))
    except _QuoteError as error:
        problems.append(str(error))
    if problems:
        raise ManifestError(str(path), problems)
    return header, rows


class _QuoteError(Exception):
    """A quote that does not end where a cell does."""


def _text(path: Path, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ManifestError(str(path), [f"no such file; {remedy}"]) from None
    except OSError as error:
        raise ManifestError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ManifestError(
            str(path), ["not UTF-8 text; save the table as 'CSV UTF-8' and try again"]
        ) from error


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Stripped cells of the lines that are not empty, up to the last that holds something.

    A cell over several lines is refused: it is what an open quote makes of the rows up to the next.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any("\n" in cell for cell in stripped):
                raise _QuoteError(f"line {start}: {_OPEN_QUOTE}")
            while stripped and not stripped[-1]:
                stripped.pop()
            if stripped:
                yield reader.line_num, stripped
            start = reader.line_num + 1
    except csv.Error as error:
        raise _QuoteError(f"line {start}: {_OPEN_QUOTE} ({error})") from error
