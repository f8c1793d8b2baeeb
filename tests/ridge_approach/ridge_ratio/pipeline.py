"""Train, give region ratios; the shared tail does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.pipeline import Node, Pipeline
from pydantic import Field
from safetensors.numpy import load_file, save_file

from ridge_ratio.model import WEIGHTS_FILE, ratios
from tumor_ratio.approaches.tail import SHARED_INPUTS, create_tail
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.trainings import ModelRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.params import Params
from tumor_ratio.steps import step

COLOURS = ["mean_red", "mean_green", "mean_blue"]


class RidgeParams(Params):
    penalty: float = Field(default=0.1, gt=0)
    protocol: str = "holdout"
    label_method: str = "nucleus"


def check(params: RidgeParams) -> None:
    if params.penalty > 1e6:
        raise ConfigurationError("colour_ridge.penalty leaves nothing to learn", "set it below 1e6")


@step(name="fit_ridge_ratio", version=1)
def fit(
    colours: pd.DataFrame,
    ratio: pd.Series,
    penalty: float,
    card: dict[str, Any],
    *,
    folder: Path,
    on_epoch: Any = None,
) -> dict[str, Any]:
    x, y = colours.to_numpy() / 255, ratio.to_numpy()
    centred = x - x.mean(axis=0)
    slope = np.linalg.solve(centred.T @ centred + penalty * np.eye(3), centred.T @ (y - y.mean()))
    save_file({"weights": np.r_[y.mean() - x.mean(axis=0) @ slope, slope]}, folder / WEIGHTS_FILE)
    return card


def train(
    cohort: Cohort,
    patches: pd.DataFrame,
    patch_features: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    params: RidgeParams,
) -> partial[dict[str, Any]]:
    labels = ratio_labels[ratio_labels["label_method"] == params.label_method]
    table = patches.merge(patch_features, on="region_id").merge(
        labels[["region_id", "tumor_ratio"]].dropna(), on="region_id"
    )
    own = table[table["slide_id"].isin(slides_of(folds, params.protocol, "train"))]
    kinds = {pair.data_kind for pair in cohort}
    card = {
        "approach": "colour_ridge",
        "protocol": params.protocol,
        "label_method": params.label_method,
        "reference": "ihc_measured",
        "training_data": "phantom" if "phantom" in kinds else "real",
    }
    own = own.reset_index(drop=True)
    return partial(fit, own[COLOURS], own["tumor_ratio"], params.penalty, card)


def predict(patch_features: pd.DataFrame, model: ModelRef) -> pd.DataFrame:
    weights = load_file(model.folder / WEIGHTS_FILE)["weights"]
    predicted = ratios(patch_features[COLOURS].to_numpy(), weights)
    return patch_features[["region_id"]].assign(tumor_ratio=predicted)


def create_pipeline(approaches: Sequence[str]) -> Pipeline:
    params = "params:options"
    tables = ["patches", "patch_features", "ratio_labels", "folds"]
    head = Pipeline(
        [
            Node(train, ["cohort", *tables, params], "model", name="train"),
            Node(predict, ["patch_features", "model"], "region_ratios", name="predict"),
        ]
    )
    return Pipeline(
        head + create_tail(),
        namespace="colour_ridge",
        inputs=SHARED_INPUTS | {"patch_features"},
        parameters={params: "params:colour_ridge"},
        tags=["approach.colour_ridge"],
    )
