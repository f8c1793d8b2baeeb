"""Nodes of the pixel forests: strokes, forests, classes, ratios, agreement."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from tumor_ratio.approaches.ilastik import NAME as APPROACH
from tumor_ratio.approaches.tail import slide_card
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import regions_of
from tumor_ratio.label_methods import ILASTIK
from tumor_ratio.labelling.declaration_checks import Section
from tumor_ratio.metrics.class_ratios import class_ratio
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.metrics.section_agreement import NUCLEI, section_agreement
from tumor_ratio.pipelines.baseline_ilastik.classify_step import classify_slide
from tumor_ratio.pipelines.baseline_ilastik.estimation import (
    REFERENCE,
    account_of,
    mapped_predictions,
)
from tumor_ratio.pipelines.baseline_ilastik.forest_step import train_section_forest
from tumor_ratio.pipelines.baseline_ilastik.params import IlastikParams
from tumor_ratio.pipelines.baseline_ilastik.placing import (
    neighbouring_patches,
    place_tiles,
    strokes_on,
)
from tumor_ratio.pipelines.baseline_ilastik.projects import engine_of, project_of_user
from tumor_ratio.pipelines.baseline_ilastik.slide_model import assemble_forest
from tumor_ratio.reporting.stamps import CIRCULAR, stamps_for
from tumor_ratio.schemas import ClassAreas, RatioLabels, SectionAgreement, Strokes
from tumor_ratio.steps import SlideTasks

logger = logging.getLogger(__name__)

Parts = Mapping[str, PartitionRef]
SHARE, MAPPED, IHC = "H&E, share of tumor nuclei", "H&E, mapped", "Ki-67 by classes"


def draw_strokes(
    cohort: Cohort,
    tiles: pd.DataFrame,
    pair_quality: pd.DataFrame,
    folds: pd.DataFrame,
    params: IlastikParams,
) -> pd.DataFrame:
    """Labelled pixels on training phantoms, for each stain without an ilastik project."""
    training = slides_of(folds, params.protocol, "train")
    if not training:
        raise ConfigurationError(
            f"no slide trains by the protocol '{params.protocol}'",
            f"set {APPROACH}.protocol to one of: {', '.join(sorted(set(folds['protocol'])))}",
        )
    kept = tiles[tiles["region_id"].isin(_kept(pair_quality))]
    drawable = training & set(kept["slide_id"])
    phantoms = [pair for pair in cohort if pair.slide_id in drawable and pair.truth_dir]
    parts = []
    for number, section in enumerate(("he", "ihc")):
        if params.section(section).project:
            continue
        # A generator a stain: more tiles of one never move those of the other.
        rng = np.random.default_rng([params.strokes.seed, number])
        pairs = [pair for pair in phantoms if getattr(pair, section) is not None]
        for pair, tile in place_tiles(pairs, kept, params.strokes, params.mpp_of(section), rng):
            parts.append(strokes_on(pair, tile, section, params.strokes, rng))
    return pd.concat(parts, ignore_index=True) if parts else Strokes.empty()


def train_he_forest(
    cohort: Cohort, strokes: pd.DataFrame, params: IlastikParams
) -> partial[dict[str, Any]]:
    """The forest for H&E; the model dataset grows it, or reuses it."""
    return _train(cohort, strokes, "he", params)


def train_ihc_forest(
    cohort: Cohort, strokes: pd.DataFrame, params: IlastikParams
) -> partial[dict[str, Any]]:
    """The forest for Ki-67."""
    return _train(cohort, strokes, "ihc", params)


def _train(
    cohort: Cohort, strokes: pd.DataFrame, section: Section, params: IlastikParams
) -> partial[dict[str, Any]]:
    own = strokes[strokes["section"] == section].reset_index(drop=True)
    pairs = tuple(pair for pair in cohort if pair.slide_id in set(own["slide_id"]))
    return partial(
        train_section_forest,
        section,
        pairs,
        own,
        params.section(section),
        params.forest,
        project_of_user(params, section),
        bool(params.executable),
        any(pair.data_kind == "phantom" for pair in cohort),
        params.mpp_of(section),
    )


def choose_regions(
    patches: pd.DataFrame, pair_quality: pd.DataFrame, folds: pd.DataFrame, params: IlastikParams
) -> pd.DataFrame:
    """Patches to classify: all of validation and test slides, some of each training slide."""
    held_out = slides_of(folds, params.protocol, "validation", "test")
    parts = [patches[patches["slide_id"].isin(held_out)]]
    kept = patches[patches["tile_id"].isin(_kept(pair_quality))]
    for slide_id in sorted(slides_of(folds, params.protocol, "train")):
        own = kept[kept["slide_id"] == slide_id]
        if len(own):
            rng = np.random.default_rng([params.forest.seed, *slide_id.encode()])
            parts.append(neighbouring_patches(own, params.training_patches, rng))
    return pd.concat(parts, ignore_index=True)


def classify_he(
    cohort: Cohort, chosen_patches: pd.DataFrame, he_forest: ModelRef, params: IlastikParams
) -> SlideTasks:
    """Areas of the classes in each region of the H&E slides, one task a slide."""
    return _classify(cohort, chosen_patches, "he", he_forest, params)


def classify_ihc(
    cohort: Cohort, chosen_patches: pd.DataFrame, ihc_forest: ModelRef, params: IlastikParams
) -> SlideTasks:
    """The same on the Ki-67 sections."""
    return _classify(cohort, chosen_patches, "ihc", ihc_forest, params)


def _classify(
    cohort: Cohort, regions: pd.DataFrame, section: Section, model: ModelRef, params: IlastikParams
) -> SlideTasks:
    if "missing" in model.card:
        logger.warning("%s: %s", APPROACH, model.card["missing"])
        return {}
    engine = engine_of(params, section)
    tasks = {}
    for pair in cohort:
        own = regions_of(regions, pair.slide_id)
        if len(own) and getattr(pair, section) is not None:
            tasks[pair.slide_id] = partial(classify_slide, pair, own, section, model, engine)
    return tasks


def measure_ihc(
    slide_ihc_classes: Parts, ihc_forest: ModelRef, params: IlastikParams
) -> pd.DataFrame:
    """Ratio labels by the classes on the Ki-67 sections, as `label_method` ilastik."""
    ratios = _ratios(slide_ihc_classes, ihc_forest, params)
    undefined = dict.fromkeys(("lower", "upper", "positive_share"), np.nan)
    columns = {"ratio": "tumor_ratio", "counted_um2": "positive_um2"}
    return RatioLabels.validate(
        ratios.rename(columns=columns).assign(
            label_method=ILASTIK, **undefined, n_positive=0, n_nuclei=0, weight=0.0
        )[list(RatioLabels.to_schema().columns)]
    )


def estimate_he(
    slide_he_classes: Parts,
    chosen_patches: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    he_forest: ModelRef,
    params: IlastikParams,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, str]]:
    """Predictions from the share of tumor nuclei on H&E, that share itself, the maps, and what the
    report says of the approach.
    """
    shares = _ratios(slide_he_classes, he_forest, params).merge(
        chosen_patches[["region_id", "slide_id"]], on="region_id"
    )
    labels = _labels(ratio_labels, params)
    predictions, maps = mapped_predictions(shares, labels, folds, params.protocol)
    stamped = {**maps, "stamps": list(stamps_for(he_forest.card["training_data"]))}
    return predictions, shares, stamped, account_of(he_forest.card, maps)


def assemble_model(
    cohort: Cohort,
    patches: pd.DataFrame,
    folds: pd.DataFrame,
    he_forest: ModelRef,
    share_maps: dict[str, Any],
    params: IlastikParams,
) -> partial[dict[str, Any]]:
    """What new slides need: the forest and the maps; the model dataset puts it together."""
    size = patches.iloc[0] if len(patches) else {"size_px": 0, "mpp": 0.0}
    return partial(
        assemble_forest,
        he_forest,
        share_maps,
        int(size["size_px"]),
        float(size["mpp"]),
        params.min_nuclei_um2,
        bool(params.executable),
        slide_card(
            cohort,
            folds,
            he_forest.card["training_data"],
            approach=APPROACH,
            protocol=params.protocol,
            label_method=params.label_method,
            reference=REFERENCE,
        ),
    )


def compare_sections(
    chosen_patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    he_shares: pd.DataFrame,
    ihc_ratios: pd.DataFrame,
    predictions: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    he_forest: ModelRef,
    params: IlastikParams,
) -> pd.DataFrame:
    """The study's table: H&E against Ki-67 by classes, and all against the nuclei; test slides."""
    nuclei, he, ihc, mapped = (
        table.set_index("region_id")
        for table in (_labels(ratio_labels, params), he_shares, ihc_ratios, predictions)
    )
    ratios = {
        SHARE: he["ratio"],
        MAPPED: mapped["tumor_ratio"],
        IHC: ihc["tumor_ratio"],
        NUCLEI: nuclei["tumor_ratio"],
    }
    areas = {
        SHARE: he["nuclei_um2"],
        MAPPED: he["nuclei_um2"],
        IHC: ihc["nuclei_um2"],
        NUCLEI: nuclei["nuclei_um2"],
    }
    training = _of_split(chosen_patches, folds, params, "train")["region_id"]
    medians = {name: float(ratios[name].reindex(training).median()) for name in (IHC, NUCLEI)}
    test = _of_split(chosen_patches, folds, params, "test")
    places = test[test["tile_id"].isin(_kept(pair_quality))].set_index("region_id")
    table, weights = (
        pd.DataFrame({name: column.reindex(places.index) for name, column in columns.items()})
        for columns in (ratios, areas)
    )
    agreement = SectionAgreement.validate(section_agreement(table, weights, places, medians))
    circular = [CIRCULAR] if he_forest.card["training_data"] == "phantom" else []
    agreement.attrs["stamp"] = [*stamps_for(he_forest.card["training_data"]), *circular]
    return agreement


def _ratios(parts: Parts, model: ModelRef, params: IlastikParams) -> pd.DataFrame:
    loaded = [ref.load() for ref in parts.values()]
    return class_ratio(
        pd.concat(loaded, ignore_index=True) if loaded else ClassAreas.empty(),
        model.card.get("counted", ()),
        model.card.get("others", ()),
        min_nuclei_um2=params.min_nuclei_um2,
    )


def _labels(ratio_labels: pd.DataFrame, params: IlastikParams) -> pd.DataFrame:
    """The labels that shares are mapped to and held against."""
    own = ratio_labels[ratio_labels["label_method"] == params.label_method]
    if own.empty and len(ratio_labels):
        methods = ", ".join(sorted(ratio_labels["label_method"].unique()))
        raise ConfigurationError(
            f"no ratio label is of the method '{params.label_method}'",
            f"set {APPROACH}.label_method to one of: {methods}",
        )
    return own


def _kept(pair_quality: pd.DataFrame) -> pd.Series:
    return pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"]


def _of_split(
    patches: pd.DataFrame, folds: pd.DataFrame, params: IlastikParams, split: str
) -> pd.DataFrame:
    return patches[patches["slide_id"].isin(slides_of(folds, params.protocol, split))]
