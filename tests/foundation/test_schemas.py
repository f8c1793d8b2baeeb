"""Tables are refused where a column, a range or a key is wrong."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from pandera.errors import SchemaError, SchemaErrors

from tumor_ratio.schemas import RatioLabels, Regions

REGION = {
    "region_id": "s_x0_y0_s8_m0.5",
    "slide_id": "s",
    "tile_id": "t",
    "kind": "tile",
    "x_px": 0,
    "y_px": 0,
    "size_px": 8,
    "mpp": 0.5,
}


def test_regions_pass_and_repeated_ids_do_not():
    assert len(Regions.validate(pd.DataFrame([REGION]))) == 1
    with pytest.raises(SchemaError, match="not unique"):
        Regions.validate(pd.DataFrame([REGION, REGION]))


def test_an_undefined_ratio_is_nan_and_a_ratio_over_one_is_refused():
    label = {
        "region_id": "r",
        "label_method": "nucleus",
        "tumor_ratio": math.nan,
        "lower": math.nan,
        "upper": math.nan,
        "positive_share": math.nan,
        "n_positive": 0,
        "n_nuclei": 3,
        "positive_um2": 0.0,
        "nuclei_um2": 90.0,
        "weight": 0.0,
    }
    assert RatioLabels.validate(pd.DataFrame([label])).tumor_ratio.isna().all()
    with pytest.raises(SchemaError, match="less_than_or_equal_to"):
        RatioLabels.validate(pd.DataFrame([label | {"tumor_ratio": 1.2}]))


def test_unknown_columns_are_refused():
    with pytest.raises((SchemaError, SchemaErrors), match="not in"):
        Regions.validate(pd.DataFrame([REGION | {"extra": 1}]))
