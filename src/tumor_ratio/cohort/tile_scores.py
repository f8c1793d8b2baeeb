"""What is measured of each tile pair before it is chosen: white, tissue, likeness."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.cohort.white_rule import WhiteLimits
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import Region, iter_regions
from tumor_ratio.imaging.similarity import ssim_rgb, structure_score
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.tile_similarity import ssim_of_squares
from tumor_ratio.imaging.tissue import tissue_fraction, white_fraction
from tumor_ratio.params import Params
from tumor_ratio.processes import own_threads, thread_pool
from tumor_ratio.steps import step

SCORE_COLUMNS = (
    "he_white",
    "ihc_white",
    "he_tissue",
    "ihc_tissue",
    "ssim_rgb",
    "structure_score",
)

CLEAR_SHARE = 0.1
"""A tile with this much tissue shows that its slide is not blank."""

SAME_MPP = 1e-6
"""Pixels that differ in size by less, as a share, are the same."""


class TileScoreParams(Params):
    """How tiles are measured."""

    mpp: float = Field(2.0, ge=0.05, le=16)
    """Micrometres per pixel at which white, tissue and structure are judged."""
    ssim_mpp: float = Field(2.0, ge=0.05, le=16)
    """Micrometres per pixel at which SSIM is computed; the study's is the tile's own. Where it is
    finer than `mpp`, only tiles that pass the white rule are read for it."""
    white_level: int = Field(225, ge=1, le=255)
    """A pixel is white when all its channels reach this value."""
    blur_um: float = Field(12.0, gt=0, le=64)
    """Blur of the structure score: finer structures differ between neighbouring sections."""
    background_um: float = Field(80.0, gt=0, le=640)
    """Background of the structure score: coarser structures agree for wrong partners too."""
    overview_mpp: float = Field(8.0, ge=1, le=20)
    """Micrometres per pixel at which a slide is searched for tissue whose tiles show little."""
    min_tissue_um2: float = Field(10_000.0, ge=0)
    """A slide with less tissue than this is refused as blank."""

    @model_validator(mode="after")
    def _background_is_coarser(self) -> TileScoreParams:
        if self.blur_um >= self.background_um:
            raise ValueError("background_um must be larger than blur_um")
        return self


@step(name="score_tiles", version=3)
def score_pair_tiles(
    pair: SlidePair, tiles: pd.DataFrame, params: TileScoreParams, white: WhiteLimits
) -> pd.DataFrame:
    """Measure the tiles of one slide pair.

    Parameters
    ----------
    pair : the slides; with only one of them, what needs the other is NaN.
    tiles : the slide's tiles (`schemas.Regions`).
    params : how to measure.
    white : tiles that break it get no SSIM at full resolution.

    Returns
    -------
    DataFrame
        One row a tile: region_id, slide_id and `SCORE_COLUMNS`; shares in [0, 1], scores in
        [-1, 1]. `structure_score` is also NaN where a side is blank, `ssim_rgb` where it was to be
        computed on finer pixels than the rest and the tile breaks the white rule.

    Raises
    ------
    SlideError
        If a slide shows no tissue, or cannot be read.
    """
    regions = list(iter_regions(tiles))
    with thread_pool() as pool:
        scores = list(pool.map(lambda tile: _coarse_scores(pair, tile, params), regions))
    for slide, stain, name in ((pair.he, "H&E", "he"), (pair.ihc, "IHC", "ihc")):
        if slide is not None:
            _require_tissue(slide, stain, regions, [s[f"{name}_tissue"] for s in scores], params)
    if pair.he is not None and pair.ihc is not None and params.ssim_mpp != params.mpp:
        chosen = [
            index
            for index, found in enumerate(scores)
            if not white.reasons(found["he_white"], found["ihc_white"])
        ]
        similarity = _fine_ssim(pair, [regions[index] for index in chosen], params.ssim_mpp)
        for index, value in zip(chosen, similarity, strict=True):
            scores[index]["ssim_rgb"] = float(value)
    rows = [
        {"region_id": tile.region_id, "slide_id": pair.slide_id, **found}
        for tile, found in zip(regions, scores, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["region_id", "slide_id", *SCORE_COLUMNS])
    return table.astype(dict.fromkeys(SCORE_COLUMNS, "float64"))


def at_mpp(region: Region, mpp: float) -> Region:
    """Give the same square at another resolution; its side is rounded to a whole pixel."""
    size_px = max(1, round(region.side_um / mpp))
    return Region(
        region.slide_id,
        region.tile_id,
        region.kind,
        region.x_px,
        region.y_px,
        size_px,
        region.side_um / size_px,
    )


def _coarse_scores(pair: SlidePair, tile: Region, params: TileScoreParams) -> dict[str, float]:
    """What is judged at `params.mpp`, from low levels of the slides."""
    region = at_mpp(tile, params.mpp)
    he = None if pair.he is None else pair.read_he(region)
    ihc = None if pair.ihc is None else pair.read_ihc(region)
    scores = dict.fromkeys(SCORE_COLUMNS, math.nan)
    for name, rgb in (("he", he), ("ihc", ihc)):
        if rgb is not None:
            scores[f"{name}_white"] = white_fraction(rgb, white_level=params.white_level)
            scores[f"{name}_tissue"] = tissue_fraction(rgb, region.mpp)
    if he is not None and ihc is not None:
        scores["structure_score"] = structure_score(
            he, ihc, region.mpp, blur_um=params.blur_um, background_um=params.background_um
        )
        if params.ssim_mpp == params.mpp:
            scores["ssim_rgb"] = ssim_rgb(he, ihc)
    return scores


def _fine_ssim(pair: SlidePair, tiles: Sequence[Region], mpp: float) -> npt.NDArray[np.float64]:
    """SSIM of the tiles at `mpp`; every pixel is read once where the slide has that very level."""
    frame = pair.frame
    fine = [at_mpp(tile, mpp) for tile in tiles]
    sides = {region.size_px for region in fine}
    if len(sides) != 1 or any(abs(region.mpp / frame.mpp - 1) > SAME_MPP for region in fine):
        return np.array([ssim_rgb(pair.read_he(tile), pair.read_ihc(tile)) for tile in fine])

    def read(x_px: int, y_px: int, width: int, height: int) -> tuple[RgbImage, RgbImage]:
        where = (x_px, y_px, (width, height), frame.mpp)
        return pair.read_he_at(*where), pair.read_ihc_at(*where)

    return ssim_of_squares(
        read,
        np.array([[region.x_px, region.y_px] for region in fine]),
        sides.pop(),
        block_px=frame.block_px,
        threads=own_threads(),
    )


def _require_tissue(
    slide: Slide,
    stain: str,
    tiles: Sequence[Region],
    shares: Sequence[float],
    params: TileScoreParams,
) -> None:
    """Refuse a blank slide; it is looked at as a whole where no tile alone shows enough.

    `shares` are the tiles' tissue. A small one proves nothing: a pen stroke that a tile's border
    cuts is no longer told by its width.
    """
    smaller = min(params.min_tissue_um2, 0.01 * slide.width_um * slide.height_um)
    if any(
        share >= CLEAR_SHARE and share * tile.side_um**2 > smaller
        for tile, share in zip(tiles, shares, strict=True)
    ):
        return
    overview, mpp = slide.read_overview(params.overview_mpp)
    tissue_um2 = tissue_fraction(overview, mpp) * overview.shape[0] * overview.shape[1] * mpp**2
    if tissue_um2 <= smaller:
        raise SlideError(
            slide.slide_id,
            f"no tissue found on the {stain} slide {slide.path.name}",
            "check that the scan shows the section, or leave the slide out",
        )
