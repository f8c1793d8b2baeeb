"""The tiles of a slide pair, and the patches cut from them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from pydantic import Field

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import (
    EdgeRule,
    Region,
    grid_offsets,
    iter_regions,
    regions_table,
    tile_grid,
)
from tumor_ratio.params import Params


class TileParams(Params):
    """The grid of tiles over each slide."""

    size_px: int = Field(1024, ge=16)
    """A tile's side, in pixels at `mpp`."""
    mpp: float = Field(0.5, ge=0.05, le=20)
    """Micrometres per pixel."""
    step_px: int = Field(1024, ge=1)
    """Distance between neighbouring tiles, in pixels at `mpp`; below `size_px` they overlap."""
    edge: EdgeRule = "shift"
    """At the slide's right and lower edge: drop the rest, shift a last tile inwards, or pad it."""


class PatchParams(Params):
    """The patches that networks see, cut from tiles."""

    size_px: int = Field(128, ge=16)
    """A patch's side, in pixels at `mpp`."""
    mpp: float = Field(1.0, ge=0.05, le=20)
    """Micrometres per pixel."""
    step_px: int = Field(64, ge=1)
    """Distance between neighbouring patches, in pixels at `mpp`."""


def tiles_of_pair(pair: SlidePair, params: TileParams) -> list[Region]:
    """Tiles on the pair's frame, row by row.

    Raises
    ------
    ConfigurationError
        If a tile has under 16 level-0 pixels a side.
    """
    frame = pair.frame
    if params.size_px * params.mpp < 16 * frame.mpp:
        raise ConfigurationError(
            f"tiles of {params.size_px} px at {params.mpp:g} um/px are under 16 px on slide "
            f"{pair.slide_id} ({frame.mpp:g} um/px)",
            "enlarge tiles.size_px or tiles.mpp",
        )
    corners = tile_grid(
        frame.width_px,
        frame.height_px,
        frame.mpp,
        params.size_px,
        params.mpp,
        params.step_px,
        params.edge,
    )
    return [
        Region(pair.slide_id, "", "tile", x_px, y_px, params.size_px, params.mpp)
        for x_px, y_px in corners
    ]


def patches_of_pair(
    pair: SlidePair,
    tiles: pd.DataFrame,
    params: PatchParams,
    *,
    called: str = "patches",
) -> pd.DataFrame:
    """Patches inside the given tiles of one slide.

    Parameters
    ----------
    pair : the slides, for the frame's size.
    tiles : the slide's tiles (`schemas.Regions`).
    params : size and distance of the patches.
    called : their parameter group, for messages.

    Returns
    -------
    DataFrame
        `schemas.Regions` of kind "patch", tile by tile. A patch lies wholly inside its tile and
        inside the slide (except on a slide smaller than a patch); where overlapping tiles share a
        patch it belongs to the first.

    Raises
    ------
    ConfigurationError
        If a patch is larger than a tile.
    """
    frame = pair.frame
    scale = params.mpp / frame.mpp
    side_px, step_px = params.size_px * scale, params.step_px * scale
    patches: dict[tuple[int, int], Region] = {}
    for tile in iter_regions(tiles):
        tile_px = tile.side_px(frame.mpp)
        if side_px > tile_px * (1 + 1e-9):
            raise ConfigurationError(
                f"{called} of {params.size_px * params.mpp:g} um do not fit tiles of "
                f"{tile.side_um:g} um",
                f"reduce {called}.size_px or {called}.mpp, or enlarge tiles.size_px",
            )
        offsets = grid_offsets(max(1, round(tile_px)), side_px, step_px, "drop")
        xs = _within(frame.width_px, tile.x_px, offsets, side_px)
        ys = _within(frame.height_px, tile.y_px, offsets, side_px)
        for y_px in ys:
            for x_px in xs:
                patch = Region(
                    pair.slide_id, tile.tile_id, "patch", x_px, y_px, params.size_px, params.mpp
                )
                patches.setdefault((x_px, y_px), patch)
    return regions_table(patches.values())


def lying_apart(squares: pd.DataFrame, frame_mpp: float) -> pd.DataFrame:
    """Those squares of one slide that overlap no earlier one which is kept, too.

    Parameters
    ----------
    squares : `schemas.Regions` of one size; tiles that overlap give squares that do.
    frame_mpp : micrometres per level-0 pixel.
    """
    corners_px = squares[["x_px", "y_px"]].to_numpy(dtype=np.float64)
    sides_px = (squares["size_px"] * squares["mpp"]).to_numpy(dtype=np.float64) / frame_mpp
    chosen = np.zeros(len(squares), dtype=bool)
    for index, corner in enumerate(corners_px):
        distance = np.abs(corners_px[:index][chosen[:index]] - corner).max(axis=1)
        # Corners are rounded to whole pixels.
        chosen[index] = not (distance < sides_px[index] - 1).any()
    return squares[chosen].reset_index(drop=True)


def _within(length_px: int, start_px: int, offsets: Iterable[int], side_px: float) -> list[int]:
    if length_px < side_px:
        return [start_px]
    return [start_px + o for o in offsets if start_px + o + side_px <= length_px + 0.5]
