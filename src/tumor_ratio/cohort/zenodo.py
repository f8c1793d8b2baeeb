"""The files of a Zenodo record, from the repository's own listing."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

from pydantic import Field, field_validator

from tumor_ratio.cohort.pair import META_FIELDS, MetaValue
from tumor_ratio.cohort.patient_http import DownloadParams, get_json, shown
from tumor_ratio.cohort.verified_files import (
    PART,
    RemoteFile,
    disk_errors_explained,
    why_unsafe,
)
from tumor_ratio.errors import DownloadError
from tumor_ratio.imaging.slide_checks import MAX_MPP, MIN_MPP
from tumor_ratio.params import Params

MAX_PAGES = 1000
SEMINOMA: dict[str, MetaValue] = {
    "species": "human",
    "organ": "testis",
    "marker": "Ki-67",
    "marker_meaning": "proliferation",
}
"""What is known of the study's slides."""
MD5 = re.compile(r"(?:md5:)?([0-9a-f]{32})", re.IGNORECASE)

logger = logging.getLogger(__name__)


class ZenodoParams(Params):
    """Which record, which of its files, and where they go."""

    record_id: int = Field(11218961, ge=1)
    """The record's number; the study's record by default."""
    base_url: str = Field("https://zenodo.org", pattern=r"^https?://[^/\s]+")
    """The repository."""
    folder: str = "data/01_raw/zenodo"
    """Where the files go, in a folder of the record's number."""
    pattern: str = (
        r"(?P<slide>.+?)(?:[ _.-]+|(?<=\d))(?P<stain>H&E|HE|Ki[ _-]?67|IHC)(?![A-Za-z0-9]).*"
        r"\.(?:tiff?|svs|ndpi|mrxs|scn|bif|dcm|png|jpe?g)"
    )
    """A regular expression for whole file names, upper and lower case alike, with the groups
    `slide` and `stain`, and `case` where one case has several slides."""
    he_stains: tuple[str, ...] = ("H&E", "HE")
    """What the group `stain` may hold on H&E slides; only letters and digits count."""
    ihc_stains: tuple[str, ...] = ("Ki-67", "IHC")
    """The same for IHC slides."""
    slides: tuple[str, ...] = ()
    """Only these slides; empty takes all. On the command line: names with spaces between."""
    mpp: float | None = Field(0.25, ge=MIN_MPP, le=MAX_MPP)
    """Micrometres per pixel of all slides; null believes the files. The record does not say it:
    0.25 is an assumption, after the 40x that the study names."""
    about: dict[str, MetaValue] = Field(default_factory=lambda: dict(SEMINOMA))
    """What is known of every slide; the names are those of a manifest's columns."""
    spare_gb: float = Field(2.0, ge=0)
    """Gigabytes that must stay free beside the downloads."""
    download: DownloadParams = DownloadParams()

    @field_validator("slides", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str | int):
            return tuple(re.split(r"[\s;,]+", str(value).strip(" []"))) if value != "" else ()
        return tuple(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("pattern")
    @classmethod
    def _has_groups(cls, value: str) -> str:
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if not {"slide", "stain"} <= set(groups):
            raise ValueError("needs the named groups (?P<slide>...) and (?P<stain>...)")
        return value

    @field_validator("about")
    @classmethod
    def _known_fields(cls, value: dict[str, MetaValue]) -> dict[str, MetaValue]:
        unknown = sorted(set(value) - set(META_FIELDS))
        if unknown:
            raise ValueError(f"unknown: {', '.join(unknown)}; valid: {', '.join(META_FIELDS)}")
        return value

    @property
    def record_folder(self) -> Path:
        """Where the record's files go."""
        return Path(self.folder) / str(self.record_id)


@dataclass(frozen=True)
class Listing:
    """What a record holds.

    Parameters
    ----------
    files : those that can be downloaded and verified.
    refused : one line for each other file: its name and why.
    """

    files: tuple[RemoteFile, ...]
    refused: tuple[str, ...] = ()


def list_record(params: ZenodoParams) -> Listing:
    """List a record's files.

    Returns
    -------
    Listing
        From the repository; without a network, from an earlier run's listing, which is kept beside
        the record's folder (a published record's files do not change).

    Raises
    ------
    DownloadError
        If the record cannot be listed and has never been.
    """
    kept = params.record_folder.with_name(f"{params.record_id}.listing.json")
    try:
        entries = _entries(params)
    except DownloadError as error:
        earlier = _earlier_listing(kept, params)
        if earlier is None:
            raise
        logger.warning("%s; going on with the listing of an earlier run", error.message)
        return earlier
    listing = _listing(entries, params)
    _keep(kept, params, listing)
    return listing


def _entries(params: ZenodoParams) -> list[Mapping[str, Any]]:
    """The record's entries, from the record itself or, where it has none, from its `/files`."""
    root = f"{params.base_url.rstrip('/')}/api/records/{params.record_id}"
    record = _mapping(get_json(root, params.download), root)
    entries = _entries_in(record.get("files"))
    if entries and not _next_page(record):
        return entries
    entries, url = [], f"{root}/files"
    for _ in range(MAX_PAGES):
        page = _mapping(get_json(url, params.download), url)
        entries += _entries_in(page)
        following = _next_page(page)
        if not following:
            break
        url = urljoin(url, following)
    if not entries:
        raise DownloadError(
            f"{shown(root)} lists no files",
            "the record may be closed: look at it in a browser, and check cohort.zenodo.record_id",
        )
    return entries


def _mapping(page: Any, url: str) -> Mapping[str, Any]:
    if not isinstance(page, Mapping):
        raise DownloadError(
            f"{shown(url)} does not answer as Zenodo does", "check cohort.zenodo.base_url"
        )
    return page


def _entries_in(page: Any) -> list[Mapping[str, Any]]:
    """Entries of a list, of `{entries: [...]}` or of `{entries: {name: ...}}`."""
    if isinstance(page, Mapping):
        inner = page.get("entries", ())
        page = list(inner.values()) if isinstance(inner, Mapping) else inner
    return [e for e in page if isinstance(e, Mapping)] if isinstance(page, list) else []


def _next_page(page: Mapping[str, Any]) -> str:
    links = page.get("links")
    return str(links.get("next") or "") if isinstance(links, Mapping) else ""


def _listing(entries: Iterable[Mapping[str, Any]], params: ZenodoParams) -> Listing:
    files: dict[str, RemoteFile] = {}
    refused = []
    for entry in entries:
        name = str(entry.get("key") or "")
        reason = _why_refused(entry, name)
        if reason:
            refused.append(f"{name[:200]!r}: {reason}")
        else:
            files.setdefault(name, _remote_file(entry, name, params))
    return Listing(tuple(files.values()), tuple(refused))


def _why_refused(entry: Mapping[str, Any], name: str) -> str:
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        return why_unsafe(name) or "listed without a size"
    if not MD5.fullmatch(str(entry.get("checksum"))):
        return why_unsafe(name) or "listed without an md5"
    return why_unsafe(name)


def _remote_file(entry: Mapping[str, Any], name: str, params: ZenodoParams) -> RemoteFile:
    found = MD5.fullmatch(str(entry["checksum"]))
    assert found is not None
    root = f"{params.base_url.rstrip('/')}/api/records/{params.record_id}/files"
    links = entry.get("links")
    links = links if isinstance(links, Mapping) else {}
    # In the form `entries`, `self` describes the file and `content` is the file.
    url = links.get("content") or links.get("self") or f"{root}/{quote(name, safe='')}/content"
    return RemoteFile(name, int(entry["size"]), found[1].lower(), urljoin(f"{root}/", str(url)))


def _keep(kept: Path, params: ZenodoParams, listing: Listing) -> None:
    record = {
        "base_url": params.base_url,
        "files": [asdict(each) for each in listing.files],
        "refused": list(listing.refused),
    }
    with disk_errors_explained(kept.parent, kept.name):
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(f"{kept}{PART}")
        unfinished.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(unfinished, kept)


def _earlier_listing(kept: Path, params: ZenodoParams) -> Listing | None:
    try:
        record = json.loads(kept.read_text(encoding="utf-8"))
        if record["base_url"] != params.base_url:
            return None
        files = tuple(RemoteFile(**each) for each in record["files"])
        return Listing(files, tuple(record["refused"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
