"""Choosing tile pairs, with a reason for each that is not kept."""

from __future__ import annotations

import math
from typing import Literal

import pandas as pd
from pydantic import Field

from tumor_ratio.cohort.white_rule import WhiteLimits
from tumor_ratio.errors import ConfigurationError

EXCLUSION_COLUMNS = ("region_id", "slide_id", "x_px", "y_px", "note")


class TileSelectionParams(WhiteLimits):
    """Which tile pairs are kept."""

    rule: Literal["structure", "ssim", "none"] = "structure"
    """What tells true neighbours from bad pairs: the tissue's structure, or the study's SSIM."""
    min_structure: float = Field(0.4, ge=-1, le=1)
    """Tile pairs must exceed this tissue-structure score (rule "structure")."""
    min_ssim: float = Field(0.4, ge=-1, le=1)
    """Tile pairs must exceed this SSIM (rule "ssim"); the study's value."""


def select_tile_pairs(
    tiles: pd.DataFrame,
    scores: pd.DataFrame,
    exclusions: pd.DataFrame | None,
    params: TileSelectionParams,
) -> pd.DataFrame:
    """Decide on each tile.

    Parameters
    ----------
    tiles : all tiles (`schemas.Regions`).
    scores : what was measured of them; tiles of slides that could not be scored are missing.
    exclusions : tiles that were looked at and turned down, see `excluded_tiles`; or None.
    params : the rules.

    Returns
    -------
    DataFrame
        `schemas.TileQuality`, a row for each scored tile in the order of `tiles`. All reasons
        against a tile are given, joined by "; ". A missing side is no reason. `admitted` asks the
        white rule of the frame's own slide only, as for a new slide without IHC.

    Raises
    ------
    ConfigurationError
        If an exclusion names no tile, or no tile at all is kept.
    """
    notes = excluded_tiles(exclusions, tiles)
    measured = scores.drop(columns=["slide_id"]).set_index("region_id")
    rows = []
    for region_id, slide_id in zip(tiles["region_id"], tiles["slide_id"], strict=True):
        if region_id not in measured.index:
            continue
        tile = measured.loc[region_id]
        reasons = _reasons(tile, params)
        if region_id in notes:
            reasons.append(f"excluded by hand: {notes[region_id]}".removesuffix(": "))
        rows.append(
            {
                "region_id": region_id,
                "slide_id": slide_id,
                "he_white": tile["he_white"],
                "ihc_white": tile["ihc_white"],
                "ssim_rgb": tile["ssim_rgb"],
                "structure_score": tile["structure_score"],
                "admitted": _admitted(tile, params),
                "kept": not reasons,
                "reason": "; ".join(reasons),
            }
        )
    quality = pd.DataFrame(rows)
    if quality.empty or not quality["kept"].any():
        raise ConfigurationError(
            f"none of {len(quality)} tile pairs is kept{_commonest_reasons(quality)}",
            "look at the contact sheet's scores and loosen tile_selection, or check the pairing",
        )
    return quality


def excluded_tiles(exclusions: pd.DataFrame | None, tiles: pd.DataFrame) -> dict[str, str]:
    """Region ids of the tiles excluded by hand, with their notes.

    Parameters
    ----------
    exclusions : a row a tile, named by `region_id` or by `slide_id, x_px, y_px`, with an optional
        `note`; None or empty excludes nothing.
    tiles : all tiles (`schemas.Regions`).

    Raises
    ------
    ConfigurationError
        If columns are missing, or rows name no tile: all of them are listed.
    """
    if exclusions is None or exclusions.empty:
        return {}
    by_place = {
        (slide_id, x_px, y_px): region_id
        for slide_id, x_px, y_px, region_id in zip(
            tiles["slide_id"], tiles["x_px"], tiles["y_px"], tiles["region_id"], strict=True
        )
    }
    known = set(tiles["region_id"])
    names = set(exclusions.columns)
    if "region_id" not in names and not {"slide_id", "x_px", "y_px"} <= names:
        raise ConfigurationError(
            f"exclusions have the columns {', '.join(map(str, exclusions.columns))}",
            "name tiles by region_id, or by slide_id, x_px and y_px",
        )
    notes: dict[str, str] = {}
    unknown = []
    for row in exclusions.to_dict("records"):
        place = (_text(row.get("slide_id")), _whole(row.get("x_px")), _whole(row.get("y_px")))
        region_id = _text(row.get("region_id")) or by_place.get(place, "")
        if region_id in known:
            notes[region_id] = _text(row.get("note"))
        else:
            unknown.append(region_id or f"{place[0]} ({place[1]}, {place[2]})")
    if unknown:
        raise ConfigurationError(
            f"exclusions name {len(unknown)} tile(s) that do not exist: {', '.join(unknown)}",
            "correct them; ids change with the tiles' size, mpp and step",
        )
    return notes


def _reasons(tile: pd.Series, params: TileSelectionParams) -> list[str]:
    reasons = params.reasons(tile["he_white"], tile["ihc_white"])
    is_pair = not (math.isnan(tile["he_white"]) or math.isnan(tile["ihc_white"]))
    name, score, limit = {
        "structure": ("structure", tile["structure_score"], params.min_structure),
        "ssim": ("SSIM", tile["ssim_rgb"], params.min_ssim),
        "none": ("", math.inf, 0.0),
    }[params.rule]
    # A tile that is too white was perhaps not read at full resolution: its SSIM is not known.
    unread = params.rule == "ssim" and bool(reasons)
    if is_pair and math.isnan(score):
        reasons += [] if unread else [f"{name} undefined: a side is blank"]
    elif is_pair and not score > limit:
        reasons.append(f"{name} {score:.2f} <= {limit:.2f}")
    return reasons


def _admitted(tile: pd.Series, params: TileSelectionParams) -> bool:
    if not math.isnan(tile["he_white"]):
        return bool(tile["he_white"] <= params.max_he_white)
    return bool(tile["ihc_white"] <= params.max_ihc_white)


def _commonest_reasons(quality: pd.DataFrame) -> str:
    if quality.empty:
        return ""
    kinds = quality["reason"].str.split("; ").explode().str.extract(r"^(\D+)")[0].str.strip()
    counted = ", ".join(f"{kind} {count}" for kind, count in kinds.value_counts().items())
    return f" ({counted})"


def _text(value: object) -> str:
    return "" if value is None or pd.isna(value) else str(value).strip()  # type: ignore[call-overload]


def _whole(value: object) -> int | None:
    text = _text(value)
    try:
        return round(float(text))
    except ValueError:
        return None
