import math

import pandas as pd
import pytest

from tumor_ratio.metrics.label_agreement import CIRCULAR, EXPERTS, SYNTHETIC, method_summary

COLUMNS = [
    "source", "label_method", "tumor_ratio", "true_ratio", "n_positive", "n_negative",
    "true_positive", "true_negative", "seconds_per_mpx",
]  # fmt: skip
ROWS = [
    ("annotated", "nucleus", 0.20, 0.10, 12, 80, 10, 100, 2.0),
    ("annotated", "nucleus", 0.30, 0.35, 6, 40, 8, 50, 4.0),
    ("annotated", "nucleus", math.nan, 0.5, 0, 3, 1, 4, 3.0),
    ("annotated", "otsu", 0.9, 0.1, math.nan, math.nan, 10, 100, 0.1),
    ("phantom", "nucleus", 0.2, 0.2, 5, 5, 5, 5, 1.0),
    ("phantom", "recolor", 0.2, 0.2, math.nan, math.nan, 5, 5, 1.0),
]


def test_errors_counts_and_evidence_by_source_and_method():
    found = method_summary(pd.DataFrame(ROWS, columns=COLUMNS))
    ours = found.iloc[0]
    assert (ours["n_regions"], ours["n_undefined"]) == (2, 1)
    assert ours["mae"] == pytest.approx(0.075)
    assert ours["bias"] == pytest.approx(0.025)
    assert ours["largest_error"] == pytest.approx(0.1)
    assert ours["positives_found"] == pytest.approx(18 / 19)
    assert ours["negatives_found"] == pytest.approx(123 / 154)
    assert ours["seconds_per_mpx"] == 3.0
    assert found["evidence"].tolist() == [EXPERTS, EXPERTS, CIRCULAR, SYNTHETIC]
    assert math.isnan(found.loc[1, "positives_found"])
