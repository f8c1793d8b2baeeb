"""The step that finds a slide's nuclei: once, on unwarped pixels of its own section."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.nucleus_density import high_per_nucleus, mean_per_nucleus
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.stain_estimation import own_hematoxylin
from tumor_ratio.imaging.stains import H_DAB, H_E, optical_density
from tumor_ratio.metrics.ratios import region_bounds
from tumor_ratio.models.segmentation_blocks import segment_blocks
from tumor_ratio.models.segmenter import Segmentation, SegmenterRef, open_segmenter
from tumor_ratio.pipelines.ground_truth.params import SegmentationParams
from tumor_ratio.steps import step

Section = Literal["he", "ihc"]
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
    "positive": np.bool_,
    "confidence": np.float64,
}
MEAN_OD = ["red_od", "green_od", "blue_od"]
"""A nucleus' mean optical densities, from which its stains are told once the slide's are known."""
NATIVE_TOLERANCE = 0.05
"""A slide whose own resolution is this close to the network's is read without resampling."""


@step(version=3)
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
        If the pair has no such section, or it cannot be read.
    """
    slide = pair.he if section == "he" else pair.ihc
    if slide is None:
        raise SlideError(pair.slide_id, f"has no {section} section", "leave it out of this step")
    segmenter = open_segmenter(model)
    scale = _level0_px_a_pixel(slide, segmenter.mpp)
    boxes = tile_boxes(pair, tiles, section, params.margin_um) / scale
    parts = []
    for block, rgb, found, own in segment_blocks(
        lambda x, y, width, height: slide.read(
            x * scale, y * scale, (width, height), slide.mpp * scale
        ),
        boxes,
        segmenter,
        section,
        block_px=params.block_px,
    ):
        left, top = block.read_box[:2]
        x, y = found.x_px + left, found.y_px + top
        wanted = own & _in_any(x, y, boxes)
        if not wanted.any():
            continue
        table = _measure(rgb, found, section)
        table["x_px"], table["y_px"] = x * scale, y * scale
        table["area_um2"] = found.area_px * (slide.mpp * scale) ** 2
        parts.append(table[wanted])
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
    nuclei = _stained(pd.concat(parts, ignore_index=True), section, params)
    xy_px = nuclei[["x_px", "y_px"]].to_numpy(dtype=np.float64)
    frame_px = pair.ihc_to_frame_px(xy_px) if section == "ihc" else xy_px
    nuclei["x_he_px"], nuclei["y_he_px"] = frame_px[:, 0], frame_px[:, 1]
    nuclei["nucleus_id"] = np.arange(len(nuclei))
    return nuclei[list(COLUMNS)].astype(COLUMNS)


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
    table = pd.DataFrame(
        {
            name: mean_per_nucleus(found.labels, n_nuclei, od[..., channel])
            for channel, name in enumerate(MEAN_OD)
        }
    )
    table["dab_od_max"] = np.nan  # H&E holds no DAB
    if section == "ihc":
        to_dab = np.linalg.inv(H_DAB.matrix())[:, 1].astype(np.float32)
        table["dab_od_max"] = high_per_nucleus(found.labels, n_nuclei, od @ to_dab)
    table["confidence"] = found.confidence
    return table


def _stained(nuclei: pd.DataFrame, section: Section, params: SegmentationParams) -> pd.DataFrame:
    """Stains of a slide's nuclei, by the slide's own hematoxylin on IHC.

    Separation is linear in the optical densities: a nucleus' mean amounts follow from its mean
    densities, and no pixel is read again.
    """
    od = nuclei[MEAN_OD].to_numpy(dtype=np.float64)
    vectors = H_DAB if section == "ihc" else H_E
    first_guess = od @ np.linalg.inv(vectors.matrix())
    if section == "ihc" and params.own_hematoxylin:
        vectors = own_hematoxylin(od, H_DAB, max_dab_od=params.positive_dab_od)
    amounts = od @ np.linalg.inv(vectors.matrix())
    dab = amounts[:, 1] if section == "ihc" else np.full(len(nuclei), np.nan)
    return nuclei.assign(
        hematoxylin_od=amounts[:, 0],
        dab_od_mean=dab,
        # The peak is measured on pixels, by the fixed vectors; what turned the mean turns it.
        dab_od_max=nuclei["dab_od_max"] + (dab - first_guess[:, 1]),
        positive=dab > params.positive_dab_od,
    )
