"""From compared regions to the values that are scored: of regions, of tiles, of slides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from tumor_ratio.metrics.aggregation import slide_ratios
from tumor_ratio.metrics.paired_values import PairedValues

UNITS: Final = ("region", "tile", "slide")

CODED: Final = ("slide_id", "case_id", "tile_id")


class UnitValues(NamedTuple):
    """The values of one kind of unit.

    `values` is None where the approach lacks one; `n_undefined` counts what has no value.
    """

    unit: str
    values: PairedValues | None
    n_undefined: int


def with_codes(compared: pd.DataFrame) -> pd.DataFrame:
    """Slides, cases and tiles as numbers, which are told apart in a hundredth of the time."""
    return compared.assign(
        **{name: pd.factorize(compared[name], sort=True)[0] for name in CODED if name in compared}
    )


def units_of(table: pd.DataFrame, output: str) -> Iterator[UnitValues]:
    """Predicted and measured values of regions, tiles and slides.

    Parameters
    ----------
    table : `schemas.ComparedRegions` of one approach and reference, `with_codes`.
    output : "raw" or "calibrated".

    Yields
    ------
    UnitValues
        A region without a prediction leaves all three undefined, and is counted. Tiles and slides
        without nuclear area on H&E have no ratio by any approach: they are left out, and counted.
    """
    missing = int(table[output].isna().sum())
    if missing or table.empty:
        for unit in UNITS:
            yield UnitValues(unit, None, missing)
        return
    slide, case = (table[name].to_numpy(np.int64) for name in ("slide_id", "case_id"))
    predicted, measured = (table[name].to_numpy(np.float64) for name in (output, "measured"))
    yield UnitValues("region", PairedValues.of_codes(predicted, measured, slide, case), 0)
    for unit in ("tile", "slide"):
        ratios = area_ratios(table, output, f"{unit}_id")
        first = np.zeros((2, int(ratios.index.max()) + 1), np.int64)
        first[:, table[f"{unit}_id"].to_numpy()] = slide, case
        known = ratios.dropna()
        slides, cases = first[:, known.index.to_numpy()]
        values = PairedValues.of_codes(
            known["predicted"].to_numpy(), known["measured"].to_numpy(), slides, cases
        )
        yield UnitValues(unit, values if len(known) else None, len(ratios) - len(known))


def area_ratios(table: pd.DataFrame, output: str, by: str) -> pd.DataFrame:
    """Measured and predicted ratio of each tile or slide: sum(w r) / sum(w) over its regions.

    The measured ratio is weighted by the regions' nuclear area on IHC, the predicted one by that on
    H&E. Repeats pool.

    Parameters
    ----------
    table : `schemas.ComparedRegions` of one approach and reference.
    output : "raw" or "calibrated".
    by : the column that names the tile or slide.
    """
    groups = table[by]
    return pd.DataFrame(
        {
            "measured": slide_ratios(table["measured"], table["measured_um2"], groups),
            "predicted": slide_ratios(table[output], table["he_um2"], groups),
        }
    )
