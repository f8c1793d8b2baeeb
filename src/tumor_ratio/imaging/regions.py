"""Square regions of a slide, the grids they lie on, and their table.

A region lives in its frame: level-0 pixels of the pair's H&E slide (of the IHC slide where there is
no H&E), origin top left, half-open `[x, x + side)`. Its size is counted in pixels at its own `mpp`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

EdgeRule = Literal["drop", "shift", "pad"]
COLUMNS = ["region_id", "slide_id", "tile_id", "kind", "x_px", "y_px", "size_px", "mpp"]


@dataclass(frozen=True)
class Region:
    """A tile, or a patch cut from one.

    Parameters
    ----------
    slide_id : the pair it lies on.
    tile_id : the region id of its tile; a tile's own id is its tile id (empty means just that).
    kind : "tile" or "patch".
    x_px, y_px : top-left corner, level-0 pixels of the frame.
    size_px : width and height in pixels at `mpp`.
    mpp : micrometres per pixel.
    """

    slide_id: str
    tile_id: str
    kind: str
    x_px: int
    y_px: int
    size_px: int
    mpp: float

    def __post_init__(self) -> None:
        if not self.tile_id:
            object.__setattr__(self, "tile_id", self.region_id)

    @property
    def region_id(self) -> str:
        """Slide, corner, size and mpp in one name."""
        return f"{self.slide_id}_x{self.x_px}_y{self.y_px}_s{self.size_px}_m{self.mpp:g}"

    @property
    def side_um(self) -> float:
        """Width and height in micrometres."""
        return self.size_px * self.mpp

    def side_px(self, frame_mpp: float) -> float:
        """Width and height in level-0 pixels of a frame with `frame_mpp`; rarely a whole number."""
        return self.side_um / frame_mpp


def grid_offsets(length_px: int, side_px: float, step_px: float, edge: EdgeRule) -> list[int]:
    """Where the regions of one axis begin.

    Parameters
    ----------
    length_px : the slide's extent, level-0 pixels.
    side_px, step_px : a region's extent and the distance between neighbours, level-0 pixels.
    edge : what happens where the last region does not end with the slide. "drop": the rest is left
        out. "shift": a last region is moved inwards to end with the slide. "pad": a last region
        reaches beyond the slide (and is white there).

    Returns
    -------
    list of int
        Ascending, each once. A slide smaller than a region gives one region at 0, by every rule.
    """
    if length_px <= 0 or side_px <= 0 or step_px <= 0:
        raise ValueError("a grid needs positive lengths")
    if length_px <= side_px:
        return [0]
    slack = 1e-6 * side_px  # px * mpp / mpp is a whole number up to rounding only
    inside = int((length_px - side_px + slack) // step_px)
    offsets = [round(index * step_px) for index in range(inside + 1)]
    if offsets[-1] + side_px < length_px - slack:
        if edge == "shift":
            offsets.append(int(length_px - side_px + slack))
        elif edge == "pad":
            offsets.append(round((inside + 1) * step_px))
    if edge == "pad":
        offsets = [offset for offset in offsets if offset < length_px]
    return list(dict.fromkeys(offsets))


def tile_grid(
    width_px: int,
    height_px: int,
    frame_mpp: float,
    size_px: int,
    mpp: float,
    step_px: int,
    edge: EdgeRule,
) -> list[tuple[int, int]]:
    """Top-left corners of the tiles of a slide, row by row.

    Parameters
    ----------
    width_px, height_px, frame_mpp : the frame's slide at level 0.
    size_px, step_px : a tile's side and the distance between neighbours, in pixels at `mpp`.
    mpp : micrometres per pixel of the tiles.
    edge : see `grid_offsets`.

    Returns
    -------
    list of (x_px, y_px)
        Level-0 pixels of the frame.
    """
    scale = mpp / frame_mpp
    columns = grid_offsets(width_px, size_px * scale, step_px * scale, edge)
    rows = grid_offsets(height_px, size_px * scale, step_px * scale, edge)
    return [(x_px, y_px) for y_px in rows for x_px in columns]


def regions_table(regions: Iterable[Region]) -> pd.DataFrame:
    """Table of regions (`schemas.Regions`); typed columns even where there is no region."""
    rows = [{"region_id": r.region_id, **dataclasses.asdict(r)} for r in regions]
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = {"x_px": "int64", "y_px": "int64", "size_px": "int64", "mpp": "float64"}
    texts = dict.fromkeys(["region_id", "slide_id", "tile_id", "kind"], "str")
    return table.astype({**numbers, **texts})


def regions_of(table: pd.DataFrame, slide_id: str) -> pd.DataFrame:
    """Rows of one slide, in the table's order, with a fresh index."""
    return table.loc[table["slide_id"] == slide_id].reset_index(drop=True)


def iter_regions(table: pd.DataFrame) -> Iterator[Region]:
    """Regions of a table (`schemas.Regions`; further columns are ignored), row by row."""
    names = ["slide_id", "tile_id", "kind", "x_px", "y_px", "size_px", "mpp"]
    for slide_id, tile_id, kind, x_px, y_px, size_px, mpp in zip(
        *(table[name] for name in names), strict=True
    ):
        yield Region(
            str(slide_id), str(tile_id), str(kind), int(x_px), int(y_px), int(size_px), float(mpp)
        )
