"""Predicting a slide by the models of all folds that hold it out, as one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from tumor_ratio.imaging.slide import Slide
from tumor_ratio.metrics.folds import fold_of
from tumor_ratio.models.prediction_options import PredictionOptions
from tumor_ratio.pipelines.regression.prediction_step import predict_slide
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef


@step(name="predict_patches_in_folds", version=1, uses=[predict_slide])
def predict_in_folds(
    slide: Slide, patches: pd.DataFrame, models: Sequence[ModelRef], options: PredictionOptions
) -> pd.DataFrame:
    """Ratios of a slide's patches by each of some models.

    Parameters
    ----------
    slide, patches, options : see `predict_slide`.
    models : of the folds in which the slide is a validation or test slide.

    Returns
    -------
    DataFrame
        repeat, fold; region_id; tumor_ratio, float64, as the fold's network gives it.

    Raises
    ------
    ConfigurationError, SlideError
        See `predict_slide`.
    """
    tables = []
    for model in models:
        key = fold_of(model.card)
        table = predict_slide(slide, patches, model, options)
        tables.append(table.assign(repeat=key.repeat, fold=key.fold))
    return pd.concat(tables, ignore_index=True)
