"""One self-contained page: every picture, style and number inside it, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Parameters
    ----------
    header : the columns' names.
    rows : one sequence of texts a row, as long as the header.
    text_columns : how many leading columns are text; the others are numbers, set to the right.
    marked : indices of rows that begin a new group.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Picture:
    """A picture among others: a data URI, what it shows, and the page that it leads to."""

    uri: str
    caption: str
    link: str = ""


@dataclass(frozen=True)
class Example:
    """One test region: pictures (data URIs; empty where unreadable) and what was predicted."""

    he: str
    ihc: str
    outlined: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Block:
    """A heading with what stands under it.

    Parameters
    ----------
    title : of the block; empty for none.
    warnings : what must not be overlooked, before all else.
    paragraphs : plain text.
    table : under the paragraphs.
    picture : a data URI, under the table.
    pictures : smaller ones side by side, under it.
    examples : regions with their pictures, under these.
    notes : small print, under all.
    """

    title: str = ""
    paragraphs: Sequence[str] = ()
    table: Table | None = None
    picture: str = ""
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    examples: Sequence[Example] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """A part of the page with its own anchor."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class KeyFigure:
    """One large number at the top: what it is, its value, what to hold beside it."""

    label: str
    value: str
    beside: str = ""


@dataclass(frozen=True)
class Report:
    """Everything the page says.

    Parameters
    ----------
    title, subtitle : of the page.
    stamps : sentences that the output must carry; shown at the top and at the end.
    answer : the result in one or two sentences.
    key_figures : the large numbers.
    sections : in order.
    """

    title: str
    subtitle: str
    stamps: Sequence[str]
    answer: Sequence[str]
    key_figures: Sequence[KeyFigure]
    sections: Sequence[Section]


def render_report(report: Report) -> str:
    """The page as HTML; all text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(report=report, style=style)
