"""Which files of a Zenodo record make slide pairs, and which of these are taken."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tumor_ratio.cohort.pair import MetaValue
from tumor_ratio.cohort.verified_files import (
    GB,
    RemoteFile,
    is_verified,
    missing_bytes,
    require_space,
)
from tumor_ratio.cohort.zenodo import ZenodoParams, list_record
from tumor_ratio.errors import ConfigurationError

LINES_SHOWN = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedDownload:
    """A slide pair of a record: two files that are to be there.

    Parameters
    ----------
    slide_id, case_id : names of the pair and of its case.
    he, ihc : the files as listed.
    folder : where they go; text, since it is written.
    mpp : micrometres per pixel of both, or None to believe the files.
    about : what is known beside the images.
    """

    slide_id: str
    case_id: str
    he: RemoteFile
    ihc: RemoteFile
    folder: str
    mpp: float | None = None
    about: dict[str, MetaValue] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """Describe the pair in plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PlannedDownload:
        """Rebuild what `to_record` described."""
        he, ihc = RemoteFile(**record["he"]), RemoteFile(**record["ihc"])
        return cls(**{**record, "he": he, "ihc": ihc})

    def __fingerprint__(self) -> dict[str, Any]:
        """Say what the opened pair depends on; a file touched since it was verified counts, too."""
        files = (self.he, self.ihc)
        touched = [Path(self.folder) / remote.name for remote in files]
        touched = [
            path
            for path, remote in zip(touched, files, strict=True)
            if path.exists() and not is_verified(path, remote)
        ]
        return {
            "slide": [self.slide_id, self.case_id, self.folder, self.mpp, self.about],
            "files": [[remote.name, remote.size, remote.md5] for remote in files],
            "touched": touched,
        }


@dataclass(frozen=True)
class Pairing:
    """What a listing's names say.

    Parameters
    ----------
    pairs : the whole pairs, by name.
    leftovers : one line for each file or slide that is left out.
    incomplete : slides without an H&E or without an IHC file, and what is wrong with each.
    """

    pairs: tuple[PlannedDownload, ...]
    leftovers: tuple[str, ...]
    incomplete: dict[str, str]


def plan_downloads(params: ZenodoParams) -> tuple[PlannedDownload, ...]:
    """List a record, pair its files, and check that they fit on the disk.

    Raises
    ------
    DownloadError
        If the record cannot be listed.
    ConfigurationError
        If no files pair, a slide is asked for that does not exist, or the disk is too small.
    """
    listing = list_record(params)
    pairing = pair_files(listing.files, params)
    leftovers = (*pairing.leftovers, *listing.refused)
    if leftovers:
        logger.warning(
            "record %d: left out (%d):\n%s",
            *(params.record_id, len(leftovers), _lines(leftovers)),
        )
    if not pairing.pairs:
        raise ConfigurationError(
            f"no two of the {len(listing.files)} files of record {params.record_id} make a pair:\n"
            f"{_lines(leftovers)}",
            "fit cohort.zenodo.pattern, he_stains and ihc_stains to these names",
        )
    chosen = choose_slides(pairing, params.slides)
    files = [remote for pair in chosen for remote in (pair.he, pair.ihc)]
    missing = missing_bytes(files, params.record_folder)
    logger.info(
        "record %d: %d of %d slide pairs, %.1f GB, of which %.1f GB are to be downloaded to %s",
        *(params.record_id, len(chosen), len(pairing.pairs)),
        *(sum(remote.size for remote in files) / GB, missing / GB, params.record_folder),
    )
    require_space(params.record_folder, missing, round(params.spare_gb * GB))
    return chosen


def pair_files(files: Sequence[RemoteFile], params: ZenodoParams) -> Pairing:
    """Pair files by their names; `slides` of the parameters are not looked at."""
    pattern = re.compile(params.pattern, re.IGNORECASE)
    stains = {_plain(stain): "he" for stain in params.he_stains}
    stains |= {_plain(stain): "ihc" for stain in params.ihc_stains}
    leftovers: list[str] = []
    ids: dict[str, tuple[str, str]] = {}
    sides: dict[str, dict[str, list[RemoteFile]]] = {}
    for remote in sorted(files, key=lambda each: each.name):
        match = pattern.fullmatch(remote.name)
        groups = match.groupdict() if match else {}
        slide_id = _file_name(groups.get("slide") or "")
        side = stains.get(_plain(groups.get("stain") or ""))
        if not slide_id:
            leftovers.append(f"{remote.name}: not matched by the pattern")
        elif side is None:
            leftovers.append(f"{remote.name}: stain '{groups['stain']}' is neither H&E nor IHC")
        else:
            key = slide_id.lower()  # file systems may not tell a from A
            ids.setdefault(key, (slide_id, _file_name(groups.get("case") or "") or slide_id))
            sides.setdefault(key, {"he": [], "ihc": []})[side].append(remote)
    incomplete = {ids[key][0]: why for key, of in sides.items() if (why := _incomplete(of))}
    leftovers += [f"slide {name}: {why}" for name, why in incomplete.items()]
    pairs = [
        PlannedDownload(
            *ids[key], of["he"][0], of["ihc"][0], str(params.record_folder), params.mpp,
            dict(params.about),
        )
        for key, of in sorted(sides.items())
        if ids[key][0] not in incomplete
    ]  # fmt: skip
    return Pairing(tuple(pairs), tuple(leftovers), incomplete)


def choose_slides(pairing: Pairing, names: Sequence[str]) -> tuple[PlannedDownload, ...]:
    """Take the named slides, in the record's order; all where none is named.

    Raises
    ------
    ConfigurationError
        If a name is no slide's; all such names are listed.
    """
    if not names:
        return pairing.pairs
    known = {pair.slide_id: pair for pair in pairing.pairs}
    numbers = {name.lstrip("0"): name for name in known}  # 007 comes as 7 from a command line
    problems, chosen = [], set()
    for name in names:
        found = name if name in known else numbers.get(name.lstrip("0"))
        if found in known:
            chosen.add(found)
        elif name in pairing.incomplete:
            problems.append(f"{name}: {pairing.incomplete[name]}")
        else:
            close = difflib.get_close_matches(name, known, n=1)
            problems.append(f"{name}: no such slide" + (f" (or {close[0]}?)" if close else ""))
    if problems:
        raise ConfigurationError(
            f"cohort.zenodo.slides cannot be taken:\n{_lines(problems)}",
            f"the record has {len(known)} pairs: {', '.join(list(known)[:LINES_SHOWN])}"
            + (", ..." if len(known) > LINES_SHOWN else ""),
        )
    return tuple(pair for pair in pairing.pairs if pair.slide_id in chosen)


def _incomplete(sides: Mapping[str, Sequence[RemoteFile]]) -> str:
    for side, stain in (("he", "H&E"), ("ihc", "IHC")):
        if not sides[side]:
            there = ", ".join(remote.name for files in sides.values() for remote in files)
            return f"no {stain} file beside {there}"
        if len(sides[side]) > 1:
            names = ", ".join(remote.name for remote in sides[side])
            return f"several {stain} files ({names}); narrow the pattern"
    return ""


def _plain(stain: str) -> str:
    return re.sub(r"[^a-z0-9]", "", stain.lower())


def _file_name(name: str) -> str:
    """Give the name as a slide may be called: it becomes part of file names."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-")[:100]


def _lines(entries: Sequence[str]) -> str:
    more = len(entries) - LINES_SHOWN
    shown = [*entries[:LINES_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    return "\n".join(f"  - {line}" for line in shown)
