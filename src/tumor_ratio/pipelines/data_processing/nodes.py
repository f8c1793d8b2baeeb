"""Nodes of data_processing: which slides, which tiles, which patches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import pandas as pd
from matplotlib.figure import Figure  # at run time: Kedro reads the node's annotations

from tumor_ratio.cohort.contact_sheet import ContactSheetParams, contact_sheet
from tumor_ratio.cohort.fetching import fetch_pair
from tumor_ratio.cohort.manifest import PlannedPair, read_manifest
from tumor_ratio.cohort.opening import OpeningParams, open_planned_pair
from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.cohort.selection import TileSelectionParams, select_tile_pairs
from tumor_ratio.cohort.tile_scores import TileScoreParams, score_pair_tiles
from tumor_ratio.cohort.tiles import PatchParams, TileParams, patches_of_pair, tiles_of_pair
from tumor_ratio.cohort.white_rule import WhiteLimits
from tumor_ratio.cohort.zenodo_pairs import PlannedDownload, plan_downloads
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import regions_of, regions_table
from tumor_ratio.phantom.plan import PhantomSlide, plan_phantom
from tumor_ratio.pipelines.data_processing.appearance_step import describe_slide
from tumor_ratio.pipelines.data_processing.params import CohortParams
from tumor_ratio.pipelines.data_processing.phantom_slides import render_phantom_pair
from tumor_ratio.steps import SlideTasks

CohortPlan = dict[str, Any]
"""`source`, and `pairs`: a record a slide pair, in order."""


class Loadable(Protocol):
    """What a finished slide's partition offers."""

    def load(self) -> Any:
        """Read the slide's result."""


def plan_cohort(params: CohortParams) -> CohortPlan:
    """List the slide pairs; a manifest is checked whole here, a record is listed."""
    planned: tuple[PhantomSlide, ...] | tuple[PlannedPair, ...] | tuple[PlannedDownload, ...]
    if params.source == "phantom":
        planned = plan_phantom(params.phantom)
    elif params.source == "zenodo":
        planned = plan_downloads(params.zenodo)
    else:
        planned = read_manifest(params.manifest.path)
    return {"source": params.source, "pairs": [pair.to_record() for pair in planned]}


def prepare_slides(plan: CohortPlan, params: CohortParams) -> SlideTasks:
    """Render, download or open each pair, one task a slide."""
    if plan["source"] == "phantom":
        return {
            slide.slide_id: partial(render_phantom_pair, slide, params.folder)
            for slide in map(PhantomSlide.from_record, plan["pairs"])
        }
    opening = OpeningParams(
        pyramids=params.pyramids,
        allowed_root=params.manifest.allowed_root if plan["source"] == "manifest" else "",
        max_size_difference=params.max_size_difference,
    )
    if plan["source"] == "zenodo":
        return {
            pair.slide_id: partial(fetch_pair, pair, params.zenodo.download, opening)
            for pair in map(PlannedDownload.from_record, plan["pairs"])
        }
    return {
        pair.slide_id: partial(open_planned_pair, pair, opening)
        for pair in map(PlannedPair.from_record, plan["pairs"])
    }


def gather_cohort(plan: CohortPlan, slides: Mapping[str, Loadable]) -> Cohort:
    """Put the prepared pairs into the plan's order."""
    pairs = tuple(
        SlidePair.from_record(slides[record["slide_id"]].load())
        for record in plan["pairs"]
        if record["slide_id"] in slides
    )
    if not pairs:
        raise ConfigurationError(
            "no slide could be prepared", "see the failures table, and correct the cohort"
        )
    return Cohort(pairs, plan["source"])


def describe_slides(cohort: Cohort) -> SlideTasks:
    """How the H&E of each slide looks, one task a slide."""
    return {
        pair.slide_id: partial(describe_slide, pair.he) for pair in cohort if pair.he is not None
    }


def make_tiles(cohort: Cohort, params: TileParams) -> pd.DataFrame:
    """Lay the tile grid over every slide."""
    return regions_table(tile for pair in cohort for tile in tiles_of_pair(pair, params))


def score_tiles(
    cohort: Cohort, tiles: pd.DataFrame, params: TileScoreParams, selection: TileSelectionParams
) -> SlideTasks:
    """Measure white, tissue and likeness of the tiles, one task a slide."""
    white = WhiteLimits(max_he_white=selection.max_he_white, max_ihc_white=selection.max_ihc_white)
    return {
        pair.slide_id: partial(
            score_pair_tiles, pair, regions_of(tiles, pair.slide_id), params, white
        )
        for pair in cohort
    }


def select_tiles(
    tiles: pd.DataFrame,
    tile_scores: Mapping[str, Loadable],
    exclusions: pd.DataFrame,
    params: TileSelectionParams,
) -> pd.DataFrame:
    """Keep or reject each tile pair, with the reasons."""
    if not tile_scores:
        raise ConfigurationError(
            "no slide's tiles could be scored", "see the failures table, and correct the cohort"
        )
    scores = pd.concat([part.load() for part in tile_scores.values()], ignore_index=True)
    return select_tile_pairs(tiles, scores, exclusions, params)


def draw_contact_sheet(
    cohort: Cohort, tiles: pd.DataFrame, tile_quality: pd.DataFrame, params: ContactSheetParams
) -> Figure:
    """Picture kept and rejected tile pairs."""
    return contact_sheet(cohort, tiles, tile_quality, params)


def cut_patches(
    cohort: Cohort, tiles: pd.DataFrame, tile_quality: pd.DataFrame, params: PatchParams
) -> pd.DataFrame:
    """Cut patches from every tile that the frame's own slide admits, kept or not."""
    admitted = tile_quality.loc[tile_quality["admitted"], "region_id"]
    chosen = tiles[tiles["region_id"].isin(admitted)]
    tables = [patches_of_pair(pair, regions_of(chosen, pair.slide_id), params) for pair in cohort]
    return pd.concat(tables, ignore_index=True)
