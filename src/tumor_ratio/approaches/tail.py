"""What every approach ends in: predictions, a model for new slides, and its calibration."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.pipeline import Node, Pipeline
from numpy.typing import NDArray

from tumor_ratio.approaches.contract import ANSWERS
from tumor_ratio.approaches.registry import spec_of
from tumor_ratio.atomic import full_disk_explained
from tumor_ratio.cohort.origin import training_origin
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.trainings import ModelRef
from tumor_ratio.inference.calibrating import calibrate_model
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.metrics.aggregation import slide_weights
from tumor_ratio.metrics.calibration import fit_monotone
from tumor_ratio.metrics.folds import fold_of, slides_of
from tumor_ratio.reporting.stamps import TrainingData
from tumor_ratio.steps import step

SHARED_INPUTS = frozenset(
    {"calibration_areas", "cohort", "folds", "patches", "ratio_labels", "slide_appearance"}
)
"""What the tail reads outside the approach's namespace."""
NO_VALIDATION_LABEL = "no validation slide has both a ratio and a ratio label to calibrate by"


def create_tail(model: str = "") -> Pipeline:
    """Assemble the end of an approach's pipeline; it is put into the approach's namespace.

    Parameters
    ----------
    model : dataset with the models for new slides, of an approach that makes them, `predictions`
        and `account` itself. By default the tail makes them of `region_ratios` (region_id;
        tumor_ratio, as the model gives it; of validation and test slides) and of the trained
        `model`, whose card says at least `approach`, `protocol`, `label_method`, `reference` and
        `training_data`.
    """
    made = Pipeline(
        [
            Node(
                calibrate_ratios,
                ["region_ratios", "patches", "ratio_labels", "folds", "model"],
                ["predictions", "calibration"],
                name="calibrate",
            ),
            Node(describe_approach, "model", "account", name="describe_approach"),
            Node(
                assemble_model,
                ["cohort", "patches", "folds", "model", "calibration"],
                "slide_model",
                name="assemble_model",
            ),
        ]
    )
    calibrated = Node(
        calibrate_for_new_slides,
        [
            "cohort",
            "patches",
            "ratio_labels",
            "folds",
            "predictions",
            "calibration_areas",
            "slide_appearance",
            model or "slide_model",
        ],
        "new_slide_calibration",
        name="calibrate_for_new_slides",
    )
    return Pipeline([calibrated]) if model else made + Pipeline([calibrated])


def calibrate_ratios(
    region_ratios: pd.DataFrame,
    patches: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    model: ModelRef,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of validation and test slides, and the record of the map that calibrates them."""
    protocol = model.card["protocol"]
    places = region_ratios.merge(patches[["region_id", "slide_id"]], on="region_id")
    held_out = slides_of(folds, protocol, "validation", "test", key=fold_of(model.card))
    places = places[places["slide_id"].isin(held_out)].reset_index(drop=True)
    labels = ratio_labels[ratio_labels["label_method"] == model.card["label_method"]]
    measured = labels.set_index("region_id")["tumor_ratio"].reindex(places["region_id"])
    raw = places["tumor_ratio"].to_numpy(dtype=np.float64)
    return predictions_of(
        places,
        raw,
        np.isfinite(raw),
        measured.to_numpy(dtype=np.float64),
        folds,
        model.card,
    )


def predictions_of(
    places: pd.DataFrame,
    raw: NDArray[np.float64],
    fits: NDArray[np.bool_],
    measured: NDArray[np.float64],
    folds: pd.DataFrame,
    card: Mapping[str, Any],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Ratios of N regions, calibrated by those of validation slides, which count alike.

    Parameters
    ----------
    places : region_id, slide_id.
    raw : (N,) an approach's ratios.
    fits : (N,) which of them may calibrate.
    measured : (N,) ratio labels, NaN where there is none.
    folds : `schemas.Folds`.
    card : `approach`, `protocol` and `reference`; `repeat` and `fold` of a cross-validation.

    Returns
    -------
    predictions : `schemas.Predictions`, a row a region; calibrated is NaN without labelled
        validation regions.
    calibration : record of the monotone map; empty without those.
    """
    key = fold_of(card)
    slide_ids = places["slide_id"].to_numpy()
    validation = np.isin(
        slide_ids, sorted(slides_of(folds, card["protocol"], "validation", key=key))
    )
    fitted = validation & fits & np.isfinite(measured)
    calibrated, record = np.full_like(raw, np.nan), dict[str, Any]()
    if fitted.any():
        weights = slide_weights(slide_ids[fitted])
        monotone = fit_monotone(raw[fitted], measured[fitted], weights)
        calibrated, record = monotone.apply(raw), dict(monotone.to_record())
    table = pd.DataFrame(
        {
            "approach": card["approach"],
            "protocol": card["protocol"],
            "repeat": key.repeat,
            "fold": key.fold,
            "region_id": places["region_id"],
            "reference": card["reference"],
            "tumor_ratio": raw,
            "tumor_ratio_calibrated": calibrated,
            "lower": np.nan,
            "upper": np.nan,
        }
    )
    return table, record


def describe_approach(model: ModelRef | Mapping[str, ModelRef]) -> dict[str, str]:
    """What the report says of the approach: what it learned from, before and here."""
    card = _published(model).card
    learned_from = spec_of(str(card.get("approach", ""))).learned_from
    return {"supervision": str(card.get("supervision", learned_from))}


def assemble_model(
    cohort: Cohort,
    patches: pd.DataFrame,
    folds: pd.DataFrame,
    model: ModelRef,
    calibration: dict[str, Any],
) -> partial[dict[str, Any]]:
    """What new slides need: the trained model and the map; the model dataset puts it together."""
    size = patches.iloc[0] if len(patches) else {"size_px": 0, "mpp": 0.0}
    card = model.card
    given = ("approach", "protocol", "label_method", "reference")
    return partial(
        assemble_copy,
        model,
        {
            **slide_card(
                cohort,
                folds,
                card["training_data"],
                **{name: card[name] for name in given},
                **describe_approach(model),
            ),
            ANSWERS: spec_of(card["approach"]).answers,
            "patch_px": int(size["size_px"]),
            "mpp": float(size["mpp"]),
            **({"calibration": calibration} if calibration else {"missing": NO_VALIDATION_LABEL}),
        },
    )


def slide_card(
    cohort: Cohort, folds: pd.DataFrame, training_data: TrainingData, **said: str
) -> dict[str, Any]:
    """What every model for new slides says of itself: whose it is, and the slides that trained it.

    Parameters
    ----------
    cohort, folds : of the run.
    training_data : what the trained model's card has as that.
    said : `approach`, `protocol`, `label_method`, `reference`, and what else it says.
    """
    training = slides_of(folds, said["protocol"], "train")
    pairs = [pair for pair in cohort if pair.slide_id in training]
    return {
        **said,
        "slides": {"train": sorted(pair.slide_id for pair in pairs)},
        **training_origin(pairs, training_data),
    }


@step(name="export_with_calibration", version=1)
def assemble_copy(
    model: ModelRef, description: dict[str, Any], *, folder: Path, on_epoch: Any = None
) -> dict[str, Any]:
    """Write a model folder for new slides: the trained model's weights, and a card.

    Parameters
    ----------
    model : its `*.safetensors` are copied.
    description : what the card says, over what the trained model's says.
    folder : written.
    on_epoch : not called.

    Returns
    -------
    dict
        The card; with `missing`, the reason, where new slides cannot be answered.
    """
    with full_disk_explained(folder):
        for file in sorted(model.folder.glob("*.safetensors")):
            shutil.copyfile(file, folder / file.name)
    of_the_training = ("fingerprint", "mlflow_run_id", "package_version", "metrics")
    kept = {name: value for name, value in model.card.items() if name not in of_the_training}
    return {**kept, **description}


def calibrate_for_new_slides(
    cohort: Cohort,
    patches: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    predictions: pd.DataFrame,
    calibration_areas: Mapping[str, PartitionRef],
    slide_appearance: Mapping[str, PartitionRef],
    model: ModelRef | Mapping[str, ModelRef],
) -> NewSlideCalibration:
    """Intervals, threshold, scale of areas and domain of the published model."""
    card = _published(model).card
    return calibrate_model(
        card,
        *(cohort, patches, ratio_labels, folds, predictions),
        *(calibration_areas, slide_appearance),
        label_method=card["label_method"],
        protocol=card["protocol"],
        key=fold_of(card),
    )


def _published(model: ModelRef | Mapping[str, ModelRef]) -> ModelRef:
    """The model that new slides are predicted with: of a cross-validation the first fold's."""
    return next(iter(model.values())) if isinstance(model, Mapping) else model
