"""Predicting the patches of one slide, as one step."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.context import with_context
from tumor_ratio.imaging.patches import PatchReader
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.models.prediction_options import PredictionOptions
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef
    from tumor_ratio.models.predictor import Predictor


@step(name="predict_patches", version=3)
def predict_slide(
    slide: Slide, patches: pd.DataFrame, model: ModelRef, options: PredictionOptions
) -> pd.DataFrame:
    """Ratios of a slide's patches.

    Parameters
    ----------
    slide : the H&E slide.
    patches : its patches (`schemas.Regions`).
    model : the approach's trained model.
    options : what to compute with, and which views of a patch to ask about.

    Returns
    -------
    DataFrame
        region_id; tumor_ratio, float64, as the network gives it.

    Raises
    ------
    ConfigurationError
        If the model was trained on patches of another size or resolution.
    SlideError
        If the slide cannot be read.
    """
    wanted = (int(model.card["patch_px"]), float(model.card["mpp"]))
    cut = set(zip(patches["size_px"].tolist(), patches["mpp"].tolist(), strict=True))
    if cut - {wanted}:
        raise ConfigurationError(
            f"the model takes patches of {wanted[0]} px at {wanted[1]:g} um/px, these are {cut}",
            "train it on these patches: kedro run --pipelines=regression",
        )
    seen = with_context(slide, float(model.card.get("context", 1.0)))
    reader = PatchReader({slide.slide_id: seen}, list(iter_regions(patches)), cache_mb=0)
    predicted = _opened(model.folder, model.card["fingerprint"], options).predict_source(reader)
    return pd.DataFrame(
        {"region_id": patches["region_id"].to_numpy(), "tumor_ratio": predicted.astype("float64")}
    )


@lru_cache(maxsize=1)
def _opened(folder: Path, fingerprint: str, options: PredictionOptions) -> Predictor:
    """The model, kept for the worker's next slide."""
    from tumor_ratio.models.model_folder import load_regressor

    return load_regressor(folder, options, flips=options.flips)
