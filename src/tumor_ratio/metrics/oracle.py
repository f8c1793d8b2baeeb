"""The oracle: the best estimate of the measured label that the H&E section could give.

It is told what no estimator can know, the true ratio of the H&E section in the region and around it
and how many nuclei that rests on, and learns from other slides how the neighbouring section's label
follows. Its loss is the ceiling of the skill. It exists for phantoms only.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.schemas import Predictions

FloatArray = NDArray[np.float64]

ORACLES: Final[dict[str, Literal["absolute_error", "squared_error"]]] = {
    "oracle": "absolute_error",
    "oracle_mean": "squared_error",
}
"""The conditional median is the ceiling of the MAE, the conditional mean that of the MSE."""

ROLES: Final = {"oracle": "ceiling", "oracle_mean": "auxiliary"}
"""`oracle_mean` only serves the skill by MSE."""

FEATURES: Final = ("he_true", "he_true_around", "he_n_nuclei", "he_n_around")

SUPERVISION: Final = "the H&E section's true nuclei; no estimator has them"

_MIN_REGIONS = 20


def oracle_predictions(
    truths: pd.DataFrame,
    references: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    reference: str,
    groups: int,
    seed: int,
) -> pd.DataFrame:
    """Predictions of the oracles for validation and test slides.

    Parameters
    ----------
    truths : `schemas.RegionTruths`; empty for real slides, which gives an empty table.
    references : `schemas.References`.
    folds : `schemas.Folds`; regions of one case are never on both sides of the cross-fit.
    reference : the label that the oracle estimates.
    groups, seed : see `cross_fitted`.

    Returns
    -------
    DataFrame
        `schemas.Predictions`; calibrated equals raw, an oracle has nothing to calibrate.
    """
    if truths.empty or folds.empty:
        return Predictions.empty()
    label = references.loc[references["reference"] == reference, ["region_id", "tumor_ratio"]]
    case_of = folds.drop_duplicates("slide_id").set_index("slide_id")["case_id"]
    known = truths[truths["slide_id"].isin(case_of.index)]
    known = known.merge(label, on="region_id", how="left")
    measured = known["tumor_ratio"].to_numpy(dtype=np.float64)
    cases = known["slide_id"].map(case_of).to_numpy()
    asked = folds.loc[folds["split"] != "train", ["protocol", "repeat", "fold", "slide_id"]]
    parts = []
    for approach, loss in ORACLES.items():
        estimates = cross_fitted(known, measured, cases, loss=loss, groups=groups, seed=seed)
        rows = known[["slide_id", "region_id"]].assign(
            approach=approach,
            reference=reference,
            tumor_ratio=estimates,
            tumor_ratio_calibrated=estimates,
            lower=np.nan,
            upper=np.nan,
        )
        parts.append(asked.merge(rows, on="slide_id").drop(columns="slide_id"))
    return pd.concat(parts, ignore_index=True)


def cross_fitted(
    truths: pd.DataFrame,
    measured: FloatArray,
    cases: NDArray[Any],
    *,
    loss: Literal["absolute_error", "squared_error"],
    groups: int,
    seed: int,
) -> FloatArray:
    """Estimates of the measured label, each from a model that never saw the region's case.

    Gradient-boosted trees, monotone in the two ratios; an undefined ratio is a missing value to
    them.

    Parameters
    ----------
    truths : one row a region with `FEATURES`.
    measured : (N,) the label; NaN regions train nothing but are predicted.
    cases : (N,) the case of each region.
    loss : what the trees minimise.
    groups : groups of cases that are held out in turn; fewer where there are fewer cases.
    seed : of the deal of cases into groups, and of the trees.

    Returns
    -------
    (N,) float64 in [0, 1]
        NaN where fewer than 20 labelled regions of other groups are at hand.
    """
    names = np.unique(cases.astype(str))
    shuffled = np.random.default_rng(seed).permutation(names)
    group_of = {name: index % groups for index, name in enumerate(shuffled)}
    group = np.array([group_of[str(case)] for case in cases], dtype=np.int64)
    features = truths[list(FEATURES)].to_numpy(dtype=np.float64)
    estimates = np.full(len(truths), np.nan)
    for held_out in np.unique(group):
        train = (group != held_out) & np.isfinite(measured)
        if train.sum() >= _MIN_REGIONS:
            model = _trees(loss, seed).fit(features[train], measured[train])
            asked = group == held_out
            estimates[asked] = np.clip(model.predict(features[asked]), 0.0, 1.0)
    return estimates


def _trees(loss: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        loss=loss,
        learning_rate=0.08,
        max_iter=120,
        max_leaf_nodes=8,
        min_samples_leaf=15,
        monotonic_cst=[1, 1, 0, 0],
        early_stopping=False,
        random_state=seed,
    )
