"""The comparison's figures as small tables, for drawings and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from tumor_ratio.reporting.headline import Headline, pick

CONSTANT: Final = "training_median"
BETWEEN: Final = "between models: the first minus the second"

DIFFERENCE: Final = ["group", "approach", "label", "effect", "lower", "upper", "p_value", "p_holm"]
IN_BIN: Final = ["approach", "bin", "mae", "lower", "upper", "n_slides", "n_regions"]


def differences(
    paired: pd.DataFrame, scores: pd.DataFrame, approaches: pd.DataFrame, headline: Headline
) -> pd.DataFrame:
    """Differences in MAE by yardstick: the constant, the ridge, other models.

    Parameters
    ----------
    paired : `schemas.PairedComparisons`.
    scores : `schemas.Scores`; the gains of ridges and oracle over the constant are not tested.
    approaches : `schemas.Approaches`.
    headline : which of them.

    Returns
    -------
    DataFrame
        group ("against <name>", or `BETWEEN`), approach, label, effect (below 0: the approach is
        better), lower, upper, p_value, p_holm (NaN where nothing was tested).
    """
    rows: list[dict[str, Any]] = []
    own = pick(paired, headline)
    roles = dict(zip(approaches["approach"], approaches["role"], strict=True))
    gains = pick(scores, headline)
    gains = gains[(gains["unit"] == "region") & (gains["metric"] == "gain_mae")]
    for row in own.to_dict("records"):
        first, second = str(row["approach_a"]), str(row["approach_b"])
        both = roles.get(second) == "model"
        group, label = (BETWEEN, f"{first} - {second}") if both else (f"against {second}", first)
        named = {"group": group, "approach": first, "label": label}
        rows.append(named | {str(name): row[name] for name in DIFFERENCE if name in row})
    for row in gains.to_dict("records"):
        name = row["approach"]
        if roles.get(name) == "ceiling" or str(name).startswith("ridge"):
            rows.append(
                {
                    "group": f"against {CONSTANT}",
                    "approach": name,
                    "label": name,
                    "effect": -row["value"],
                    "lower": -row["upper"],
                    "upper": -row["lower"],
                }
            )
    table = pd.DataFrame(rows, columns=DIFFERENCE)
    order = {f"against {name}": place for place, name in enumerate((CONSTANT, "ridge"))}
    place = table["group"].map(order).fillna(len(order))
    return table.assign(place=place).sort_values("place", kind="stable")[DIFFERENCE]


def errors_by_bin(
    scores: pd.DataFrame, metrics: Mapping[str, str], headline: Headline
) -> pd.DataFrame:
    """MAE by measured bin.

    Parameters
    ----------
    scores : `schemas.Scores`.
    metrics : the metric by the bin's name.
    headline : which scores; of regions.

    Returns
    -------
    DataFrame
        approach, bin, mae, lower, upper, n_slides, n_regions (those in the bin).
    """
    own = pick(scores, headline)
    own = own[(own["unit"] == "region") & own["metric"].isin(list(metrics.values()))]
    names = {metric: name for name, metric in metrics.items()}
    table = own.assign(bin=own["metric"].map(names), mae=own["value"], n_regions=own["n_units"])
    order = {name: place for place, name in enumerate(metrics)}
    return table.sort_values("bin", key=lambda bins: bins.map(order), kind="stable")[IN_BIN]
