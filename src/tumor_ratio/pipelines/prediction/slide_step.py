"""Predicting every tissue region of one slide, as one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.context import with_context
from tumor_ratio.imaging.nuclear_area import hematoxylin_area_um2, hematoxylin_threshold
from tumor_ratio.imaging.patches import PatchReader
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.prediction_options import Flips
from tumor_ratio.pipelines.prediction.tissue_regions import spread, tissue_regions
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef
    from tumor_ratio.models.predictor import Predictor

COARSER = 1.1
"""A slide may be scanned this much coarser than the model's resolution."""
BATCH = 32
STAIN_SAMPLE = 64

RATIO_COLUMNS = ("tumor_ratio", "tumor_ratio_calibrated", "nuclear_um2")


@step(version=2)
def predict_new_slide(
    pair: SlidePair,
    model: ModelRef,
    min_tissue: float,
    compute: ComputeOptions,
    flips: Flips = "none",
) -> pd.DataFrame:
    """Ratios of all regions of a slide that show tissue.

    Parameters
    ----------
    pair : the slide; only its H&E is read.
    model : the trained model; its card says size and resolution of the regions.
    min_tissue : regions with a smaller share of tissue get no ratio.
    compute : what to compute with.
    flips : see `Predictor`.

    Returns
    -------
    DataFrame
        One row a region on a grid without overlap: region_id, slide_id, x_px, y_px (level 0 of the
        H&E slide), size_px, mpp, tissue (share); tumor_ratio (as the network gives it, clipped to
        [0, 1]), tumor_ratio_calibrated, nuclear_um2 (hematoxylin-stained area, the region's weight
        in the slide's ratio), NaN in a region without enough tissue; and reason, empty where there
        is a ratio.

    Raises
    ------
    SlideError
        If the slide is scanned too coarsely for the model, shows no tissue, or cannot be read.
    """
    from tumor_ratio.models.model_folder import load_regressor

    slide = _he_slide(pair, float(model.card["mpp"]))
    size_px, mpp = int(model.card["patch_px"]), float(model.card["mpp"])
    regions, tissue = tissue_regions(slide, size_px, mpp)
    table = pd.DataFrame(
        {
            "region_id": [region.region_id for region in regions],
            "slide_id": pair.slide_id,
            "x_px": [region.x_px for region in regions],
            "y_px": [region.y_px for region in regions],
            "size_px": size_px,
            "mpp": mpp,
            "tissue": tissue,
        }
    )
    scored = np.flatnonzero(tissue >= min_tissue)
    values = np.full((len(regions), len(RATIO_COLUMNS)), np.nan)
    if len(scored):
        predictor = load_regressor(model.folder, compute, flips=flips)
        context = float(model.card.get("context", 1.0))
        monotone = MonotoneMap.from_record(model.card["calibration"])
        chosen = [regions[i] for i in scored]
        raw, nuclear_um2 = _predict(predictor, slide, chosen, mpp, context)
        values[scored] = np.column_stack([raw.clip(0, 1), monotone.apply(raw), nuclear_um2])
    reason = np.where(tissue >= min_tissue, "", f"under {min_tissue:.0%} tissue")
    return table.assign(**dict(zip(RATIO_COLUMNS, values.T, strict=True)), reason=reason)


def _predict(
    predictor: Predictor, slide: Slide, regions: list[Region], mpp: float, context: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Raw ratio and hematoxylin-stained area of each region; each is read once for both, or where
    the network looks around it, once for each.
    """
    reader = PatchReader({slide.slide_id: slide}, regions, cache_mb=0)
    wider = PatchReader({slide.slide_id: with_context(slide, context)}, regions, cache_mb=0)
    threshold = hematoxylin_threshold(reader.read(spread(regions, STAIN_SAMPLE)), mpp)
    ratios, areas = [], []
    for start in range(0, len(regions), BATCH):
        numbers = range(start, min(start + BATCH, len(regions)))
        rgb = reader.read(numbers)
        ratios.append(predictor.predict(rgb if context == 1 else wider.read(numbers)))
        areas += [hematoxylin_area_um2(patch, mpp, threshold=threshold) for patch in rgb]
    return np.concatenate(ratios).astype(np.float64), np.array(areas)


def _he_slide(pair: SlidePair, model_mpp: float) -> Slide:
    if pair.he is None:
        raise SlideError(pair.slide_id, "has no H&E slide to predict from", "give he_path")
    if pair.he.mpp > COARSER * model_mpp:
        raise SlideError(
            pair.slide_id,
            f"is scanned at {pair.he.mpp:.3g} um/px, coarser than the model's {model_mpp:.3g}",
            "use a finer scan, or a model that was trained at a coarser resolution",
        )
    return pair.he
