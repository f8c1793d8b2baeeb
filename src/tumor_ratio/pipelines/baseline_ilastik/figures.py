"""Nodes that draw what the pixel forests see."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region, iter_regions
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.models.forest_file import read_forest
from tumor_ratio.models.pixel_classifier import PixelClassifier
from tumor_ratio.pipelines.baseline_ilastik.forest_step import FOREST
from tumor_ratio.pipelines.baseline_ilastik.params import IlastikParams, SectionParams
from tumor_ratio.reporting.figures.pixel_classes import (
    ClassifiedTile,
    ExamplePair,
    draw_distributions,
    draw_gallery,
    draw_importance,
)
from tumor_ratio.reporting.stamps import stamps_for

logger = logging.getLogger(__name__)

SHOWN = 3


def show_examples(
    cohort: Cohort,
    chosen_patches: pd.DataFrame,
    ihc_ratios: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    he_forest: ModelRef,
    ihc_forest: ModelRef,
    params: IlastikParams,
) -> Figure:
    """Patches of test slides, from the lowest ratio on Ki-67 to the highest, with their classes.

    Only patches that are labelled are shown: others hold too few nuclei, or dust and ink.

    A slide that cannot be read is named in the log and left out.
    """
    test = slides_of(folds, params.protocol, "test")
    labels = ratio_labels[ratio_labels["label_method"] == params.label_method]
    labelled = labels.loc[labels["tumor_ratio"].notna(), "region_id"]
    own = chosen_patches[
        chosen_patches["slide_id"].isin(test) & chosen_patches["region_id"].isin(labelled)
    ]
    ranked = own.merge(ihc_ratios[["region_id", "tumor_ratio"]], on="region_id")
    ranked = ranked.dropna(subset=["tumor_ratio"]).sort_values("tumor_ratio", kind="stable")
    if ranked.empty or "missing" in he_forest.card:
        return draw_gallery([], stamps=stamps_of(he_forest))
    places = {round(index * (len(ranked) - 1) / (SHOWN - 1)) for index in range(SHOWN)}
    forests = {
        section: None if "missing" in model.card else read_forest(model.folder / FOREST)
        for section, model in (("he", he_forest), ("ihc", ihc_forest))
    }
    examples = []
    for region in iter_regions(ranked.iloc[sorted(places)]):
        pictures = {
            section: _classified(cohort, region, section, forest, params.section(section))
            for section, forest in forests.items()
        }
        examples.append(ExamplePair(region.slide_id, pictures["he"], pictures["ihc"]))
    return draw_gallery(examples, stamps=stamps_of(he_forest))


def show_importance(he_forest: ModelRef, ihc_forest: ModelRef) -> Figure:
    """Which features the forests go by."""
    importances = {
        stain: model.card.get("feature_importance", {})
        for stain, model in (("H&E", he_forest), ("Ki-67", ihc_forest))
    }
    return draw_importance(importances, stamps=stamps_of(he_forest))


def show_distributions(
    chosen_patches: pd.DataFrame,
    he_shares: pd.DataFrame,
    ihc_ratios: pd.DataFrame,
    predictions: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    he_forest: ModelRef,
    params: IlastikParams,
) -> Figure:
    """Ratios of the test slides' regions by classes on both stains, and by nuclei."""
    test = slides_of(folds, params.protocol, "test")
    regions = chosen_patches.loc[chosen_patches["slide_id"].isin(test), "region_id"]
    labels = ratio_labels[ratio_labels["label_method"] == params.label_method]
    columns = {
        "Ki-67 by classes": ihc_ratios.set_index("region_id")["tumor_ratio"],
        "Ki-67 per nucleus": labels.set_index("region_id")["tumor_ratio"],
        "H&E, share of tumor nuclei": he_shares.set_index("region_id")["ratio"],
        "H&E, mapped": predictions.set_index("region_id")["tumor_ratio"],
    }
    ratios = {name: column.reindex(regions).to_numpy() for name, column in columns.items()}
    return draw_distributions(ratios, stamps=stamps_of(he_forest))


def stamps_of(model: ModelRef) -> tuple[str, ...]:
    """What outputs of this forest must say."""
    return stamps_for(model.card["training_data"])


def _classified(
    cohort: Cohort,
    region: Region,
    section: str,
    forest: PixelClassifier | None,
    meaning: SectionParams,
) -> ClassifiedTile | None:
    pair = cohort[region.slide_id]
    if forest is None or getattr(pair, section) is None:
        return None
    try:
        rgb = pair.read_he(region) if section == "he" else pair.read_ihc(region)
    except SlideError as error:
        logger.warning("no %s picture of %s: %s", section, region.region_id, error)
        return None
    shares = forest(rgb)
    counted, others = (
        np.array([name in names for name in forest.class_names])
        for names in (meaning.counted, meaning.others)
    )
    classes = np.where(counted, 2, np.where(others, 1, 0))[shares.argmax(axis=2)]
    return ClassifiedTile(rgb, classes, _sum(shares, counted), _share(classes))


def _sum(shares: NDArray[np.float32], of: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.asarray(shares[..., of].sum(axis=2))


def _share(classes: NDArray[np.integer]) -> float:
    nuclei = int((classes > 0).sum())
    return float((classes == 2).sum() / nuclei) if nuclei else float("nan")
