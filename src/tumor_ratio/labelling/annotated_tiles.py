"""Ki-67 tiles that experts have counted, from a CSV: what labels are held against.

One row a tile: `tile_id, path, mpp, n_positive, n_negative, tumor_ratio`, and where the tile is a
part of its image `x_px, y_px, size_px`. Counts or ratio may be empty where they are not known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from PIL import Image, UnidentifiedImageError

from tumor_ratio.errors import ConfigurationError

NEEDED = ("tile_id", "path", "mpp")
TRUTHS = ("n_positive", "n_negative", "tumor_ratio")
PLACE = ("x_px", "y_px", "size_px")
LEAST_SIDE_PX = 64


@dataclass(frozen=True)
class AnnotatedTile:
    """A square of an image, and what experts say of it; NaN where they do not.

    Parameters
    ----------
    tile_id : unique.
    path : of the image.
    mpp : micrometres a pixel.
    x_px, y_px, size_px : the square.
    n_positive, n_negative : nuclei.
    tumor_ratio : positive over all nuclear area.
    """

    tile_id: str
    path: Path
    mpp: float
    x_px: int
    y_px: int
    size_px: int
    n_positive: float
    n_negative: float
    tumor_ratio: float


def read_annotated_tiles(listing: Path) -> tuple[AnnotatedTile, ...]:
    """Read and check a listing; image paths are relative to its folder.

    Raises
    ------
    ConfigurationError
        If it cannot be read, lacks a column, or a row names what is not there: all such rows.
    """
    try:
        table = pd.read_csv(listing, dtype={"tile_id": str, "path": str})
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{listing}: annotated tiles cannot be read ({str(error).splitlines()[0]})",
            "give a CSV with " + ", ".join(NEEDED + TRUTHS),
        ) from error
    missing = [name for name in NEEDED if name not in table]
    if missing or not len(table):
        lack = f"lacks {', '.join(missing)}" if missing else "has no row"
        raise ConfigurationError(f"{listing} {lack}", f"columns: {', '.join(NEEDED + TRUTHS)}")
    tiles, problems = [], []
    for number, row in enumerate(table.to_dict("records"), start=2):
        try:
            tiles.append(_tile({str(name): value for name, value in row.items()}, listing.parent))
        except ValueError as error:
            problems.append(f"row {number}: {error}")
    twice = table["tile_id"][table["tile_id"].duplicated()].unique()
    problems += [f"tile_id {name} appears twice" for name in twice]
    if problems:
        raise ConfigurationError(
            f"{listing}: {len(problems)} problem(s)\n" + "\n".join(f"  - {p}" for p in problems)
        )
    return tuple(tiles)


def cut_tile(tile: AnnotatedTile, folder: Path) -> Path:
    """Write a tile's pixels as a PNG of its own, so that nothing beside it is looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{quote(tile.tile_id, safe='')}.png"
    box = (tile.x_px, tile.y_px, tile.x_px + tile.size_px, tile.y_px + tile.size_px)
    with Image.open(tile.path) as image:
        image.convert("RGB").crop(box).save(path)
    return path


def _tile(row: dict[str, object], folder: Path) -> AnnotatedTile:
    if not all(isinstance(row[name], str) for name in ("tile_id", "path")):
        raise ValueError("tile_id and path must not be empty")
    path = folder / str(row["path"])
    try:
        with Image.open(path) as image:
            width, height = image.size
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"{path} is no readable image") from error
    mpp = _number(row, "mpp")
    if not 0.05 <= mpp <= 2:
        raise ValueError(f"mpp {mpp:g} is no pixel size in micrometres")
    place = [_number(row, name) for name in PLACE]
    given = [not math.isnan(number) for number in place]
    if any(given) and not (all(given) and all(number.is_integer() for number in place)):
        raise ValueError(f"{', '.join(PLACE)} are whole numbers, all of them or none")
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
    counts = [_number(row, name) for name in TRUTHS]
    if any(count < 0 for count in counts) or counts[2] > 1:
        raise ValueError("counts are at least 0, a ratio lies in 0 to 1")
    return AnnotatedTile(
        str(row["tile_id"]), path, mpp, int(x_px), int(y_px), int(size_px), *counts
    )


def _number(row: dict[str, object], name: str) -> float:
    value = row.get(name, math.nan)
    try:
        return float(str(value))
    except ValueError as error:
        raise ValueError(f"{name} is no number: {value!r}") from error
