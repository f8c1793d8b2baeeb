"""Nodes of label_validation."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from kedro.utils import find_kedro_project
from matplotlib.figure import Figure

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import ConfigurationError, SlideError
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.label_methods import NUCLEUS, STUDY
from tumor_ratio.labelling.annotated_tiles import AnnotatedTile, cut_tile, read_annotated_tiles
from tumor_ratio.labelling.compared_methods import PIXEL_METHODS, pixel_labels, study_labels
from tumor_ratio.labelling.params import (
    ComparedLabelParams,
    NucleiModelParams,
    RatioLabelParams,
    SegmentationParams,
)
from tumor_ratio.labelling.pictures import nuclei_tile
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.label_agreement import method_summary
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.models.segmenter import SegmenterRef, locate_segmenter, open_segmenter
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.plan import PhantomSlide, plan_phantom
from tumor_ratio.phantom.truth import truth_nuclei
from tumor_ratio.pipelines.label_validation.params import LabelValidationParams
from tumor_ratio.progress import progress
from tumor_ratio.reporting.figures.label_methods import draw_label_methods
from tumor_ratio.reporting.figures.nuclei_overlay import NucleiTile, draw_nuclei_tiles
from tumor_ratio.reporting.stamps import CIRCULAR, NUCLEI_BY_NETWORK, RESEARCH_USE

logger = logging.getLogger(__name__)

ANNOTATED, PHANTOM = "annotated", "phantom"


@dataclass(frozen=True)
class ValidationSlide:
    """An IHC slide with regions whose ratio is known.

    Parameters
    ----------
    pair : its IHC section alone.
    regions : rows of `Regions`.
    truth : region_id, true_ratio, true_positive, true_negative; NaN where not known.
    source : "annotated" or "phantom".
    """

    pair: SlidePair
    regions: pd.DataFrame
    truth: pd.DataFrame
    source: str


def prepare_tiles(params: LabelValidationParams) -> list[ValidationSlide]:
    """Annotated tiles cut out of their images, and phantoms rendered.

    A tile whose image cannot be used is named in the log; the others go on.
    """
    project = _project()
    folder = project / params.folder
    listing = Path(params.tiles).expanduser()
    tiles, failures = read_annotated_tiles(project / listing) if params.tiles else ([], [])
    slides = []
    for tile in tiles:
        try:
            slides.append(_annotated(tile, folder / ANNOTATED))
        except SlideError as error:
            failures.append(error)
    for failure in failures:
        logger.warning("left out: %s", failure)
    plans = plan_phantom(params.phantoms)
    with progress("phantoms", len(plans)) as done:
        for plan in plans:
            slides.append(_rendered(plan, folder, params.region_um))
            done()
    return slides


def measure_tiles(
    validation_tiles: list[ValidationSlide],
    nuclei_model: NucleiModelParams,
    segmentation: SegmentationParams,
    ratio: RatioLabelParams,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Every method's ratio of every region beside the truth, with its time; and the nuclei found.

    A tile that cannot be measured is named in the log; the others go on.
    """
    model = locate_segmenter(nuclei_model.choice)
    _warm_up(validation_tiles[0], model, segmentation)
    parts, found = [], {}
    with progress("label methods", len(validation_tiles)) as done:
        for slide in validation_tiles:
            try:
                labels, nuclei = _measure(slide, model, segmentation, ratio)
            except SlideError as error:
                logger.warning("left out: %s", error)
            else:
                found[slide.pair.slide_id] = nuclei
                parts.append(labels.merge(slide.truth, on="region_id").assign(source=slide.source))
            done()
    if not parts:
        raise ConfigurationError("no tile could be measured", "see the messages above")
    columns = ["source", "region_id", "label_method", "tumor_ratio", "true_ratio"]
    columns += ["n_positive", "n_negative", "true_positive", "true_negative"]
    columns += ["seconds_per_mpx"]
    return _stamped(pd.concat(parts, ignore_index=True)[columns]), found


def summarise_methods(label_comparison: pd.DataFrame) -> pd.DataFrame:
    """Errors and cost by source and method."""
    summary = method_summary(label_comparison)
    for row in summary.itertuples():
        logger.info(
            "%s, %s: mean absolute error %.3f, largest %.3f over %d regions (%s)",
            row.source,
            row.label_method,
            row.mae,
            row.largest_error,
            row.n_regions,
            row.evidence,
        )
    return _stamped(summary)


def _stamped(table: pd.DataFrame) -> pd.DataFrame:
    table.attrs["stamp"] = _stamps(table)
    return table


def _stamps(table: pd.DataFrame) -> list[str]:
    """What goes with the numbers of a table with a column `source`."""
    phantoms = bool((table["source"] == PHANTOM).any())
    return [RESEARCH_USE, NUCLEI_BY_NETWORK, *([CIRCULAR] if phantoms else [])]


def draw_methods(label_comparison: pd.DataFrame) -> Figure:
    """Measured against true ratio, one panel a method."""
    return draw_label_methods(label_comparison, stamps=_stamps(label_comparison))


def draw_nuclei(
    validation_tiles: list[ValidationSlide],
    validation_nuclei: dict[str, pd.DataFrame],
    params: LabelValidationParams,
) -> Figure:
    """Tiles with the nuclei that were found in them."""
    shown = [s for s in validation_tiles if s.pair.slide_id in validation_nuclei][: params.shown]
    return draw_nuclei_tiles(
        [_shown(slide, validation_nuclei[slide.pair.slide_id]) for slide in shown],
        stamps=[RESEARCH_USE, NUCLEI_BY_NETWORK],
    )


def _annotated(tile: AnnotatedTile, folder: Path) -> ValidationSlide:
    path = cut_tile(tile, folder)
    pair = SlidePair(
        tile.tile_id, tile.tile_id, None, open_slide(path, slide_id=tile.tile_id, mpp=tile.mpp)
    )
    whole = Region(tile.tile_id, "", "tile", 0, 0, tile.size_px, tile.mpp)
    truth = {
        "region_id": [whole.region_id],
        "true_ratio": [tile.tumor_ratio],
        "true_positive": [tile.n_positive],
        "true_negative": [tile.n_negative],
    }
    return ValidationSlide(pair, regions_table([whole]), pd.DataFrame(truth), ANNOTATED)


def _rendered(plan: PhantomSlide, folder: Path, region_um: float) -> ValidationSlide:
    """A phantom's IHC slide; it is its own frame."""
    files = render_pair(plan, folder / f"{plan.family}_seed{plan.seed}")
    ihc = open_slide(files.ihc_path, slide_id=plan.slide_id, mpp=plan.mpp)
    pair = SlidePair(plan.slide_id, plan.case_id, None, ihc, data_kind="phantom")
    regions = _grid(pair, region_um)
    nuclei = truth_nuclei(files.truth_dir, "ihc")
    nuclei = nuclei.assign(x_he_px=nuclei["x_px"], y_he_px=nuclei["y_px"])
    known = region_ratios(regions, nuclei, ihc.mpp, min_nuclei=1)
    truth = pd.DataFrame(
        {
            "region_id": known["region_id"],
            "true_ratio": known["tumor_ratio"],
            "true_positive": known["n_positive"].astype(float),
            "true_negative": (known["n_nuclei"] - known["n_positive"]).astype(float),
        }
    )
    return ValidationSlide(pair, regions, truth, PHANTOM)


def _grid(pair: SlidePair, side_um: float) -> pd.DataFrame:
    slide = pair.frame
    size_px = round(side_um / slide.mpp)
    return regions_table(
        Region(pair.slide_id, "", "tile", x, y, size_px, slide.mpp)
        for y in range(0, slide.height_px - size_px + 1, size_px)
        for x in range(0, slide.width_px - size_px + 1, size_px)
    )


def _measure(
    slide: ValidationSlide,
    model: SegmenterRef,
    segmentation: SegmentationParams,
    ratio: RatioLabelParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    pair, regions = slide.pair, slide.regions
    mpx = float(((regions["size_px"] * regions["mpp"] / pair.frame.mpp) ** 2).sum() / 1e6)
    started = time.perf_counter()
    nuclei = segment_slide(pair, regions, "ihc", model, segmentation.for_slide(pair.slide_id))
    own = region_ratios(
        regions,
        nuclei,
        pair.frame.mpp,
        min_nuclei=ratio.min_nuclei,
        method=NUCLEUS,
        level=ratio.interval_level,
        spatial_correlation=ratio.spatial_correlation,
    )
    parts = [own.assign(seconds_per_mpx=(time.perf_counter() - started) / mpx)]
    options = ComparedLabelParams(ratio=ratio)
    started = time.perf_counter()
    study = study_labels(pair, regions, regions, open_segmenter(model), options)
    parts.append(study.assign(seconds_per_mpx=(time.perf_counter() - started) / mpx))
    for method in PIXEL_METHODS:
        started = time.perf_counter()
        counted = pixel_labels(pair, regions, method)
        parts.append(counted.assign(seconds_per_mpx=(time.perf_counter() - started) / mpx))
    labels = pd.concat(parts, ignore_index=True)
    counts = labels["label_method"].isin([NUCLEUS, STUDY])
    labels["n_negative"] = (labels["n_nuclei"] - labels["n_positive"]).where(counts)
    labels["n_positive"] = labels["n_positive"].where(counts)
    return labels, nuclei


def _warm_up(slide: ValidationSlide, model: SegmenterRef, segmentation: SegmentationParams) -> None:
    """Load and compile what every method needs, so that no method is charged for it."""
    corner = slide.regions.head(1).assign(size_px=64)
    with contextlib.suppress(SlideError):
        segment_slide(slide.pair, corner, "ihc", model, segmentation)


def _shown(slide: ValidationSlide, nuclei: pd.DataFrame) -> NucleiTile:
    """The first region of a slide, at its own pixels."""
    region = slide.regions.iloc[0]
    pair = slide.pair
    rgb = pair.frame.read(region.x_px, region.y_px, int(region.size_px), float(region.mpp))
    return nuclei_tile(
        rgb,
        nuclei,
        corner_px=(float(region.x_px), float(region.y_px)),
        level0_mpp=pair.frame.mpp,
        mpp=float(region.mpp),
        title=pair.slide_id,
    )


def _project() -> Path:
    here = Path.cwd()
    return Path(find_kedro_project(here) or here)
