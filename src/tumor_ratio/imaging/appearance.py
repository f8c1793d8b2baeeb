"""How an H&E slide looks, in a few numbers: to tell whether it looks like a training's slides.

Taken from an overview of about 1024 px and a few tiles of its tissue; under a second a slide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tumor_ratio.imaging.gaussian import gaussian_blur
from tumor_ratio.imaging.nuclear_area import SMOOTHING_UM, hematoxylin_threshold
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.sharpness import sharpness
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.stain_kind import eosin_share, is_dark_field
from tumor_ratio.imaging.stains import H_E, channel_density, separate
from tumor_ratio.imaging.tissue import tissue_mask
from tumor_ratio.imaging.white_point import (
    OVERVIEW_SIDE_PX,
    against_white,
    has_glass,
    slide_overview,
    white_od,
)

TILES = 8
TILE_UM = 128.0
TILE_MPP = 0.5
"""Pixels of the tiles, or the slide's own where these are larger."""

NUCLEUS_UM2 = (8.0, 400.0)
"""Connected hematoxylin of other areas is no nucleus, nor a few that touch."""
FEATURES = {
    "red_od": 0.06,
    "green_od": 0.06,
    "blue_od": 0.06,
    "nuclei_green_over_red": 0.10,
    "nuclei_blue_over_red": 0.10,
    "rest_red_over_green": 0.10,
    "rest_blue_over_green": 0.10,
    "contrast_od": 0.06,
    "nuclear_share": 0.05,
    "nucleus_um": 0.75,
}
"""What is compared between slides, each with the spread that slides of one laboratory have at
least: smaller differences say nothing, however alike a few training slides are."""


@dataclass(frozen=True)
class Appearance:
    """How an H&E slide looks. Densities are decadic, against the slide's own white; NaN: unknown.

    Parameters
    ----------
    mpp : micrometres per level-0 pixel.
    glass : whether its brightest pixels are bright enough to be glass.
    dark_field : whether it shows light on a dark ground, as fluorescence does.
    eosin_share : share of the stained pixels that are eosin-pink.
    tissue_share : share of the overview that shows tissue.
    nuclei_per_mm2 : spots of hematoxylin of a nucleus' size, on tissue.
    sharpness : median over its tiles, see `sharpness.sharpness`; how well it is in focus.
    red_od, green_od, blue_od : mean densities of tissue.
    nuclei_green_over_red, nuclei_blue_over_red : hue of nuclei, ratios of their mean densities.
    rest_red_over_green, rest_blue_over_green : hue of tissue outside nuclei.
    contrast_od : standard deviation of the mean density of the three channels over tissue.
    nuclear_share : share of tissue that hematoxylin stains.
    nucleus_um : median diameter of the spots.
    """

    mpp: float
    glass: bool
    dark_field: bool
    eosin_share: float
    tissue_share: float
    nuclei_per_mm2: float
    sharpness: float
    red_od: float
    green_od: float
    blue_od: float
    nuclei_green_over_red: float
    nuclei_blue_over_red: float
    rest_red_over_green: float
    rest_blue_over_green: float
    contrast_od: float
    nuclear_share: float
    nucleus_um: float

    def features(self) -> NDArray[np.float64]:
        """(F,) float64, the numbers of `FEATURES` in their order."""
        return np.array([getattr(self, name) for name in FEATURES], dtype=np.float64)

    def to_record(self) -> dict[str, Any]:
        """Describe it for JSON; what is unknown is None."""
        return {name: None if _unknown(value) else value for name, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Appearance:
        """What `to_record` described; older records lack the sharpness, which is unknown then."""
        known = {"sharpness": None, **record}
        named: dict[str, Any] = {each.name: known[each.name] for each in fields(cls)}
        unknown = dict.fromkeys((name for name, value in named.items() if value is None), math.nan)
        return cls(**{**named, **unknown})


def slide_appearance(slide: Slide) -> Appearance:
    """How a slide looks.

    Parameters
    ----------
    slide : the H&E slide.

    Raises
    ------
    SlideError
        If it cannot be read.
    """
    overview = slide_overview(slide)
    overview_mpp = max(slide.mpp, max(slide.width_um, slide.height_um) / OVERVIEW_SIDE_PX)
    white = white_od(overview)
    mask = tissue_mask(overview, overview_mpp)
    tiles = [against_white(tile, white) for tile in _tiles(slide, mask, overview_mpp)]
    tile_mpp = max(TILE_MPP, slide.mpp)
    return Appearance(
        mpp=slide.mpp,
        glass=has_glass(overview),
        dark_field=is_dark_field(overview),
        eosin_share=eosin_share(overview),
        tissue_share=float(mask.mean()),
        **_of_tiles(tiles, tile_mpp),
    )


def _tiles(slide: Slide, mask: NDArray[np.bool_], overview_mpp: float) -> list[RgbImage]:
    """Squares around places that are spread evenly over the tissue."""
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return []
    places = ((np.arange(TILES) + 0.5) * len(rows) / TILES).astype(int)
    mpp = max(TILE_MPP, slide.mpp)
    size_px = max(1, round(TILE_UM / mpp))
    scale = overview_mpp / slide.mpp
    half = TILE_UM / 2 / slide.mpp
    tiles = []
    for place in places:
        x, y = ((index[place] + 0.5) * scale - half for index in (columns, rows))
        x = min(max(0.0, x), max(0.0, slide.width_px - 2 * half))
        y = min(max(0.0, y), max(0.0, slide.height_px - 2 * half))
        tiles.append(slide.read(x, y, size_px, mpp))
    return tiles


def _of_tiles(tiles: list[RgbImage], mpp: float) -> dict[str, Any]:
    names = ["nuclei_per_mm2", "sharpness", *FEATURES]
    masks = [tissue_mask(tile, mpp) for tile in tiles]
    if not any(mask.any() for mask in masks):
        return dict.fromkeys(names, math.nan)
    threshold = hematoxylin_threshold(np.stack(tiles), mpp)
    stained = [_hematoxylin(tile, mpp) > threshold for tile in tiles]
    areas = np.concatenate(
        [_spots_um2(spots & mask, mpp) for spots, mask in zip(stained, masks, strict=True)]
    )
    inside = np.stack(masks)
    od = channel_density(np.stack(tiles))[inside]
    nuclear = np.stack(stained)[inside]
    red, green, blue = od.mean(axis=0)
    nuclei, rest = (od[part].mean(axis=0) if part.any() else None for part in (nuclear, ~nuclear))
    n_red, n_green, n_blue = _parts(nuclei)
    r_red, r_green, r_blue = _parts(rest)
    diameter = float(np.median(np.sqrt(areas * 4 / math.pi))) if len(areas) else math.nan
    values = (
        len(areas) / (inside.sum() * mpp**2 / 1e6),
        _median(
            [sharpness(tile, mpp) for tile, mask in zip(tiles, masks, strict=True) if mask.any()]
        ),
        *(red, green, blue),
        *(n_green / n_red, n_blue / n_red),
        *(r_red / r_green, r_blue / r_green),
        od.mean(axis=1).std(),
        nuclear.mean(),
        diameter,
    )
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _median(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.median(known)) if known else math.nan


def _parts(od: NDArray[np.floating] | None) -> tuple[float, float, float]:
    if od is None:
        return math.nan, math.nan, math.nan
    red, green, blue = (max(float(value), 1e-3) for value in od)
    return red, green, blue


def _spots_um2(spots: NDArray[np.bool_], mpp: float) -> NDArray[np.float64]:
    labels, count = ndimage.label(spots)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:] * mpp**2
    least, most = NUCLEUS_UM2
    return np.asarray(area[(area >= least) & (area <= most)], dtype=np.float64)


def _hematoxylin(rgb: RgbImage, mpp: float) -> NDArray[np.float32]:
    return gaussian_blur(separate(rgb, H_E)[..., 0], SMOOTHING_UM / mpp, mode="reflect")


def _unknown(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
