"""Nodes of ground_truth: nuclei of both sections, ratio labels, folds, patch features."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import regions_of
from tumor_ratio.inference.calibration_areas import area_tasks
from tumor_ratio.label_methods import NUCLEUS
from tumor_ratio.labelling.compared_methods import measure_slide_otherwise
from tumor_ratio.labelling.params import (
    ComparedLabelParams,
    NucleiModelParams,
    RatioLabelParams,
    SegmentationParams,
)
from tumor_ratio.labelling.segmentation import Section, segment_slide
from tumor_ratio.labelling.staining_quality import judge_staining
from tumor_ratio.metrics.folds import (
    CROSS_VALIDATION,
    SPLITS,
    assign_folds,
    cross_validation_folds,
)
from tumor_ratio.models.segmenter import SegmenterRef, locate_segmenter
from tumor_ratio.pipelines.ground_truth.labels import describe_slide_patches, measure_slide
from tumor_ratio.pipelines.ground_truth.pair_quality import judge, nuclei_counts
from tumor_ratio.pipelines.ground_truth.params import PairQualityParams, SplitParams
from tumor_ratio.reporting.stamps import NUCLEI_BY_NETWORK, RESEARCH_USE
from tumor_ratio.schemas import Folds, PairQuality, PatchFeatures, RatioLabels, StainingQuality
from tumor_ratio.steps import SlideTasks

logger = logging.getLogger(__name__)

Parts = Mapping[str, PartitionRef]


def segment_ihc(
    cohort: Cohort,
    tiles: pd.DataFrame,
    tile_quality: pd.DataFrame,
    nuclei_model: NucleiModelParams,
    params: SegmentationParams,
) -> SlideTasks:
    """Nuclei of the IHC sections, one task a slide with admitted tiles."""
    return _segment(cohort, tiles, tile_quality, "ihc", nuclei_model, params)


def segment_he(
    cohort: Cohort,
    tiles: pd.DataFrame,
    tile_quality: pd.DataFrame,
    nuclei_model: NucleiModelParams,
    params: SegmentationParams,
) -> SlideTasks:
    """Nuclei of the H&E sections, one task a slide with admitted tiles."""
    return _segment(cohort, tiles, tile_quality, "he", nuclei_model, params)


def _segment(
    cohort: Cohort,
    tiles: pd.DataFrame,
    tile_quality: pd.DataFrame,
    section: Section,
    nuclei_model: NucleiModelParams,
    params: SegmentationParams,
) -> SlideTasks:
    model: SegmenterRef = locate_segmenter(nuclei_model.choice)
    unknown = set(params.trusted_slides) - {pair.slide_id for pair in cohort}
    if unknown:
        raise ConfigurationError(
            f"the cohort has no slide {', '.join(sorted(unknown))}",
            "correct segmentation.trusted_slides",
        )
    admitted = tiles[_flagged(tiles, tile_quality, "admitted")]
    tasks = {}
    for pair in cohort:
        own = regions_of(admitted, pair.slide_id)
        if len(own) and getattr(pair, section) is not None:
            tasks[pair.slide_id] = partial(
                segment_slide, pair, own, section, model, params.for_slide(pair.slide_id)
            )
    return tasks


def judge_pairs(
    cohort: Cohort,
    tiles: pd.DataFrame,
    tile_quality: pd.DataFrame,
    ihc_nuclei: Parts,
    he_nuclei: Parts,
    params: PairQualityParams,
) -> pd.DataFrame:
    """Agreement of nuclei density, weight and final choice of every admitted tile."""
    admitted = tile_quality[tile_quality["admitted"].astype(bool)]
    parts = []
    for pair in cohort:
        quality = regions_of(admitted, pair.slide_id)
        if quality.empty:
            continue
        own = tiles.set_index("region_id").loc[quality["region_id"]].reset_index()
        counts = [
            nuclei_counts(own, _load(nuclei, pair.slide_id), pair.frame.mpp)
            for nuclei in (he_nuclei, ihc_nuclei)
        ]
        parts.append(
            judge(
                quality,
                *counts,
                paired=pair.he is not None and pair.ihc is not None,
                min_agreement=params.min_density_agreement,
            )
        )
    return _concat(parts, PairQuality)


def judge_stainings(cohort: Cohort, ihc_nuclei: Parts, params: RatioLabelParams) -> SlideTasks:
    """How far each slide's ratio can be trusted, one task a slide."""
    return {
        pair.slide_id: partial(judge_staining, pair, ihc_nuclei[pair.slide_id], params)
        for pair in cohort
        if pair.slide_id in ihc_nuclei
    }


def gather_stainings(slide_stainings: Parts) -> pd.DataFrame:
    """All slides in one table; those that are not trusted are named in the log."""
    table = _concat([ref.load() for ref in slide_stainings.values()], StainingQuality)
    for row in table[~table["trusted"]].itertuples():
        logger.warning("low confidence in the ratio of slide %s: %s", row.slide_id, row.reason)
    table.attrs["stamp"] = [RESEARCH_USE, NUCLEI_BY_NETWORK]
    return table


def measure_ratios(
    cohort: Cohort,
    tiles: pd.DataFrame,
    patches: pd.DataFrame,
    ihc_nuclei: Parts,
    pair_quality: pd.DataFrame,
    params: RatioLabelParams,
) -> SlideTasks:
    """Ratio labels of the judged tiles and their patches, one task a slide."""
    judged = tiles[tiles["region_id"].isin(pair_quality["region_id"])]
    weights = pair_quality[["region_id", "slide_id", "weight"]]
    tasks = {}
    for pair in cohort:
        regions = [regions_of(table, pair.slide_id) for table in (judged, patches)]
        if pair.slide_id in ihc_nuclei and len(regions[0]):
            tasks[pair.slide_id] = partial(
                measure_slide,
                pair.frame.mpp,
                pd.concat(regions, ignore_index=True),
                regions_of(weights, pair.slide_id),
                ihc_nuclei[pair.slide_id],
                params,
            )
    return tasks


def measure_otherwise(
    cohort: Cohort,
    tiles: pd.DataFrame,
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    nuclei_model: NucleiModelParams,
    params: ComparedLabelParams,
) -> SlideTasks:
    """Labels by the methods for comparison, of a few kept tiles a slide."""
    model = locate_segmenter(nuclei_model.choice)
    kept = tiles[_flagged(tiles, pair_quality, "kept")]
    usable = [p for p in cohort if p.ihc is not None and len(regions_of(kept, p.slide_id))]
    tasks = {}
    for pair in (usable[index] for index in _spread(len(usable), params.slides)):
        tiles_of_pair = regions_of(kept, pair.slide_id)
        own = tiles_of_pair.iloc[_spread(len(tiles_of_pair), params.tiles_per_slide)]
        if len(own):
            inside = regions_of(patches[patches["tile_id"].isin(own["region_id"])], pair.slide_id)
            tasks[pair.slide_id] = partial(
                measure_slide_otherwise, pair, own.reset_index(drop=True), inside, model, params
            )
    return tasks


def gather_labels(slide_ratio_labels: Parts, slide_compared_labels: Parts) -> pd.DataFrame:
    """All ratio labels in one table."""
    parts = [
        ref.load() for part in (slide_ratio_labels, slide_compared_labels) for ref in part.values()
    ]
    return _concat(parts, RatioLabels)


def split_slides(
    cohort: Cohort, ratio_labels: pd.DataFrame, patches: pd.DataFrame, params: SplitParams
) -> pd.DataFrame:
    """Deal the slides that have both sections and patches into training, validation and test.

    Cross-validation does so once a repeat and fold. With fewer cases than parts there is nothing to
    split: the table is empty, and the log says so.
    """
    burden = _burden(ratio_labels, patches)
    rows = [
        {
            "slide_id": p.slide_id,
            "case_id": p.case_id,
            "burden": burden.get(p.slide_id, float("nan")),
        }
        for p in cohort
        if p.he is not None and p.ihc is not None and p.slide_id in burden.index
    ]
    slides = pd.DataFrame(rows, columns=["slide_id", "case_id", "burden"])
    if slides["case_id"].nunique() < len(SPLITS):
        logger.warning(
            "no split: %d case(s) with H&E, IHC and patches; training needs at least %d",
            slides["case_id"].nunique(),
            len(SPLITS),
        )
        return _concat([], Folds)
    if params.protocol == CROSS_VALIDATION:
        return cross_validation_folds(
            slides,
            folds=params.folds,
            repeats=params.repeats,
            validation_share=params.validation_share,
            seed=params.seed,
        )
    return assign_folds(
        slides,
        protocol=params.protocol,
        validation_share=params.validation_share,
        test_share=params.test_share,
        seed=params.seed,
    )


def measure_areas(cohort: Cohort, patches: pd.DataFrame, folds: pd.DataFrame) -> SlideTasks:
    """Weights that prediction would give to patches of the slides that calibrate intervals."""
    return area_tasks(cohort, patches, folds)


def describe_patches(cohort: Cohort, patches: pd.DataFrame, he_nuclei: Parts) -> SlideTasks:
    """Colour and nuclei of each H&E patch, one task a slide."""
    tasks = {}
    for pair in cohort:
        own = regions_of(patches, pair.slide_id)
        if pair.he is not None and pair.slide_id in he_nuclei and len(own):
            tasks[pair.slide_id] = partial(
                describe_slide_patches, pair, own, he_nuclei[pair.slide_id]
            )
    return tasks


def gather_patch_features(slide_patch_features: Parts) -> pd.DataFrame:
    """The features of all patches in one table."""
    return _concat([ref.load() for ref in slide_patch_features.values()], PatchFeatures)


def _burden(ratio_labels: pd.DataFrame, patches: pd.DataFrame) -> pd.Series:
    """Measured ratio of each slide that has patches: a ratio of sums over its patches."""
    measured = ratio_labels[ratio_labels["label_method"] == NUCLEUS]
    own = patches[["region_id", "slide_id"]].merge(measured, on="region_id", how="left")
    sums = own.groupby("slide_id")[["positive_um2", "nuclei_um2"]].sum()
    return sums["positive_um2"] / sums["nuclei_um2"].where(sums["nuclei_um2"] > 0)


def _flagged(tiles: pd.DataFrame, table: pd.DataFrame, column: str) -> pd.Series:
    return tiles["region_id"].isin(table.loc[table[column].astype(bool), "region_id"])


def _spread(n: int, count: int | None) -> list[int]:
    """At most `count` of the numbers below n, spread evenly over them."""
    if count is None or n <= count:
        return list(range(n))
    return [int((index + 0.5) * n / count) for index in range(count)]


def _load(parts: Parts, slide_id: str) -> pd.DataFrame | None:
    return parts[slide_id].load() if slide_id in parts else None


def _concat(parts: list[pd.DataFrame], schema: type) -> pd.DataFrame:
    """One table; typed columns where there is no row."""
    if parts:
        return pd.concat(parts, ignore_index=True)
    return schema.empty()  # type: ignore[attr-defined]
