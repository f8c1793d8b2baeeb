"""What a TIFF's directories declare, judged before any library makes room for its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tumor_ratio.imaging.readers import UnreadableError, one_line

MAX_SLIDE_PX = 2 * 10**11
"""More than a whole glass slide at 0.1 um/px; beyond it, the size is a mistake or an attack."""

MAX_TILE_PX = 8192 * 8192
"""Scanners write tiles of 256 to 4096 px a side; a tile is decoded whole."""

DAMAGED = "copy or export the file again, or leave the slide out"


@dataclass(frozen=True)
class TiffFacts:
    """What decides who reads a TIFF.

    Parameters
    ----------
    is_ome : an OME-TIFF, whose pyramid and pixel size OpenSlide does not know.
    is_plain : what OpenSlide reads rightly without knowing the scanner: 8-bit RGB, YCbCr or
        dark-is-zero grey, colours interleaved, no alpha, upright, and not of ImageJ, whose unit of
        length it does not know.
    """

    is_ome: bool
    is_plain: bool


def judge_tiff(path: Path) -> TiffFacts:
    """Read a TIFF's directories, no pixels.

    Raises
    ------
    UnreadableError
        If it is no TIFF, empty, larger than any slide, cut short, or not of 8 bits a colour.
    """
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            pages = _all_pages(file)
            for page in pages:
                check_size(page.imagewidth, page.imagelength)
                _check_tile(page)
            missing = _unreachable_bytes(pages, path)
            if not pages:
                raise UnreadableError("a TIFF without an image", "export the slide again")
            is_plain = _is_plain(pages[0]) and not file.is_imagej
            facts = TiffFacts(bool(file.is_ome), is_plain)
    except (UnreadableError, FileNotFoundError):
        raise
    except Exception as error:  # a damaged directory fails in tifffile in every possible way
        raise UnreadableError(f"not a readable TIFF ({one_line(error)})", DAMAGED) from error
    if missing:
        raise UnreadableError(f"the file is truncated: {missing} bytes are missing", DAMAGED)
    check_bits(pages[0])
    return facts


def check_size(width_px: int, height_px: int) -> None:
    """Raise `UnreadableError` where an image has no pixels, or more than any slide."""
    if width_px <= 0 or height_px <= 0:
        raise UnreadableError(
            f"declares an image of {width_px} x {height_px} px, which is empty", DAMAGED
        )
    if width_px * height_px > MAX_SLIDE_PX:
        raise UnreadableError(
            f"declares an image of {width_px} x {height_px} px, larger than any slide", DAMAGED
        )


def check_bits(page: Any) -> None:
    """Raise `UnreadableError` where a TIFF's directory declares other than 8 bits a colour."""
    if page.dtype != np.uint8 or page.bitspersample != 8:
        kind = page.dtype if page.dtype != np.uint8 else f"{page.bitspersample} bits"
        raise UnreadableError(f"pixels of type {kind}, not 8-bit", "convert it to 8-bit RGB")


def unreachable_bytes(path: Path) -> int:
    """How many bytes the TIFF's directories point to beyond the end of the file: 0 if whole."""
    with tifffile.TiffFile(path, _multifile=False) as file:
        return _unreachable_bytes(_all_pages(file), path)


def _unreachable_bytes(pages: list[Any], path: Path) -> int:
    size = path.stat().st_size
    ends = [
        max(offset + count for offset, count in zip(p.dataoffsets, p.databytecounts, strict=False))
        for p in pages
        if p.dataoffsets and p.databytecounts
    ]
    return max([0, *(end - size for end in ends)])


def _all_pages(file: Any) -> list[Any]:
    pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
    for page in list(pages):
        if page.subifds:
            pages += [sub for sub in page.pages or () if isinstance(sub, tifffile.TiffPage)]
    return pages


def _check_tile(page: Any) -> None:
    if not page.is_tiled:
        return
    if page.tilewidth <= 0 or page.tilelength <= 0:
        raise UnreadableError("declares tiles without pixels", DAMAGED)
    if page.tilewidth * page.tilelength > MAX_TILE_PX:
        raise UnreadableError(
            f"declares tiles of {page.tilewidth} x {page.tilelength} px, too large to be decoded",
            "convert to a tiled pyramid (pyramidal TIFF)",
        )


def _is_plain(page: Any) -> bool:
    return (
        page.samplesperpixel in {1, 3}
        and page.photometric in {1, 2, 6}
        and (page.planarconfig != 2 or page.samplesperpixel == 1)
        and orientation_of(page) == 1
    )


def orientation_of(page: Any) -> int:
    """Value of tag 274, in 1 to 8; 1 where it is absent or nonsense."""
    value = page.tags.valueof(274, default=1)
    return value if value in range(1, 9) else 1
