"""Rendering one slide and asking label and approaches for its ratios, as one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region, iter_regions, regions_table, tile_grid
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.inference.predict_slide import BATCH
from tumor_ratio.inference.region_model import Reading
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.metrics.stress_scores import LABEL, NONE
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.segmenter import SegmenterRef
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.region_truths import measure_slide_truths
from tumor_ratio.pipelines.stress.baselines import FittedBaselines
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef


@dataclass(frozen=True)
class RegionSize:
    """Side and resolution of the regions, which every model was trained on."""

    size_px: int
    mpp: float


@dataclass(frozen=True)
class LabelOptions:
    """How the label is measured."""

    segmenter: SegmenterRef
    segmentation: SegmentationParams
    min_nuclei: int


@step(name="measure_stress", version=2, uses=[segment_slide, measure_slide_truths])
def measure_stressed_slide(
    planned: PhantomSlide,
    size: RegionSize,
    models: Mapping[str, ModelRef],
    baselines: FittedBaselines,
    label: LabelOptions,
    compute: ComputeOptions,
    folder: str,
) -> pd.DataFrame:
    """Label and predictions of one slide's regions beside their truths.

    Parameters
    ----------
    planned : the slide, stressed or not.
    size : of the regions, which lie side by side; a rest at the border is left out.
    models : finished models by approach.
    baselines : what needs no model.
    label : how the IHC section's ratios are measured.
    compute : what the models compute with.
    folder : where the slide is kept; empty for nowhere.

    Returns
    -------
    DataFrame
        `schemas.StressRegions`. The label is held against the IHC section's truth, all else against
        the H&E section's. A slide that the labelling or a model refuses has no ratio and says why.
    """
    with _place(folder) as place:
        pair = _rendered(planned, place)
        assert pair.truth_dir is not None
        regions = _grid(pair, size)
        truths = measure_slide_truths(pair.truth_dir, pair.frame.mpp, regions, 1.0)
        measured, reason = _measured(pair, regions, label)
        estimates = {name: (r, "") for name, r in baselines.predict(pair, regions).items()}
        estimates |= {
            name: _predicted(pair, regions, model, compute) for name, model in models.items()
        }
    stress = NONE if planned.stress is None else planned.stress.name
    keys = regions[["slide_id", "region_id"]].assign(family=planned.family, stress=stress)
    own = {
        section: truths[f"{section}_true"]
        .where(truths[f"{section}_n_nuclei"] >= label.min_nuclei)
        .to_numpy()
        for section in ("he", "ihc")
    }
    columns = ["family", "stress", "slide_id", "region_id", "approach"]
    columns += ["reference", "true_ratio", "tumor_ratio", "reason"]
    rows = [
        keys.assign(
            approach=LABEL, reference="ihc_true", true_ratio=own["ihc"], tumor_ratio=measured,
            reason=reason,
        )
    ]  # fmt: skip
    rows += [
        keys.assign(
            approach=name, reference="he_true", true_ratio=own["he"], tumor_ratio=ratios, reason=why
        )
        for name, (ratios, why) in estimates.items()
    ]
    return pd.concat(rows, ignore_index=True)[columns]


@contextmanager
def _place(folder: str) -> Iterator[Path]:
    """The folder, or one that is gone afterwards."""
    if folder:
        yield Path(folder)
    else:
        with TemporaryDirectory(prefix="stress_") as temporary:
            yield Path(temporary)


def _rendered(planned: PhantomSlide, folder: Path) -> SlidePair:
    files = render_pair(planned, folder / planned.cohort_name)
    slide_id, mpp = planned.slide_id, planned.mpp
    return SlidePair(
        slide_id,
        planned.case_id,
        open_slide(files.he_path, slide_id=slide_id, mpp=mpp),
        open_slide(files.ihc_path, slide_id=slide_id, mpp=mpp),
        transform=files.transform,
        data_kind="phantom",
        truth_dir=files.truth_dir,
    )


def _grid(pair: SlidePair, size: RegionSize) -> pd.DataFrame:
    slide = pair.frame
    corners = tile_grid(
        slide.width_px, slide.height_px, slide.mpp, size.size_px, size.mpp, size.size_px, "drop"
    )
    return regions_table(
        Region(pair.slide_id, "", "patch", x, y, size.size_px, size.mpp) for x, y in corners
    )


def _measured(
    pair: SlidePair, regions: pd.DataFrame, label: LabelOptions
) -> tuple[NDArray[np.float64], str]:
    """Measured ratios; all NaN, with the reason, where the labelling refuses the slide."""
    own = label.segmentation.for_slide(pair.slide_id)
    try:
        nuclei = segment_slide(pair, regions, "ihc", label.segmenter, own)
    except SlideError as error:
        return np.full(len(regions), np.nan), str(error)
    found = region_ratios(regions, nuclei, pair.frame.mpp, min_nuclei=label.min_nuclei)
    return found["tumor_ratio"].to_numpy(dtype=np.float64), ""


def _predicted(
    pair: SlidePair, regions: pd.DataFrame, model: ModelRef, compute: ComputeOptions
) -> tuple[NDArray[np.float64], str]:
    """Raw ratios as on a new slide; all NaN, with the reason, where the model refuses."""
    from tumor_ratio.inference.slide_model import load_slide_model

    assert pair.he is not None
    try:
        answers = load_slide_model(model.folder, compute).answer(
            pair.he, list(iter_regions(regions)), Reading(BATCH, compute.threads, lambda _: None)
        )
    except SlideError as error:
        return np.full(len(regions), np.nan), str(error)
    return answers.raw, ""
