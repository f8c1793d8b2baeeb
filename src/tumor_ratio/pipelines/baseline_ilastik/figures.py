"""Nodes that draw what the pixel forests see."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import TumorRatioError
from tumor_ratio.imaging.regions import Region, iter_regions
from tumor_ratio.labelling.declaration_checks import Section
from tumor_ratio.labelling.pixel_classes import Classify, region_classes
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.pipelines.baseline_ilastik.engine import classifier_of
from tumor_ratio.pipelines.baseline_ilastik.params import IlastikParams
from tumor_ratio.pipelines.baseline_ilastik.projects import engine_of
from tumor_ratio.reporting.figures.pixel_classes import (
    ClassifiedTile,
    ExamplePair,
    draw_distributions,
    draw_gallery,
    draw_importance,
)
from tumor_ratio.reporting.figures.style import message_figure
from tumor_ratio.reporting.stamps import stamps_for

logger = logging.getLogger(__name__)

SHOWN = 3


def show_examples(
    cohort: Cohort,
    chosen_patches: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    he_forest: ModelRef,
    ihc_forest: ModelRef,
    params: IlastikParams,
) -> Figure:
    """Patches of test slides, from the lowest measured ratio to the highest, with their classes.

    Only patches that are labelled are shown: others hold too few nuclei, or dust and ink.

    A slide that cannot be read is named in the log and left out.
    """
    stamps = stamps_of(he_forest, ihc_forest)
    test = slides_of(folds, params.protocol, "test")
    labels = ratio_labels[ratio_labels["label_method"] == params.label_method]
    labelled = labels.dropna(subset=["tumor_ratio"])
    own = chosen_patches[chosen_patches["slide_id"].isin(test)]
    ranked = own.merge(labelled[["region_id", "tumor_ratio"]], on="region_id")
    ranked = ranked.sort_values("tumor_ratio", kind="stable")
    if ranked.empty:
        return message_figure("no patch of a test slide has a measured ratio", stamps)
    models: dict[Section, ModelRef] = {"he": he_forest, "ihc": ihc_forest}
    views = {
        section: View(
            section,
            classifier_of(model, engine_of(params, section)),
            float(model.card["mpp"]),
            int(model.card["halo_px"]),
            class_kinds(model.card),
        )
        for section, model in models.items()
        if "missing" not in model.card
    }
    if not views:
        return message_figure(str(he_forest.card["missing"]), stamps)
    places = {round(index * (len(ranked) - 1) / (SHOWN - 1)) for index in range(SHOWN)}
    examples = [
        ExamplePair(region.slide_id, *(_seen(cohort, region, views.get(s)) for s in models))
        for region in iter_regions(ranked.iloc[sorted(places)])
    ]
    return draw_gallery(examples, stamps=stamps)


def show_importance(he_forest: ModelRef, ihc_forest: ModelRef) -> Figure:
    """Which features the forests go by."""
    importances = {
        stain: model.card.get("feature_importance", {})
        for stain, model in (("H&E", he_forest), ("Ki-67", ihc_forest))
    }
    return draw_importance(importances, stamps=stamps_of(he_forest, ihc_forest))


def show_distributions(
    chosen_patches: pd.DataFrame,
    he_shares: pd.DataFrame,
    ihc_ratios: pd.DataFrame,
    predictions: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    he_forest: ModelRef,
    ihc_forest: ModelRef,
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
    return draw_distributions(ratios, stamps=stamps_of(he_forest, ihc_forest))


def stamps_of(*models: ModelRef) -> tuple[str, ...]:
    """What outputs of these forests must say: what any of them must."""
    kinds = {model.card["training_data"] for model in models}
    return stamps_for("phantom" if "phantom" in kinds else "real")


class View(NamedTuple):
    """How a stain is looked at."""

    section: Section
    classify: Classify
    mpp: float
    halo_px: int
    kinds: NDArray[np.int64]


def class_kinds(card: Mapping[str, Any]) -> NDArray[np.int64]:
    """Of each label 0 (background), 1 (other nuclei) or 2 (counted nuclei)."""
    kinds = [2 if n in card["counted"] else int(n in card["others"]) for n in card["label_names"]]
    return np.array(kinds, dtype=np.int64)


def _seen(cohort: Cohort, region: Region, view: View | None) -> ClassifiedTile | None:
    pair = cohort[region.slide_id]
    if view is None or getattr(pair, view.section) is None:
        return None
    try:
        rgb, shares = region_classes(
            pair, region, view.section, view.classify, mpp=view.mpp, halo_px=view.halo_px
        )
    except TumorRatioError as error:
        logger.warning("no %s picture of %s: %s", view.section, region.region_id, error)
        return None
    classes = view.kinds[shares.argmax(axis=2)]
    return ClassifiedTile(rgb, classes, shares[..., view.kinds == 2].sum(axis=2), _share(classes))


def _share(classes: NDArray[np.int64]) -> float:
    nuclei = int((classes > 0).sum())
    return float((classes == 2).sum() / nuclei) if nuclei else float("nan")
