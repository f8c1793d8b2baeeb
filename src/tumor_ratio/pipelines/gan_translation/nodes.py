"""Nodes of the CycleGAN: squares, training, virtual slides, ratios, scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.approaches.tail import slide_card
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.cohort.tiles import PatchParams, lying_apart, patches_of_pair
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import regions_of
from tumor_ratio.labelling.params import NucleiModelParams, RatioLabelParams, SegmentationParams
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.models.segmenter import locate_segmenter
from tumor_ratio.models.shipped import CYCLEGAN, SHIPPED, WEIGHTS
from tumor_ratio.pipelines.gan_translation.estimation import account_of, calibrated_predictions
from tumor_ratio.pipelines.gan_translation.kid import kid_of_slides, kid_readers
from tumor_ratio.pipelines.gan_translation.measuring import Measuring
from tumor_ratio.pipelines.gan_translation.params import CycleGanParams
from tumor_ratio.pipelines.gan_translation.slide_model import assemble_translator
from tumor_ratio.pipelines.gan_translation.slide_scores import mean_scores, score_slide
from tumor_ratio.pipelines.gan_translation.slide_steps import (
    as_virtual,
    measure_translation,
    translate_slide,
)
from tumor_ratio.pipelines.gan_translation.squares import (
    candidate_squares,
    draw_evenly,
    most_labelled_tiles,
)
from tumor_ratio.pipelines.gan_translation.training_step import (
    REFERENCE,
    GivenNetworks,
    adopt_generator,
    train_cyclegan,
)
from tumor_ratio.reporting.stamps import CIRCULAR, stamps_for
from tumor_ratio.schemas import RatioLabels, TranslationScores, TranslationSquares
from tumor_ratio.steps import SlideTasks

Parts = Mapping[str, PartitionRef]
CELL_PX = 16
"""Cells are counted in, not read: their pixels have no meaning."""
VIRTUAL = "virtual"
"""`label_method` of ratios that were measured on virtual Ki-67."""


def choose_squares(
    cohort: Cohort,
    tiles: pd.DataFrame,
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    ihc_nuclei: Parts,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    params: CycleGanParams,
) -> pd.DataFrame:
    """Squares of training slides, which both stains are cut at, and tiles of validation slides."""
    kept = tiles[tiles["region_id"].isin(_kept(pair_quality))]
    too_small = tiles["size_px"] * tiles["mpp"] < params.mask_cell_um
    if len(tiles) and too_small.all():
        raise ConfigurationError(
            f"cells of {params.mask_cell_um:g} um do not fit the tiles",
            f"lower {APPROACH}.mask_cell_um, or enlarge tiles.size_px",
        )
    training = slides_of(folds, params.protocol, "train")
    if folds.empty:
        raise ConfigurationError(
            "the slides are not split: training, validation and test need three cases",
            "add slides of other cases",
        )
    if not training:
        raise ConfigurationError(
            f"no slide trains by the protocol '{params.protocol}'",
            f"set {APPROACH}.protocol to one of: {', '.join(sorted(set(folds['protocol'])))}",
        )
    candidates = [
        candidate_squares(
            pair,
            regions_of(kept, pair.slide_id),
            ihc_nuclei[pair.slide_id].load(),
            params.squares,
        )
        for pair in cohort
        if pair.slide_id in training and pair.slide_id in ihc_nuclei and pair.he is not None
    ]
    found = [table for table in candidates if len(table)]
    labelled = labelled_patches(patches, pair_quality, ratio_labels, params)
    validation = slides_of(folds, params.protocol, "validation")
    chosen = most_labelled_tiles(
        labelled[labelled["slide_id"].isin(validation)], params.validation_tiles
    )
    if (not found or not chosen) and params.checkpoint:
        return TranslationSquares.empty()
    if not found or not chosen:
        what = "training slide has a square" if not found else "validation slide has a patch"
        raise ConfigurationError(
            f"no {what} with enough nuclei in a kept tile",
            "look at the contact sheet, and at tile_selection, pair_quality and ratio_labels",
        )
    squares = pd.concat(found, ignore_index=True)
    drawn = draw_evenly(
        squares["tumor_ratio"].to_numpy(dtype=np.float64),
        params.squares.ratio_edges,
        params.squares.number,
        np.random.default_rng(params.squares.seed),
    )
    held_out = kept[kept["region_id"].isin(chosen)].assign(split="validation", tumor_ratio=np.nan)
    return pd.concat(
        [squares.iloc[drawn].assign(split="train"), held_out], ignore_index=True
    ).reset_index(drop=True)


def train(
    cohort: Cohort,
    squares: pd.DataFrame,
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    nuclei_model: NucleiModelParams,
    segmentation: SegmentationParams,
    ratio_params: RatioLabelParams,
    params: CycleGanParams,
) -> partial[dict[str, Any]]:
    """Train the CycleGAN, or take over a generator; the model dataset carries it out."""
    if params.checkpoint:
        return partial(
            adopt_generator,
            Path(params.checkpoint).expanduser().absolute(),
            params.given_data,
            params.learning(),
        )
    labelled = labelled_patches(patches, pair_quality, ratio_labels, params)
    return partial(
        train_cyclegan,
        tuple(pair for pair in cohort if pair.slide_id in set(squares["slide_id"])),
        squares,
        labelled[labelled["tile_id"].isin(squares["tile_id"])].reset_index(drop=True),
        params.learning(),
        measuring_of(nuclei_model, segmentation, ratio_params),
        given_networks(params),
    )


def translate(
    cohort: Cohort,
    tiles: pd.DataFrame,
    patches: pd.DataFrame,
    folds: pd.DataFrame,
    model: ModelRef,
    params: CycleGanParams,
) -> SlideTasks:
    """Virtual Ki-67 slides of the validation and test slides, one task a slide."""
    held_out = slides_of(folds, params.protocol, "validation", "test")
    with_patches = tiles[tiles["region_id"].isin(patches["tile_id"])]
    return {
        pair.slide_id: partial(
            translate_slide,
            pair.he,
            regions_of(with_patches, pair.slide_id),
            model,
            params.blocks,
            params.translation,
            params.folder,
        )
        for pair in cohort
        if pair.slide_id in held_out and pair.he is not None
    }


def measure(
    cohort: Cohort,
    tiles: pd.DataFrame,
    patches: pd.DataFrame,
    virtual_slides: Parts,
    nuclei_model: NucleiModelParams,
    segmentation: SegmentationParams,
) -> SlideTasks:
    """Nuclei on the virtual slides, by the code that measures real ones; one task a slide."""
    model = locate_segmenter(nuclei_model.choice)
    with_patches = tiles[tiles["region_id"].isin(patches["tile_id"])]
    tasks = {}
    for pair in cohort:
        own = regions_of(with_patches, pair.slide_id)
        if pair.slide_id in virtual_slides and len(own):
            tasks[pair.slide_id] = partial(
                measure_translation,
                pair,
                virtual_slides[pair.slide_id],
                own,
                model,
                segmentation.for_slide(pair.slide_id),
            )
    return tasks


def estimate(
    cohort: Cohort,
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    virtual_nuclei: Parts,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    model: ModelRef,
    ratio_params: RatioLabelParams,
    params: CycleGanParams,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, str]]:
    """Ratios on the virtual slides, predictions, the map that calibrates them, and what the report
    says of the approach.
    """
    parts = [
        region_ratios(
            regions_of(patches, slide_id),
            nuclei.load(),
            cohort[slide_id].frame.mpp,
            min_nuclei=ratio_params.min_nuclei,
            method=VIRTUAL,
            level=ratio_params.interval_level,
            spatial_correlation=ratio_params.spatial_correlation,
        )
        for slide_id, nuclei in virtual_nuclei.items()
    ]
    ratios = pd.concat(parts, ignore_index=True) if parts else RatioLabels.empty()
    places = patches[["region_id", "slide_id"]]
    predictions, maps = calibrated_predictions(
        ratios[["region_id", "tumor_ratio"]].merge(places, on="region_id"),
        labelled_patches(patches, pair_quality, ratio_labels, params),
        folds,
        params.protocol,
    )
    stamped = {**maps, "stamps": model.card["stamps"]}
    return ratios, predictions, stamped, account_of(model.card, len(predictions))


def assemble_model(
    cohort: Cohort,
    tiles: pd.DataFrame,
    patches: pd.DataFrame,
    folds: pd.DataFrame,
    model: ModelRef,
    calibration: dict[str, Any],
    nuclei_model: NucleiModelParams,
    segmentation: SegmentationParams,
    ratio_params: RatioLabelParams,
    params: CycleGanParams,
) -> partial[dict[str, Any]]:
    """What new slides need: generator, nuclei model and map; the model dataset puts it together."""
    size = patches.iloc[0] if len(patches) else {"size_px": 0, "mpp": 0.0}
    return partial(
        assemble_translator,
        model,
        calibration,
        int(size["size_px"]),
        float(size["mpp"]),
        float((tiles["size_px"] * tiles["mpp"]).min()) if len(tiles) else 0.0,
        measuring_of(nuclei_model, segmentation, ratio_params),
        params.blocks,
        slide_card(
            cohort,
            folds,
            model.card["training_data"],
            approach=APPROACH,
            protocol=params.protocol,
            label_method=params.label_method,
            reference=REFERENCE,
            supervision=model.card["supervision"],
        ),
    )


def score(
    cohort: Cohort,
    tiles: pd.DataFrame,
    pair_quality: pd.DataFrame,
    he_nuclei: Parts,
    ihc_nuclei: Parts,
    virtual_slides: Parts,
    virtual_nuclei: Parts,
    virtual_ratios: pd.DataFrame,
    patches: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    model: ModelRef,
    params: CycleGanParams,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """How the test slides' translations agree with the neighbouring sections, and their means."""
    kept = tiles[tiles["region_id"].isin(_kept(pair_quality))]
    labelled = labelled_patches(patches, pair_quality, ratio_labels, params)
    both = labelled.merge(
        virtual_ratios[["region_id", "tumor_ratio"]], on="region_id", suffixes=("", "_virtual")
    )
    rows, readers = [], {}
    for slide_id in sorted(slides_of(folds, params.protocol, "test") & set(virtual_nuclei)):
        pair, own = cohort[slide_id], regions_of(kept, slide_id)
        if own.empty or slide_id not in ihc_nuclei or slide_id not in he_nuclei:
            continue
        if slide_id in virtual_slides:
            readers[slide_id] = kid_readers(
                pair,
                as_virtual(pair, virtual_slides[slide_id]),
                regions_of(both, slide_id),
                params.kid,
            )
        mpp = pair.frame.mpp
        grid = PatchParams(size_px=CELL_PX, mpp=params.mask_cell_um / CELL_PX, step_px=CELL_PX)
        rows.append(
            score_slide(
                slide_id,
                lying_apart(patches_of_pair(pair, own, grid, called=f"{APPROACH}.cells"), mpp),
                own,
                he_nuclei[slide_id].load(),
                ihc_nuclei[slide_id].load(),
                virtual_nuclei[slide_id].load(),
                regions_of(both, slide_id),
                frame_mpp=mpp,
                within_um=params.same_nucleus_um,
            )
        )
    table = TranslationScores.validate(pd.DataFrame(rows)) if rows else TranslationScores.empty()
    kind = model.card["training_data"]
    table.attrs["stamp"] = [*stamps_for(kind), *([CIRCULAR] if kind == "phantom" else [])]
    means = mean_scores(table, both[both["slide_id"].isin(table["slide_id"])])
    return table, {**means, **kid_of_slides(readers, params.kid, params.translation)}


def labelled_patches(
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    params: CycleGanParams,
) -> pd.DataFrame:
    """Patches of kept tiles with their measured ratio."""
    labels = ratio_labels[ratio_labels["label_method"] == params.label_method]
    if labels.empty and len(ratio_labels):
        methods = ", ".join(sorted(ratio_labels["label_method"].unique()))
        raise ConfigurationError(
            f"no ratio label is of the method '{params.label_method}'",
            f"set {APPROACH}.label_method to one of: {methods}",
        )
    own = patches[patches["tile_id"].isin(_kept(pair_quality))]
    return own.merge(labels[["region_id", "tumor_ratio"]].dropna(), on="region_id")


def measuring_of(
    nuclei_model: NucleiModelParams, segmentation: SegmentationParams, ratios: RatioLabelParams
) -> Measuring:
    """How ratios are measured; translations are not checked for their stain."""
    return Measuring(
        locate_segmenter(nuclei_model.choice),
        segmentation.for_slide("").model_copy(update={"check_slide": False}),
        ratios.min_nuclei,
    )


def given_networks(params: CycleGanParams) -> GivenNetworks | None:
    """The networks that a training starts from, if any."""
    if not params.initial:
        return None
    if params.initial == SHIPPED:
        return GivenNetworks(WEIGHTS / CYCLEGAN, "phantom")
    return GivenNetworks(Path(params.initial).expanduser().absolute(), params.given_data)


def _kept(pair_quality: pd.DataFrame) -> pd.Series:
    return pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"]
