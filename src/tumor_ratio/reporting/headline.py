"""The primary comparison: one row an approach, picked from all scores."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

ROLES: Final = ("model", "baseline", "ceiling")

LOGGED: Final = (
    *(f"region_{name}" for name in ("rmse", "r2", "ccc", "bias", "gain_mae", "gain_mse")),
    *("region_skill_mae", "region_skill_mse", "slide_icc_2_1"),
    *(
        f"{unit}_{name}"
        for unit in ("region", "slide")
        for name in (
            "mae", "mse", "within_0_05", "within_0_1", "within_0_2", "bin_accuracy",
            "balanced_accuracy",
        )
    ),
)  # fmt: skip
"""Figures that a run's comparison shows. Constants have them, too: so no correlations."""


class Headline(NamedTuple):
    """Which scores are the primary ones.

    Parameters
    ----------
    protocol : of the folds.
    reference : `ihc_measured`, `ihc_true` or `he_true`.
    regions : `selected` or `admitted`.
    output : `raw` or `calibrated`.
    """

    protocol: str
    reference: str
    regions: str
    output: str


def quantity_of(headline: Headline) -> str:
    """The quantity that predictions are compared with, in words."""
    return {
        "ihc_measured": "the ratio measured on the neighbouring Ki-67 section",
        "ihc_true": "the true ratio of the neighbouring Ki-67 section",
        "he_true": "the true ratio of the H&E section itself",
    }[headline.reference]


def pick(scores: pd.DataFrame, headline: Headline) -> pd.DataFrame:
    """Rows of `schemas.Scores` that belong to `headline`."""
    chosen = pd.Series(True, index=scores.index)
    for column, value in headline._asdict().items():
        chosen &= scores[column] == value
    return scores[chosen]


def headline_table(
    scores: pd.DataFrame, approaches: pd.DataFrame, headline: Headline
) -> pd.DataFrame:
    """One row a scored approach, models first, then baselines, then the ceiling.

    Auxiliary approaches are left out.

    Parameters
    ----------
    scores : `schemas.Scores`.
    approaches : `schemas.Approaches`; gives the order within a role.
    headline : which scores.

    Returns
    -------
    DataFrame
        Indexed by approach: role, supervision, n_slides, n_regions, and for every metric
        `<unit>_<metric>` with `..._lower` and `..._upper`. Relative gains, of the constant's loss,
        in `relative_gain_mae`; gains in those of the ridge in `gain_over_ridge`. Empty, with the
        columns that a reader needs, where nothing was compared.
    """
    chosen = pick(scores, headline)
    chosen = chosen.assign(name=chosen["unit"] + "_" + chosen["metric"])
    wide = chosen.pivot(index="approach", columns="name", values=["value", "lower", "upper"])
    kinds, names = (wide.columns.get_level_values(level).astype(str) for level in (0, 1))
    wide.columns = names + np.where(kinds == "value", "", "_" + kinds)
    counts = chosen.groupby("approach")[["n_slides", "n_regions"]].max()
    listed = approaches[approaches["scored"].astype(bool)].set_index("approach")
    order = [
        name
        for role in ROLES
        for name in listed.index[listed["role"] == role]
        if name in wide.index
    ]
    table = listed[["role", "supervision"]].join(counts).join(wide).loc[order]
    if table.empty:
        return table.reindex(columns=[*table.columns, "region_mae"])
    return _with_relative_gains(table)


def _with_relative_gains(table: pd.DataFrame) -> pd.DataFrame:
    median = value_of(table, "training_median", "region_mae")
    ridge = value_of(table, "ridge", "region_gain_mae")
    return table.assign(
        relative_gain_mae=table["region_gain_mae"] / median,
        # A ridge that gains nothing makes the ratio meaningless.
        gain_over_ridge=table["region_gain_mae"] / (ridge if ridge > 0 else math.nan),
    )


def headline_metrics(
    scores: pd.DataFrame, approaches: pd.DataFrame, headline: Headline
) -> dict[str, dict[str, float]]:
    """`{approach: {metric: value}}` of the headline, with the same names for every approach.

    The headline's figures in `LOGGED`, and `region_mae_calibrated` and `region_mae_admitted`, the
    primary metric on the other output and on the other set of regions. What is undefined is left
    out; it is undefined for all approaches alike, or follows from missing validation labels.
    """
    table = headline_table(scores, approaches, headline)
    others = {
        "region_mae_calibrated": headline._replace(output="calibrated"),
        "region_mae_admitted": headline._replace(regions="admitted"),
    }
    for name, other in others.items():
        rows = pick(scores, other)
        rows = rows[(rows["unit"] == "region") & (rows["metric"] == "mae")]
        table[name] = rows.set_index("approach")["value"]
    names = [name for name in (*LOGGED, *others) if name in table.columns]
    return {
        str(approach): {name: float(row[name]) for name in names if math.isfinite(row[name])}
        for approach, row in table.iterrows()
    }


def best_model(table: pd.DataFrame) -> str | None:
    """The model with the lowest headline MAE; None without a scored model."""
    models = table.loc[table["role"] == "model", "region_mae"].dropna()
    return None if models.empty else str(models.idxmin())


def value_of(table: pd.DataFrame, approach: str, column: str) -> float:
    """One figure of a headline table; NaN where the approach was not scored."""
    return float(table[column].get(approach, math.nan))
