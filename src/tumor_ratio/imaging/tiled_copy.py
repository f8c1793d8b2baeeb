"""A tiled pyramid made once of a large TIFF in strips, which gives regions and overviews slowly.

The copy is lossless. It is written band by band, so that memory holds one band however large the
slide is, and appears under its name only when whole.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from tumor_ratio.atomic import PREFIX, remove_unfinished, temporary_name
from tumor_ratio.imaging.readers import Reader, RgbImage, UnreadableError, one_line
from tumor_ratio.imaging.tiff_checks import DAMAGED
from tumor_ratio.imaging.tiff_reader import TiffReader

STRIPPED_LIMIT_PX = 64_000_000
"""Slides in strips with fewer pixels are read as they are."""

TILE_PX = 512
SMALLEST_LEVEL_PX = 1024
COPY_VERSION = 1


def needs_tiled_copy(path: Path, reader: Reader) -> bool:
    """Whether a slide is a large TIFF in strips without a pyramid."""
    width, height, _ = reader.levels[0]
    if reader.name != "tifffile" or len(reader.levels) > 1 or width * height < STRIPPED_LIMIT_PX:
        return False
    return TiffReader(path).in_strips


def tiled_copy(path: Path, folder: Path) -> Path:
    """Tiled pyramid of a TIFF in strips; made now, or earlier of the same file.

    Parameters
    ----------
    path : the TIFF; never changed, and nothing is written beside it.
    folder : where copies are kept; made where it does not exist. A copy's name tells place, size
        and time of change of its source: where one of them differs, it is made anew.

    Returns
    -------
    Path
        The copy, with the source's pixels as RGB, its orientation tag and its colour profile.

    Raises
    ------
    UnreadableError
        If the folder cannot be written or is full, or the source cannot be decoded.
    """
    target = folder / _copy_name(path)
    if target.is_file():
        return target
    source = TiffReader(path)
    partial = temporary_name(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)
        _write_pyramid(source, partial)
        os.replace(partial, target)
    except OSError as error:
        raise UnreadableError(
            f"no tiled copy can be written to {folder} ({one_line(error)})",
            "make room there, or set `pyramids` to another folder",
        ) from error
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(f"a strip cannot be decoded ({one_line(error)})", DAMAGED) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    for old in folder.glob(f"*-{_place(path)}-*.tif"):
        if old != target and not old.name.startswith(PREFIX):
            old.unlink(missing_ok=True)  # of an earlier state of the same file
    return target


def _copy_name(path: Path) -> str:
    status = path.stat()
    state = _short_hash(f"{COPY_VERSION} {status.st_size} {status.st_mtime_ns}")
    stem = re.sub(r"[^A-Za-z0-9_.]", "_", path.stem).lstrip("_.")[:60] or "slide"
    return f"{stem}-{_place(path)}-{state}.tif"


def _place(path: Path) -> str:
    return _short_hash(os.path.abspath(path))


def _short_hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]


def _write_pyramid(source: TiffReader, partial: Path) -> None:
    partial.unlink(missing_ok=True)
    width, height, _ = source.levels[0]
    tags: dict[str, Any] = {
        "extratags": [(274, 3, 1, source.orientation, True)],
        "iccprofile": source.icc_profile,
    }
    with tifffile.TiffWriter(partial, bigtiff=True) as tif:
        _write_level(tif, _tiles_of(source, (width, height)), (width, height), **tags)
    while max(width, height) > SMALLEST_LEVEL_PX:
        width, height = width // 2, height // 2
        finer = TiffReader(partial)  # what is written so far
        with tifffile.TiffWriter(partial, append=True) as tif:
            _write_level(tif, _halved_tiles_of(finer, (width, height)), (width, height))


def _write_level(
    tif: tifffile.TiffWriter, tiles: Iterator[RgbImage], size: tuple[int, int], **tags: Any
) -> None:
    tif.write(
        tiles,
        shape=(size[1], size[0], 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        compression="deflate",
        predictor=True,
        subfiletype=0 if tags else 1,
        metadata=None,
        maxworkers=1,
        **tags,
    )


def _tiles_of(source: TiffReader, size: tuple[int, int]) -> Iterator[RgbImage]:
    width, height = size
    for top in range(0, height, TILE_PX):
        rows = min(TILE_PX, height - top)
        yield from _cut(source.read_level(0, 0, top, width, rows))


def _halved_tiles_of(finer: TiffReader, size: tuple[int, int]) -> Iterator[RgbImage]:
    """Means of two by two pixels."""
    width, height = size
    for top in range(0, height, TILE_PX):
        rows = min(TILE_PX, height - top)
        band = finer.read_level(len(finer.levels) - 1, 0, 2 * top, 2 * width, 2 * rows)
        band = band.reshape(rows, 2, width, 2, 3)
        total = band.sum(axis=(1, 3), dtype=np.uint16)
        yield from _cut(((total + 2) // 4).astype(np.uint8))


def _cut(band: RgbImage) -> Iterator[RgbImage]:
    """Whole tiles of a band; the last are filled up with white."""
    rows, width, _ = band.shape
    for left in range(0, width, TILE_PX):
        tile: npt.NDArray[np.uint8] = np.full((TILE_PX, TILE_PX, 3), 255, dtype=np.uint8)
        part = band[:, left : left + TILE_PX]
        tile[:rows, : part.shape[1]] = part
        yield tile
