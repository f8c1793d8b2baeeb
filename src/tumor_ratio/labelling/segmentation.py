"""The step that finds a slide's nuclei: once, on unwarped pixels of its own section."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, uniform_filter

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.channels import channel_sum
from tumor_ratio.imaging.foreign_colour import is_foreign
from tumor_ratio.imaging.nucleus_density import high_per_nucleus, mean_per_nucleus
from tumor_ratio.imaging.outlines import pack_outlines
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.stain_estimation import own_hematoxylin
from tumor_ratio.imaging.stains import H_DAB, H_E, StainVectors, optical_density
from tumor_ratio.imaging.white_point import against_white, slide_overview, white_od
from tumor_ratio.labelling.declaration_checks import (
    Section,
    refuse_impossible_sizes,
    refuse_other_stains,
)
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.metrics.positivity import call_confidence, grades
from tumor_ratio.metrics.ratios import region_bounds
from tumor_ratio.models.segmentation import Segmentation
from tumor_ratio.models.segmentation_blocks import segment_blocks
from tumor_ratio.models.segmenter import SegmenterRef, open_segmenter
from tumor_ratio.steps import step

COLUMNS = {
    "nucleus_id": np.int64,
    "x_px": np.float64,
    "y_px": np.float64,
    "x_he_px": np.float64,
    "y_he_px": np.float64,
    "area_um2": np.float64,
    "hematoxylin_od": np.float64,
    "dab_od_mean": np.float64,
    "dab_od_max": np.float64,
    "dab_od_core": np.float64,
    "dab_od_between": np.float64,
    "positive": np.bool_,
    "grade": np.int64,
    "confidence": np.float64,
    "detection": np.float64,
    "outline": object,
}
MEAN_OD = ["red_od", "green_od", "blue_od"]
CORE_OD = ["red_core_od", "green_core_od", "blue_core_od"]
BETWEEN_OD = ["red_between_od", "green_between_od", "blue_between_od"]
"""Mean optical densities of a nucleus, of its core, of the tissue between the nuclei around it:
from these its stains are told once the slide's are known."""
HALO_PX = 2
"""So far around nuclei, in the network's pixels, is not between them."""
AROUND_PX = 65
"""Side of the square around a nucleus whose tissue is looked at."""
TISSUE_OD = 0.1
"""Sum of the three densities from which a pixel is tissue."""
NATIVE_TOLERANCE = 0.05
"""A slide whose own resolution is this close to the network's is read without resampling."""


@step(name="segment_nuclei", version=5)
def segment_slide(
    pair: SlidePair,
    tiles: pd.DataFrame,
    section: Section,
    model: SegmenterRef,
    params: SegmentationParams,
) -> pd.DataFrame:
    """Nuclei of one section where tiles lie.

    Parameters
    ----------
    pair : the slide pair.
    tiles : rows of `Regions` of that pair; they may overlap, a nucleus is counted once.
    section : which of the two slides.
    model : the network.
    params : threshold, block size, margin.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.Nuclei`, by row of blocks; DAB columns are NaN on H&E. No rows where no
        nucleus is found.

    Raises
    ------
    SlideError
        If the pair has no such section, it cannot be read, or shows another stain.
    """
    slide = pair.he if section == "he" else pair.ihc
    if slide is None:
        raise SlideError(pair.slide_id, f"has no {section} section", "leave it out of this step")
    overview = slide_overview(slide)
    if params.check_slide:
        refuse_other_stains(pair.slide_id, overview, section)
    white = white_od(overview)
    segmenter = open_segmenter(model)
    if params.block_px < 2 * segmenter.margin_px + segmenter.stride_px:
        raise SlideError(
            pair.slide_id,
            f"blocks of {params.block_px} px hold nothing but the {segmenter.margin_px} px that "
            "the nuclei model must see around a nucleus",
            "raise segmentation.block_px, or choose a nuclei model with fewer levels",
        )
    scale = _level0_px_a_pixel(slide, segmenter.mpp)
    boxes = tile_boxes(pair, tiles, section, params.margin_um) / scale
    extent_px = (math.ceil(slide.width_px / scale), math.ceil(slide.height_px / scale))
    parts = []
    for block, rgb, found, own in segment_blocks(
        lambda x, y, width, height: against_white(
            slide.read(x * scale, y * scale, (width, height), slide.mpp * scale), white
        ),
        boxes,
        segmenter,
        section,
        block_px=params.block_px,
        extent_px=extent_px,
    ):
        left, top = block.read_box[:2]
        x, y = found.x_px + left, found.y_px + top
        wanted = own & _in_any(x, y, boxes)
        if not wanted.any():
            continue
        table = _measure(rgb, found, section)
        table["x_px"], table["y_px"] = x * scale, y * scale
        um_a_px = slide.mpp * scale
        table["area_um2"] = found.area_px * um_a_px**2
        centroids = np.stack([found.x_px, found.y_px], axis=1)
        table["outline"] = pack_outlines(
            (found.center_px - centroids) * um_a_px, found.radii_px * um_a_px
        )
        parts.append(table[wanted])
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
    found_nuclei = pd.concat(parts, ignore_index=True)
    if params.check_slide:
        areas = found_nuclei["area_um2"].to_numpy(dtype=np.float64)
        refuse_impossible_sizes(pair.slide_id, areas, slide.mpp, section)
    nuclei = _stained(found_nuclei, section, params)
    xy_px = nuclei[["x_px", "y_px"]].to_numpy(dtype=np.float64)
    frame_px = pair.ihc_to_frame_px(xy_px) if section == "ihc" else xy_px
    nuclei["x_he_px"], nuclei["y_he_px"] = frame_px[:, 0], frame_px[:, 1]
    nuclei["nucleus_id"] = np.arange(len(nuclei))
    return nuclei[list(COLUMNS)].astype(COLUMNS).reset_index(drop=True)


def tile_boxes(
    pair: SlidePair, tiles: pd.DataFrame, section: Section, margin_um: float
) -> NDArray[np.float64]:
    """Where tiles lie on a section, as upright boxes that may be a little too large.

    Parameters
    ----------
    pair, tiles, section : as in `segment_slide`.
    margin_um : added on every side.

    Returns
    -------
    (K, 4) float64
        Left, top, right, bottom in level-0 pixels of the section, clipped to the slide.
    """
    left, top, right, bottom = region_bounds(tiles, pair.frame.mpp)
    slide = pair.he if section == "he" else pair.ihc
    assert slide is not None
    if section == "ihc" and pair.he is not None:
        # The transform bends a tile's border: follow it at some points.
        steps = np.linspace(0, 1, 9)
        border = np.array(
            [[s, e] for s in steps for e in (0, 1)] + [[e, s] for s in steps for e in (0, 1)]
        )
        corner = np.stack([left, top], axis=1)
        side = np.stack([right - left, bottom - top], axis=1)
        points = corner[:, None] + side[:, None] * border[None]
        mapped = pair.transform.forward(points.reshape(-1, 2) * pair.he.mpp) / slide.mpp
        mapped = mapped.reshape(len(tiles), -1, 2)
        low, high = mapped.min(axis=1), mapped.max(axis=1)
    else:
        low, high = np.stack([left, top], axis=1), np.stack([right, bottom], axis=1)
    margin_px = margin_um / slide.mpp
    extent = np.array([slide.width_px, slide.height_px], dtype=np.float64)
    return np.concatenate(
        [np.clip(low - margin_px, 0, extent), np.clip(high + margin_px, 0, extent)], axis=1
    )


def _level0_px_a_pixel(slide: Slide, mpp: float) -> float:
    """Level-0 pixels a network pixel: a whole number where that is within the tolerance."""
    scale = mpp / slide.mpp
    whole = max(round(scale), 1)
    return float(whole) if abs(scale / whole - 1) <= NATIVE_TOLERANCE else scale


def _in_any(
    x: NDArray[np.float64], y: NDArray[np.float64], boxes: NDArray[np.float64]
) -> NDArray[np.bool_]:
    inside = np.zeros(len(x), dtype=bool)
    for left, top, right, bottom in boxes:
        inside |= (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return inside


def _measure(rgb: NDArray[np.uint8], found: Segmentation, section: Section) -> pd.DataFrame:
    """Optical densities of each nucleus of a block, in the order of the labels."""
    n_nuclei = len(found)
    od = optical_density(rgb)
    core_labels = np.where(found.core, found.labels, 0)
    columns: dict[str, NDArray[np.float64]] = {}
    for channel, (name, core_name) in enumerate(zip(MEAN_OD, CORE_OD, strict=True)):
        whole = mean_per_nucleus(found.labels, n_nuclei, od[..., channel])
        core = mean_per_nucleus(core_labels, n_nuclei, od[..., channel])
        # A nucleus whose core others cover is measured as a whole.
        columns |= {name: whole, core_name: np.where(np.isnan(core), whole, core)}
    table = pd.DataFrame(columns)
    table["dab_od_max"] = np.nan  # H&E holds no DAB
    if section == "ihc":
        table[BETWEEN_OD] = _between(found, od)
        to_dab = np.linalg.inv(H_DAB.matrix())[:, 1].astype(np.float32)
        table["dab_od_max"] = high_per_nucleus(found.labels, n_nuclei, od @ to_dab)
    table["detection"] = found.score
    return table


def _between(found: Segmentation, od: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 3) mean densities of the tissue between the nuclei around each; 0 where there is none."""
    near = maximum_filter(found.labels > 0, size=2 * HALO_PX + 1)
    between = (~near & (channel_sum(od) > TISSUE_OD)).astype(np.float32)
    rows, columns = found.y_px.astype(np.intp), found.x_px.astype(np.intp)
    share = uniform_filter(between, AROUND_PX, mode="constant")[rows, columns]
    sums = [
        uniform_filter(od[..., channel] * between, AROUND_PX, mode="constant")[rows, columns]
        for channel in range(3)
    ]
    return np.where(share > 1e-6, np.stack(sums) / np.maximum(share, 1e-6), 0).T.astype(np.float64)


def _stained(nuclei: pd.DataFrame, section: Section, params: SegmentationParams) -> pd.DataFrame:
    """Stains of a slide's nuclei, by the slide's own hematoxylin on IHC.

    Separation is linear in the optical densities: a nucleus' mean amounts follow from its mean
    densities, and no pixel is read again. On IHC, what is brown only because it is grey, green or
    black (dust, ink) is left out.
    """
    if section == "he":
        none = np.full(len(nuclei), np.nan)
        hematoxylin = _amounts(nuclei, MEAN_OD, H_E)[:, 0]
        stained = nuclei.assign(hematoxylin_od=hematoxylin, dab_od_mean=none, dab_od_between=none)
        return _called(stained, none, params)
    vectors, core_od = H_DAB, nuclei[CORE_OD].to_numpy(dtype=np.float64)
    if params.own_hematoxylin:
        vectors = own_hematoxylin(core_od, H_DAB, max_dab_od=params.positive_dab_od)
    if vectors is not H_DAB:
        brown = _amounts(nuclei, CORE_OD, vectors)[:, 1] > params.positive_dab_od / 2
        nuclei = nuclei[~(brown & is_foreign(core_od, vectors))]
    whole, core = (_amounts(nuclei, names, vectors) for names in (MEAN_OD, CORE_OD))
    # The peak is measured on pixels, by the fixed vectors; what turned the mean turns it.
    turned = whole[:, 1] - _amounts(nuclei, MEAN_OD, H_DAB)[:, 1]
    stained = nuclei.assign(
        hematoxylin_od=whole[:, 0],
        dab_od_mean=whole[:, 1],
        dab_od_max=nuclei["dab_od_max"] + turned,
        dab_od_between=_amounts(nuclei, BETWEEN_OD, vectors)[:, 1],
    )
    return _called(stained, core[:, 1], params)


def _amounts(nuclei: pd.DataFrame, names: list[str], vectors: StainVectors) -> NDArray[np.float64]:
    """(N, 3) first stain, second stain and residual."""
    return nuclei[names].to_numpy(dtype=np.float64) @ np.linalg.inv(vectors.matrix())


def _called(
    nuclei: pd.DataFrame, dab_od_core: NDArray[np.float64], params: SegmentationParams
) -> pd.DataFrame:
    """Positive or negative by the core's DAB, with grade and confidence."""
    return nuclei.assign(
        dab_od_core=dab_od_core,
        positive=dab_od_core > params.positive_dab_od,
        grade=grades(dab_od_core, (params.positive_dab_od, *params.stronger_dab_od)),
        confidence=call_confidence(dab_od_core, params.positive_dab_od),
    )
