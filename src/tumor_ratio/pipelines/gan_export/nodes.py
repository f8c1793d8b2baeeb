"""Nodes of gan_export."""

from __future__ import annotations

import pandas as pd

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import regions_of
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.pipelines.gan_export.held_out import held_out_squares
from tumor_ratio.pipelines.gan_export.params import GanExportParams
from tumor_ratio.pipelines.gan_export.square_pixels import SquarePixels


def export_tiles(
    cohort: Cohort,
    squares: pd.DataFrame,
    tiles: pd.DataFrame,
    pair_quality: pd.DataFrame,
    folds: pd.DataFrame,
    params: GanExportParams,
) -> SquarePixels:
    """The training squares, and squares of test slides; they are read while they are written."""
    training = squares[squares["split"] == "train"]
    _check_training(cohort, training, folds, params.protocol)
    (size_px, mpp), *_ = training[["size_px", "mpp"]].itertuples(index=False, name=None)
    kept = tiles[
        tiles["region_id"].isin(pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"])
    ]
    testing = slides_of(folds, params.protocol, "test")
    found = [
        held_out_squares(pair, regions_of(kept, pair.slide_id), size_px, mpp, params.test_squares)
        for pair in cohort
        if pair.slide_id in testing
    ]
    test = pd.concat(found, ignore_index=True) if found else training.iloc[:0]
    if test.empty:
        raise ConfigurationError(
            f"no test slide of the protocol '{params.protocol}' has a kept tile",
            "look at the contact sheet, and at tile_selection and pair_quality",
        )
    return SquarePixels(cohort, {"train": training, "test": test})


def _check_training(
    cohort: Cohort, training: pd.DataFrame, folds: pd.DataFrame, protocol: str
) -> None:
    """Refuse squares of slides that test, or that are gone: the table may be of an earlier run."""
    valid = slides_of(folds, protocol, "train") & {pair.slide_id for pair in cohort}
    strangers = sorted(set(training["slide_id"]) - valid)
    if training.empty:
        problem = f"{APPROACH}.squares holds no training square"
    elif strangers:
        problem = (
            f"{APPROACH}.squares lie on slides that do not train by the protocol '{protocol}': "
            f"{', '.join(strangers)}"
        )
    else:
        return
    raise ConfigurationError(
        problem, "set gan_export.protocol to cyclegan.protocol, or run gan_translation again"
    )
