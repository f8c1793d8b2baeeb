"""Errors on validation slides: means over slides of the mean over a slide's patches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.models.bins import bin_numbers
from tumor_ratio.models.patch_source import LabelledPatches
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import RatioRegressor


def validated(predictor: Predictor, patches: LabelledPatches) -> dict[str, float]:
    """What `metrics_of_answers` says of a predictor's answers to some patches."""
    bins = predictor.network.architecture.bins
    ask = predictor.bin_shares if bins else predictor.predict_source
    return metrics_of_answers(ask(patches.source), predictor.network, patches)


def metrics_of_answers(
    answers: NDArray[np.float32], network: RatioRegressor, patches: LabelledPatches
) -> dict[str, float]:
    """`validation_metrics`, and for a head of bins `val_bin_accuracy` of the likeliest ones.

    Parameters
    ----------
    answers : (N,) ratios, or (N, K) probabilities of the head's K bins.
    network : which answered.
    patches : N patches with their ratios.
    """
    bins = network.architecture.bins
    if not bins:
        return validation_metrics(answers, patches)
    ratios = answers @ network.bin_ratios.cpu().numpy()
    accuracy = bin_accuracy(answers.argmax(axis=1), patches, bins)
    return {**validation_metrics(ratios, patches), "val_bin_accuracy": accuracy}


def validation_metrics(
    predicted: NDArray[np.floating], patches: LabelledPatches
) -> dict[str, float]:
    """`val_mae` and `val_mse`, each a mean over slides of the mean over the slide's patches.

    Parameters
    ----------
    predicted : (N,) ratios.
    patches : N patches with their ratios.
    """
    error = np.asarray(predicted, dtype=np.float64) - patches.ratios
    return {
        "val_mae": slide_mean(np.abs(error), patches),
        "val_mse": slide_mean(error**2, patches),
    }


def bin_accuracy(
    numbers: NDArray[np.integer], patches: LabelledPatches, bins: tuple[float, ...]
) -> float:
    """Mean over slides of the share of a slide's patches whose bin is named rightly.

    Parameters
    ----------
    numbers : (N,) of the bins that are named.
    patches : N patches with their ratios.
    bins : edges between the bins.
    """
    return slide_mean((numbers == bin_numbers(patches.ratios, bins)).astype(np.float64), patches)


def slide_mean(values: NDArray[np.float64], patches: LabelledPatches) -> float:
    """Mean over slides of the mean over a slide's patches of (N,) values."""
    _, slide = np.unique(patches.slides, return_inverse=True)
    return float((np.bincount(slide, values) / np.bincount(slide)).mean())
