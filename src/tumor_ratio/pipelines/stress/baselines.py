"""What needs no network: the training median, and a ridge on mean colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.cohort.patch_colours import mean_colour
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.metrics.baseline_predictions import labelled_regions
from tumor_ratio.metrics.baselines import COLOUR, Ridge, choose_ridge, constant_baselines

MEDIAN, RIDGE = "training_median", "ridge_colour"


@dataclass(frozen=True)
class FittedBaselines:
    """Baselines of a finished run's training slides."""

    median: float
    ridge: Ridge

    def predict(self, pair: SlidePair, regions: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
        """(N,) ratios of a slide's regions, by baseline.

        Raises
        ------
        SlideError
            If the H&E slide cannot be read.
        """
        colours = np.array([mean_colour(pair, each) for each in iter_regions(regions)])
        features = pd.DataFrame(colours.reshape(-1, len(COLOUR)), columns=list(COLOUR))
        return {
            MEDIAN: np.full(len(regions), self.median),
            RIDGE: self.ridge.predict(features),
        }


def fit_baselines(
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    references: pd.DataFrame,
    patch_features: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    protocol: str,
    alphas: Sequence[float],
) -> FittedBaselines:
    """Fit them as the evaluation does, on measured labels of the protocol's first fold.

    Parameters
    ----------
    patches, pair_quality, references, patch_features, folds : tables of a finished run.
    protocol : whose training and validation slides.
    alphas : penalties of the ridge.

    Raises
    ------
    ConfigurationError
        If the run has no such protocol, or no labelled training region.
    """
    members = folds[folds["protocol"] == protocol]
    if members.empty:
        raise ConfigurationError(
            f"the finished run has no protocol {protocol!r}", "set stress.protocol to its own"
        )
    first = members[["repeat", "fold"]].min()
    members = members[(members["repeat"] == first["repeat"]) & (members["fold"] == first["fold"])]
    regions = labelled_regions(
        patches, pair_quality, references, patch_features, reference="ihc_measured"
    )
    placed = regions.merge(members[["slide_id", "split"]], on="slide_id")
    usable = placed[placed["selected"] & placed["tumor_ratio"].notna()]
    training = usable[usable["split"] == "train"]
    if training.dropna(subset=list(COLOUR)).empty:
        raise ConfigurationError(
            "the finished run has no labelled training region", "run the main job on more slides"
        )
    median = constant_baselines(training["tumor_ratio"].to_numpy())[MEDIAN]
    ridge = choose_ridge(COLOUR, training, usable[usable["split"] == "validation"], alphas)
    return FittedBaselines(median, ridge)
