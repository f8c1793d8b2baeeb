"""The result in a few sentences and large numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tumor_ratio.reporting.headline import Headline, best_model, quantity_of
from tumor_ratio.reporting.html_report import KeyFigure
from tumor_ratio.reporting.results_text import counted, interval, number

BESIDE = ("training_median", "ridge", "oracle")


def answer_of(table: pd.DataFrame, headline: Headline, region_um: float) -> list[str]:
    """The best model's MAE; then the others', the ridge's and the oracle's beside it.

    Parameters
    ----------
    table : what `headline_table` gives.
    headline : which scores it was given.
    region_um : side of a region.
    """
    best = best_model(table)
    if best is None:
        return ["No model could be scored; the sections below say what is missing."]
    rows = _rows(table)
    first = rows[best]
    bounds = interval(first["region_mae_lower"], first["region_mae_upper"])
    calibrated = ", calibrated," if headline.output == "calibrated" else ""
    sentences = [
        f"On {counted(first['n_slides'], 'test slide')} ({counted(first['n_regions'], 'region')}, "
        f"{region_um:.0f} µm wide) {best}{calibrated} estimates {quantity_of(headline)} with a "
        f"mean absolute error of {number(first['region_mae'])} {bounds}".rstrip()
        + f": {_against_median(first)}."
    ]
    others = [
        f"{name}: {_against_median(row)}"
        for name, row in rows.items()
        if name in BESIDE[1:] or (row["role"] == "model" and name != best)
    ]
    if others:
        sentences.append("Beside it, on the same regions: " + "; ".join(others) + ".")
    return sentences


def key_figures(table: pd.DataFrame) -> list[KeyFigure]:
    """The primary metric of the models, the constant, the ridge and the oracle."""
    return [
        KeyFigure(
            f"MAE, {name}",
            number(row["region_mae"]),
            "the constant to beat" if name == "training_median" else _against_median(row),
        )
        for name, row in _rows(table).items()
        if row["role"] == "model" or name in BESIDE
    ]


def _rows(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        str(name): {str(column): value for column, value in row.items()}
        for name, row in table.iterrows()
    }


def _against_median(row: Mapping[str, Any]) -> str:
    gain = float(row["relative_gain_mae"])
    if not math.isfinite(gain):
        return "not comparable with the training median"
    if abs(gain) < 0.005:
        return "no better than the training median"
    return f"{abs(gain):.0%} {'below' if gain > 0 else 'above'} the training median"
