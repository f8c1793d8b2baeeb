"""The gallery: H&E, its translation, the neighbouring Ki-67 section, and what was found on both."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import TumorRatioError
from tumor_ratio.imaging.regions import Region, iter_regions
from tumor_ratio.labelling.pictures import section_picture
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.pipelines.gan_translation.params import CycleGanParams
from tumor_ratio.pipelines.gan_translation.slide_steps import as_virtual
from tumor_ratio.reporting.figures.style import message_figure
from tumor_ratio.reporting.figures.translations import TranslatedTile, draw_translations

logger = logging.getLogger(__name__)

Parts = Mapping[str, PartitionRef]
SHOWN = 3
MOST_SIDE_UM = 160.0


def show_translations(
    cohort: Cohort,
    tiles: pd.DataFrame,
    pair_quality: pd.DataFrame,
    virtual_slides: Parts,
    virtual_nuclei: Parts,
    ihc_nuclei: Parts,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    model: ModelRef,
    params: CycleGanParams,
) -> Figure:
    """The most positive tile of three test slides, from the lowest measured ratio to the highest.

    A slide that cannot be read is named in the log and left out.
    """
    shown = set(virtual_nuclei) & set(ihc_nuclei) & slides_of(folds, params.protocol, "test")
    labels = ratio_labels[ratio_labels["label_method"] == params.label_method].dropna(
        subset=["tumor_ratio"]
    )
    kept = pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"]
    own = tiles[tiles["region_id"].isin(kept) & tiles["slide_id"].isin(shown)]
    ranked = own.merge(labels[["region_id", "tumor_ratio"]], on="region_id")
    # The tile with the highest ratio of each slide: in others there is little to compare.
    ranked = ranked.sort_values("tumor_ratio", kind="stable").drop_duplicates(
        "slide_id", keep="last"
    )
    if ranked.empty:
        return message_figure(
            "no translated test slide has a tile with a ratio", model.card["stamps"]
        )
    places = {round(index * (len(ranked) - 1) / (SHOWN - 1)) for index in range(SHOWN)}
    pictures = []
    for tile in iter_regions(ranked.iloc[sorted(places)]):
        try:
            pictures.append(_pictures(cohort, tile, virtual_slides, virtual_nuclei, ihc_nuclei))
        except TumorRatioError as error:
            logger.warning("no picture of %s: %s", tile.region_id, error)
    return draw_translations(pictures, stamps=model.card["stamps"])


def _pictures(
    cohort: Cohort,
    tile: Region,
    virtual_slides: Parts,
    virtual_nuclei: Parts,
    ihc_nuclei: Parts,
) -> TranslatedTile:
    pair = cohort[tile.slide_id]
    translated = as_virtual(pair, virtual_slides[tile.slide_id])
    virtual, real = (
        section_picture(each, tile, nuclei[tile.slide_id].load(), title, most_um=MOST_SIDE_UM)
        for each, nuclei, title in (
            (translated, virtual_nuclei, "virtual"),
            (pair, ihc_nuclei, "next section"),
        )
    )
    side_um = min(tile.side_um, MOST_SIDE_UM)
    start_px = (tile.side_um - side_um) / 2 / pair.frame.mpp
    side_px = virtual.rgb.shape[0]
    he = pair.read_he_at(tile.x_px + start_px, tile.y_px + start_px, side_px, side_um / side_px)
    return TranslatedTile(tile.slide_id, he, virtual, real)
