"""Planted errors with and without a factor."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from tumor_ratio.metrics.stress_scores import stress_metrics, stress_rankings, stress_scores
from tumor_ratio.schemas import StressRankings, StressRegions, StressScores

CHANGES = {"p01": 0.02, "p02": 0.05, "p03": 0.08}
PLAIN = 0.1


def rows(family: str, stress: str, approach: str, error: dict[str, float]) -> pd.DataFrame:
    """Slides with as many regions as their number says, alternately over and under the truth."""
    parts = []
    for number, (slide, size) in enumerate(error.items(), start=1):
        sign = np.where(np.arange(2 * number) % 2, 1, -1)
        parts.append(
            pd.DataFrame(
                {
                    "family": family,
                    "stress": stress,
                    "slide_id": slide,
                    "region_id": [f"{slide}_{index}" for index in range(2 * number)],
                    "approach": approach,
                    "reference": "ihc_true" if approach == "label" else "he_true",
                    "true_ratio": 0.5,
                    "tumor_ratio": 0.5 + sign * size,
                    "reason": "",
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def plain(family: str, approach: str, size: float = PLAIN) -> pd.DataFrame:
    return rows(family, "none", approach, dict.fromkeys(CHANGES, size))


def under(approach: str, size: float = PLAIN, stress: str = "tears") -> pd.DataFrame:
    return rows("final", stress, approach, {k: size + v for k, v in CHANGES.items()})


def scored(*parts: pd.DataFrame) -> pd.DataFrame:
    table = stress_scores(pd.concat(parts, ignore_index=True), strength=0.5, confidence=0.9)
    StressScores.validate(table)
    return table.set_index(["family", "stress", "approach"])


def test_the_change_is_paired_by_region_and_its_interval_taken_over_slides() -> None:
    StressRegions.validate(under("net"))
    row = scored(plain("final", "net"), under("net")).loc["final", "tears", "net"]
    assert row["mae_without"] == pytest.approx(PLAIN)
    assert row["change"] == pytest.approx(0.05)  # a plain mean over regions gives 0.06
    assert row["mae"] == pytest.approx(PLAIN + 0.05)
    half = student.ppf(0.95, 2) * 0.03 / math.sqrt(3)
    assert row["change_upper"] == pytest.approx(0.05 + half)
    assert row["change_lower"] == pytest.approx(0.05 - half)
    assert (row["n_slides"], row["n_regions"]) == (3, 12)
    assert row["strength"] == 0.5


def test_without_stress_there_is_no_change() -> None:
    row = scored(plain("final", "net"), under("net")).loc["final", "none", "net"]
    assert scored(under("net", 0.0)).iloc[0]["mae_lower"] == 0  # where Student's is below
    assert row["mae"] == pytest.approx(PLAIN)
    assert math.isnan(row["change"])
    assert math.isnan(row["mae_without"])
    assert row["strength"] == 0


def test_regions_that_one_twin_lacks_are_left_out_of_both_and_counted() -> None:
    before, after = plain("final", "label"), under("label")
    before.loc[2, "tumor_ratio"] = 0.99  # p02's first region: a large error without stress
    after.loc[2, "true_ratio"] = np.nan  # whose nuclei the factor has taken
    after.loc[6, "tumor_ratio"] = np.nan  # p03's first: the label found too few
    before.loc[9, "tumor_ratio"] = np.nan  # p03's fourth: the label found too few without stress
    after.loc[9, "tumor_ratio"] = 0.99
    row = scored(before, after).loc["final", "tears", "label"]
    assert row["mae_without"] == pytest.approx(PLAIN)
    assert row["mae"] == pytest.approx(PLAIN + 0.05)
    assert row["change"] == pytest.approx(0.05)
    assert (row["n_regions"], row["n_undefined"], row["n_lost"]) == (9, 1, 1)


def test_a_label_that_is_undefined_everywhere_has_no_figures() -> None:
    after = under("label").assign(tumor_ratio=np.nan, reason="refused")
    row = scored(plain("final", "label"), after).loc["final", "tears", "label"]
    assert row[["mae", "mae_without", "change"]].isna().all()
    assert (row["n_regions"], row["n_undefined"]) == (0, 12)


def test_rankings_are_compared_with_the_base_and_leave_the_label_out() -> None:
    sizes = {"a": 0.1, "b": 0.2, "c": 0.3}
    parts = [plain("final", name, size) for name, size in sizes.items()]
    parts += [under(name, size) for name, size in sizes.items()]
    parts += [plain("shifted", name, 0.5 - size) for name, size in sizes.items()]
    parts += [
        plain("development", name, {"b": 0.05}.get(name, size)) for name, size in sizes.items()
    ]
    parts += [plain("final", "label", 0.01), under("label", 0.4)]
    scores = scored(*parts).reset_index()
    table = stress_rankings(scores, base_family="final")
    StressRankings.validate(table)
    found = table.set_index(["family", "stress"])
    assert found.loc[("final", "tears"), "ranking"] == "a < b < c"
    assert found.loc[("shifted", "none"), "ranking"] == "c < b < a"
    assert found["kendall_tau"].to_dict() == pytest.approx(
        {
            ("final", "none"): 1.0,
            ("final", "tears"): 1.0,
            ("shifted", "none"): -1.0,
            ("development", "none"): 1 / 3,
        }
    )
    assert found["same_order"].tolist() == [True, True, False, False]
    assert (found["n_approaches"] == 3).all()
    metrics = stress_metrics(scores, table, base_family="final")
    assert metrics["stress_largest_change_a"] == pytest.approx(0.05)
    assert metrics["stress_smallest_tau"] == pytest.approx(-1.0)
    assert metrics["stress_same_order_share"] == pytest.approx(1 / 3)


def test_an_approach_without_an_error_changes_no_order() -> None:
    sizes = {"a": 0.1, "b": 0.2, "c": 0.3}
    parts = [plain("final", name, size) for name, size in sizes.items()]
    parts += [under("a", 0.1), under("c", 0.3), under("only here", 0.15)]
    table = stress_rankings(scored(*parts).reset_index(), base_family="final")
    found = table.set_index("stress").loc["tears"]
    assert (found["ranking"], found["n_approaches"]) == ("a < only here < c", 3)
    assert found["same_order"]


def test_one_approach_has_no_tau() -> None:
    scores = scored(plain("final", "a"), under("a")).reset_index()
    table = stress_rankings(scores, base_family="final")
    assert table["kendall_tau"].isna().all()
    assert "stress_smallest_tau" not in stress_metrics(scores, table, base_family="final")
