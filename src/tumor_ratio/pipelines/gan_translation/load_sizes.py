"""The same training at several sizes of its images, scored on the same test tiles."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.atomic import write_json
from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.labelling.params import NucleiModelParams, RatioLabelParams, SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.aggregation import slide_macro, slide_weights
from tumor_ratio.metrics.agreement import spearman
from tumor_ratio.metrics.calibration import fit_monotone
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.pipelines.gan_translation.measuring import Measuring
from tumor_ratio.pipelines.gan_translation.nodes import (
    given_networks,
    labelled_patches,
    measuring_of,
)
from tumor_ratio.pipelines.gan_translation.params import CycleGanParams, GanLearningParams
from tumor_ratio.pipelines.gan_translation.squares import most_labelled_tiles
from tumor_ratio.pipelines.gan_translation.training_step import (
    PANEL,
    GivenNetworks,
    train_cyclegan,
)
from tumor_ratio.reporting.stamps import CIRCULAR, stamps_for
from tumor_ratio.schemas import LoadSizeScores
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.models.training import OnEpoch

SWEEP = f"{APPROACH}_load_sizes"
CARD, SCORES = "training.json", "scores.json"


def compare(
    cohort: Cohort,
    squares: pd.DataFrame,
    tiles: pd.DataFrame,
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    nuclei_model: NucleiModelParams,
    segmentation: SegmentationParams,
    ratio_params: RatioLabelParams,
    params: CycleGanParams,
) -> partial[dict[str, Any]]:
    """Train at every load size and score it on test tiles; the model dataset carries it out."""
    if not params.load_sizes:
        raise ConfigurationError(
            "there are no load sizes to compare", f"set {APPROACH}.load_sizes, such as [128, 256]"
        )
    labelled = labelled_patches(patches, pair_quality, ratio_labels, params)
    test = labelled[labelled["slide_id"].isin(slides_of(folds, params.protocol, "test"))]
    chosen = most_labelled_tiles(test, params.test_tiles)
    test_tiles = tiles[tiles["region_id"].isin(chosen)]
    used = set(squares["slide_id"]) | set(test_tiles["slide_id"])
    of_tiles = labelled["tile_id"].isin([*squares["tile_id"], *chosen])
    return partial(
        compare_load_sizes,
        tuple(pair for pair in cohort if pair.slide_id in used),
        squares,
        test_tiles.reset_index(drop=True),
        labelled[of_tiles].reset_index(drop=True),
        {size: params.at_load_size(size) for size in params.load_sizes},
        measuring_of(nuclei_model, segmentation, ratio_params),
        given_networks(params),
    )


@step(name="compare_load_sizes", version=1, uses=[train_cyclegan, segment_slide])
def compare_load_sizes(
    pairs: tuple[SlidePair, ...],
    squares: pd.DataFrame,
    test_tiles: pd.DataFrame,
    patches: pd.DataFrame,
    trainings: Mapping[int, GanLearningParams],
    measuring: Measuring,
    initial: GivenNetworks | None,
    *,
    folder: Path,
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Train one CycleGAN a load size, one after the other, and score each on the same tiles.

    A size is to be chosen by `val_ratio_error`; scores on test tiles say what the choice is worth.

    Parameters
    ----------
    pairs : the slides of squares and test tiles.
    squares, initial : see `train_cyclegan`.
    test_tiles : `schemas.Regions`.
    patches : labelled patches of validation and test tiles: `schemas.Regions` and `tumor_ratio`.
    trainings : what to train, by load size.
    measuring : how translations are measured.
    folder : one folder in it for each load size; finished ones are not trained again.
    on_epoch : told of every epoch; epochs are numbered through, metrics begin with the load size.

    Returns
    -------
    dict
        `scores`: a row of `schemas.LoadSizeScores` for each; training data and stamps.
    """
    rows, cards, start = [], [], 0
    for size, params in trainings.items():
        own = folder / f"load_{size}"
        own.mkdir(parents=True, exist_ok=True)
        card = _written(own / CARD)
        if card is None:
            told = _numbered(on_epoch, size, start)
            card = train_cyclegan(
                pairs,
                squares,
                patches,
                params,
                measuring,
                initial,
                folder=own,
                on_epoch=told,
                panel=f"{PANEL}/{own.name}",
            )
            write_json(own / CARD, card)
        scores = _written(own / SCORES)
        if scores is None:
            scores = _scores(own, pairs, squares, test_tiles, patches, params, measuring)
            write_json(own / SCORES, scores)
        rows.append({"load_size": size, "mpp": params.mpp, **_training(card), **scores})
        cards.append(card)
        start += params.gan.epochs
    shared = ("training_data", "stamps", "protocol", "label_method", "supervision")
    return {"scores": rows, **{name: cards[0][name] for name in shared}}


def tabulate(models: ModelRef) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """The scores as a table, and for a child run of each load size."""
    table = LoadSizeScores.validate(pd.DataFrame(models.card["scores"]))
    kind = models.card["training_data"]
    table.attrs["stamp"] = [*stamps_for(kind), *([CIRCULAR] if kind == "phantom" else [])]
    metrics = {
        f"{APPROACH}_load_{row['load_size']}": {
            str(name): float(value)
            for name, value in row.items()
            if name != "load_size" and math.isfinite(value)
        }
        for row in table.to_dict("records")
    }
    return table, metrics


def _scores(
    folder: Path,
    pairs: tuple[SlidePair, ...],
    squares: pd.DataFrame,
    test_tiles: pd.DataFrame,
    patches: pd.DataFrame,
    params: GanLearningParams,
    measuring: Measuring,
) -> dict[str, float]:
    from tumor_ratio.models.cyclegan.checkpoint_files import checkpoint_path, load_generator
    from tumor_ratio.models.devices import resolve_compute
    from tumor_ratio.pipelines.gan_translation.validation_ratios import TranslatedRatios, read_tiles

    compute = resolve_compute(params.gan.compute)
    generator = compute.place(load_generator(checkpoint_path(folder, "G_A")))
    validation, test = (
        TranslatedRatios(
            read_tiles(pairs, tiles, patches, params.mpp), params.mpp, measuring, compute
        )
        for tiles in (squares[squares["split"] == "validation"], test_tiles)
    )
    median = float(np.median(validation.measured))
    ratios = [each.ratios(generator) for each in (validation, test)]
    # As in the predictions: what a translation leaves undefined is answered with a median.
    found = [np.where(np.isnan(each), median, each) for each in ratios]
    weights = slide_weights(validation.slides)
    calibrated = fit_monotone(found[0], validation.measured, weights).apply(found[1])
    return {
        "undefined": float(np.isnan(ratios[1]).mean()),
        "spearman": spearman(found[1], test.measured),
        "mae_raw": slide_macro(np.abs(found[1] - test.measured), test.slides),
        "mae_calibrated": slide_macro(np.abs(calibrated - test.measured), test.slides),
        "mae_of_median": slide_macro(np.abs(median - test.measured), test.slides),
        "n_regions": len(test.measured),
    }


def _training(card: Mapping[str, Any]) -> dict[str, float]:
    metrics = card["metrics"]
    shown = ("val_ratio_error", "val_mae_raw", "val_spearman", "val_undefined")
    return {
        "seconds": card["seconds"],
        "best_epoch": card["best_epoch"],
        **{name: metrics[name] for name in shown},
    }


def _written(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _numbered(on_epoch: OnEpoch | None, size: int, start: int) -> Callable[..., None]:
    def told(metrics: dict[str, float], epoch: int) -> None:
        if on_epoch is not None:
            named = {f"load_{size}_{name}": value for name, value in metrics.items()}
            on_epoch(named, start + epoch)

    return told
