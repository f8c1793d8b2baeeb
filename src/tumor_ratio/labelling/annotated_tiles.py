"""Ki-67 tiles that experts have counted, from a CSV: what labels are held against.

One row a tile: `tile_id, path, mpp, n_positive, n_negative, tumor_ratio`, and where the tile is a
part of its image `x_px, y_px, size_px`. Counts or ratio may be empty where they are not known.
Images are read as slides are, see docs/slides.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from tumor_ratio.cohort.csv_rows import read_csv_rows
from tumor_ratio.cohort.written_cells import place_written
from tumor_ratio.errors import ManifestError, SlideError
from tumor_ratio.imaging.slide import Slide, open_slide

NEEDED = ("tile_id", "path", "mpp")
TRUTHS = ("n_positive", "n_negative", "tumor_ratio")
PLACE = ("x_px", "y_px", "size_px")
UNKNOWN = frozenset({"", "na", "n/a", "nan"})
LEAST_SIDE_PX = 64


@dataclass(frozen=True)
class AnnotatedTile:
    """A square of an image, and what experts say of it; NaN where they do not.

    Parameters
    ----------
    tile_id : unique.
    image : what it is a part of.
    mpp : micrometres a pixel.
    x_px, y_px, size_px : the square.
    n_positive, n_negative : nuclei.
    tumor_ratio : positive over all nuclear area.
    """

    tile_id: str
    image: Slide
    mpp: float
    x_px: int
    y_px: int
    size_px: int
    n_positive: float
    n_negative: float
    tumor_ratio: float


def read_annotated_tiles(listing: Path) -> tuple[list[AnnotatedTile], list[SlideError]]:
    """Read and check a listing; image paths are relative to its folder.

    Returns
    -------
    tiles : in the listing's order.
    failures : of tiles whose image is there and cannot be used; they are not among the others.

    Raises
    ------
    ManifestError
        If it cannot be read, lacks a column, or a row names what is not there: all such rows.
    """
    columns = "columns: " + ", ".join(NEEDED + TRUTHS)
    remedy = f"set label_validation.tiles to your list of tiles, with the {columns}"
    header, rows = read_csv_rows(listing, remedy=remedy)
    missing = [name for name in NEEDED if name not in header]
    if missing or not rows:
        lack = f"lacks {', '.join(missing)}" if missing else "has no row"
        raise ManifestError(str(listing), [f"{lack}; {columns}"])
    tiles: list[AnnotatedTile] = []
    failures: list[SlideError] = []
    problems = []
    for line, row in rows:
        try:
            tiles.append(_tile(row, listing.parent))
        except SlideError as error:
            failures.append(error)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    named = Counter(row["tile_id"] for _, row in rows)
    problems += [f"tile_id {name} appears twice" for name, count in named.items() if count > 1]
    if problems:
        raise ManifestError(str(listing), problems)
    return tiles, failures


def cut_tile(tile: AnnotatedTile, folder: Path) -> Path:
    """Write a tile's pixels as a PNG of its own, so that nothing beside it is looked at.

    Raises
    ------
    SlideError
        If they cannot be decoded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{quote(tile.tile_id, safe='')}.png"
    rgb = tile.image.read(tile.x_px, tile.y_px, tile.size_px, tile.mpp)
    Image.fromarray(rgb).save(path)
    return path


def _tile(row: Mapping[str, str], folder: Path) -> AnnotatedTile:
    tile_id = row["tile_id"]
    if not (tile_id and row["path"]):
        raise ValueError("tile_id and path must not be empty")
    path, complaint = place_written(row["path"], folder)
    if complaint:
        raise ValueError(f"path {complaint}")
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    mpp = _number(row, "mpp")
    if not 0.05 <= mpp <= 2:
        raise ValueError(f"mpp {mpp:g} is no pixel size in micrometres")
    place = [_number(row, name) for name in PLACE]
    given = [not math.isnan(number) for number in place]
    if any(given) and not (all(given) and all(number.is_integer() for number in place)):
        raise ValueError(f"{', '.join(PLACE)} are whole numbers, all of them or none")
    counts = [_number(row, name) for name in TRUTHS]
    if any(count < 0 for count in counts) or counts[2] > 1:
        raise ValueError("counts are at least 0, a ratio lies in 0 to 1")
    image = open_slide(path, slide_id=tile_id, mpp=mpp)
    width, height = image.width_px, image.height_px
    x_px, y_px, size_px = place
    if not any(given):
        if width != height:
            raise ValueError(
                f"{path} is {width} x {height} px; name a square by {', '.join(PLACE)}"
            )
        x_px, y_px, size_px = 0, 0, width
    if x_px < 0 or y_px < 0 or x_px + size_px > width or y_px + size_px > height:
        raise ValueError(f"the square reaches beyond {path} ({width} x {height} px)")
    if size_px < LEAST_SIDE_PX:
        raise ValueError(f"a tile has {LEAST_SIDE_PX} px a side at least, not {size_px:g}")
    return AnnotatedTile(tile_id, image, mpp, int(x_px), int(y_px), int(size_px), *counts)


def _number(row: Mapping[str, str], name: str) -> float:
    value = row[name]
    if value.lower() in UNKNOWN:
        return math.nan
    try:
        return float(value)
    except ValueError as error:
        raise ValueError(f"{name} is no number: {value!r}") from error
