"""A picture of tile pairs that were kept and that were not, with the scores that decided."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.cohort.tile_scores import at_mpp
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import Region, iter_regions
from tumor_ratio.params import Params

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, KEPT, REJECTED = "#1f2430", "#6b7280", "#1a7f4b", "#b3261e"
THUMB_INCHES = 1.35
CAPTION_INCHES = 2.3
HEADER_INCHES, FOOTER_INCHES = 0.95, 0.35


class ContactSheetParams(Params):
    """What the contact sheet shows."""

    n_kept: int = Field(8, ge=1, le=40)
    """Kept tile pairs, from the best structure score to the worst."""
    n_rejected: int = Field(8, ge=1, le=40)
    """Rejected tile pairs, every kind of reason in turn."""
    thumb_px: int = Field(200, ge=32, le=800)
    """A thumbnail's side in pixels."""


def contact_sheet(
    cohort: Cohort, tiles: pd.DataFrame, quality: pd.DataFrame, params: ContactSheetParams
) -> Figure:
    """Draw kept pairs (left) and rejected pairs (right): H&E beside IHC, id, score and reason.

    Parameters
    ----------
    cohort : the slides; thumbnails are read from them.
    tiles, quality : `schemas.Regions` and `schemas.TileQuality`.
    params : how many, how large.

    Returns
    -------
    matplotlib.figure.Figure
        Bound to no window. A missing side or an unreadable tile is a grey square that says so.
    """
    from matplotlib.figure import Figure

    regions = {region.region_id: region for region in iter_regions(tiles)}
    kept = spread_by_score(quality[quality["kept"]], params.n_kept)
    rejected = one_of_each_reason(quality[~quality["kept"]], params.n_rejected)
    rows = max(len(kept), len(rejected), 1)
    column_inches = 2 * THUMB_INCHES + CAPTION_INCHES
    width = 2 * column_inches + 0.7
    height = HEADER_INCHES + rows * (THUMB_INCHES + 0.12) + FOOTER_INCHES
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    for side, (rows_of_side, title, colour) in enumerate(
        (
            (kept, f"kept: {int(quality['kept'].sum())}", KEPT),
            (rejected, f"rejected: {int((~quality['kept']).sum())}", REJECTED),
        )
    ):
        left = 0.25 + side * (column_inches + 0.2)
        _write(figure, left, height - 0.62, f"{title} of {len(quality)} tile pairs", colour, 11)
        _write(figure, left, height - 0.84, "H&E", MUTED, 8)
        _write(figure, left + THUMB_INCHES + 0.06, height - 0.84, "IHC, same place", MUTED, 8)
        for row, (_, tile) in enumerate(rows_of_side.iterrows()):
            bottom = height - HEADER_INCHES - (row + 1) * (THUMB_INCHES + 0.12) + 0.12
            region = regions[str(tile["region_id"])]
            for place, stain in enumerate(("he", "ihc")):
                offset = left + place * (THUMB_INCHES + 0.06)
                box = _box(figure, offset, bottom, THUMB_INCHES, THUMB_INCHES)
                _show(box, thumbnail(cohort, region, stain, params.thumb_px), colour)
            _caption(figure, left + 2 * THUMB_INCHES + 0.18, bottom + THUMB_INCHES, region, tile)
        if rows_of_side.empty:
            _write(figure, left, height - HEADER_INCHES - 0.3, "none", MUTED, 9)
    _write(figure, 0.25, height - 0.33, "Tile pairs", INK, 14)
    _write(figure, 0.25, 0.12, _footer(cohort), MUTED, 8)
    return figure


def spread_by_score(quality: pd.DataFrame, count: int) -> pd.DataFrame:
    """Pick `count` rows evenly from the best structure score to the worst (NaN last)."""
    ordered = quality.sort_values(
        ["structure_score", "region_id"], ascending=[False, True], na_position="last"
    )
    if len(ordered) <= count:
        return ordered
    return ordered.iloc[np.linspace(0, len(ordered) - 1, count).round().astype(int)]


def one_of_each_reason(quality: pd.DataFrame, count: int) -> pd.DataFrame:
    """Pick `count` rows, taking the kinds of reason in turn, the highest score of each first."""
    kinds = quality["reason"].str.replace(r"[-\d.]+", "", regex=True)
    ordered = quality.assign(_kind=kinds).sort_values(
        ["structure_score", "region_id"], ascending=[False, True], na_position="last"
    )
    turn = ordered.groupby("_kind").cumcount()
    picked = ordered.assign(_turn=turn).sort_values(["_turn", "_kind"], kind="stable").head(count)
    return picked.sort_values(["_kind", "_turn"], kind="stable").drop(columns=["_kind", "_turn"])


def thumbnail(cohort: Cohort, region: Region, stain: str, thumb_px: int) -> RgbImage | str:
    """Small picture of a region of one stain, or why there is none."""
    pair = cohort[region.slide_id]
    if (pair.he if stain == "he" else pair.ihc) is None:
        return "no slide"
    small = at_mpp(region, region.side_um / thumb_px)
    try:
        return pair.read_he(small) if stain == "he" else pair.read_ihc(small)
    except SlideError:
        return "unreadable"


def _caption(figure: Figure, left: float, top: float, region: Region, tile: pd.Series) -> None:
    scores = [
        f"structure {_score(tile['structure_score'])}   SSIM {_score(tile['ssim_rgb'])}",
        f"white {_score(tile['he_white'])} / {_score(tile['ihc_white'])}",
    ]
    place = f"x {region.x_px}  y {region.y_px}  ({region.side_um:.0f} um)"
    _write(figure, left, top - 0.16, region.slide_id, INK, 9.5, weight="bold")
    for line, text in enumerate((place, *scores)):
        _write(figure, left, top - 0.36 - 0.17 * line, text, MUTED, 8)
    reasons = [line for text in str(tile["reason"]).split("; ") for line in textwrap.wrap(text, 38)]
    for line, text in enumerate(reasons[:3]):
        _write(figure, left, top - 0.89 - 0.16 * line, text, REJECTED, 8)


def _footer(cohort: Cohort) -> str:
    note = "n/a: could not be measured.  White: share of H&E / of IHC."
    if any(pair.data_kind == "phantom" for pair in cohort):
        note = f"SYNTHETIC IMAGES, not tissue.  {note}"
    return note


def _score(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.2f}"


def _show(axes: Axes, picture: RgbImage | str, colour: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_edgecolor(colour)
        spine.set_linewidth(0.9)
    if isinstance(picture, str):
        axes.set_facecolor("#eceef1")
        axes.text(0.5, 0.5, picture, ha="center", va="center", color=MUTED, fontsize=8)
    else:
        axes.imshow(picture, interpolation="lanczos", aspect="auto")


def _box(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    total_width, total_height = figure.get_size_inches()
    return figure.add_axes(
        (left / total_width, bottom / total_height, width / total_width, height / total_height)
    )


def _write(
    figure: Figure, left: float, bottom: float, text: str, colour: str, size: float, **style: Any
) -> None:
    total_width, total_height = figure.get_size_inches()
    figure.text(left / total_width, bottom / total_height, text, color=colour, size=size, **style)
