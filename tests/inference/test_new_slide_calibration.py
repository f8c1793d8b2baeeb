from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.inference.domain import TrainedDomain
from tumor_ratio.inference.new_slide_calibration import (
    COLUMNS,
    FILE_NAME,
    IDENTITY,
    NewSlideCalibration,
    calibrated_for_new_slides,
)
from tumor_ratio.metrics.conformal import expected_error

CARD = {"fingerprint": "f" * 64, "approach": "mine", "stamps": ["a stamp"]}
DOMAIN = TrainedDomain({"species": ["mouse"], "organ": ["lung"], "stain": ["HE"]})
N_REGIONS = 30


def regions(n_test: int = 12, n_validation: int = 4, n_train: int = 6, seed: int = 0):
    """Regions of shrunk answers, each test slide off by a number of its own."""
    rng = np.random.default_rng(seed)
    tables = []
    for split, count in (("test", n_test), ("validation", n_validation), ("train", n_train)):
        for index in range(count):
            measured = rng.choice([0.05, 0.6], N_REGIONS, p=[0.7, 0.3])
            measured = np.clip(measured + rng.normal(0, 0.03, N_REGIONS), 0, 1)
            raw = 0.5 * measured + 0.1 + rng.normal(0, 0.01, N_REGIONS)
            table = pd.DataFrame(
                {
                    "slide_id": f"{split}{index:02}",
                    "case_id": f"case-{split}{index:02}",
                    "split": split,
                    "tumor_ratio": raw,
                    "tumor_ratio_calibrated": np.clip(measured + 0.01 * (index + 1), 0, 1),
                    "hematoxylin_um2": rng.uniform(1000, 3000, N_REGIONS),
                    "measured": measured,
                    "measured_um2": rng.uniform(1000, 3000, N_REGIONS),
                }
            )
            if split == "train":
                table[["tumor_ratio", "tumor_ratio_calibrated"]] = np.nan
            if split != "test":
                table["hematoxylin_um2"] = np.nan
            tables.append(table)
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]


def slide_scores(table: pd.DataFrame) -> list[float]:
    """By hand, slide by slide."""
    scores = []
    for _, own in table[table["split"] == "test"].groupby("slide_id"):
        predicted = np.average(own["tumor_ratio_calibrated"], weights=own["hematoxylin_um2"])
        measured = np.average(own["measured"], weights=own["measured_um2"])
        scores.append(
            abs(predicted - measured)
            / float(expected_error(predicted, own["hematoxylin_um2"].sum()))
        )
    return sorted(scores)


def test_intervals_come_from_test_slides_alone():
    table = regions()
    found = calibrated_for_new_slides(CARD, table, DOMAIN)
    assert (found.n_slides, found.n_cases, found.rank, found.reason) == (12, 12, 12, "")
    assert found.n_regions == 12 * N_REGIONS
    assert found.slide_quantile == pytest.approx(slide_scores(table)[11])
    changed = table.copy()
    others = changed["split"] != "test"
    changed.loc[others, ["tumor_ratio_calibrated", "measured"]] = 0.9
    again = calibrated_for_new_slides(CARD, changed, DOMAIN)
    assert again.slide_quantile == found.slide_quantile
    assert again.region_quantile == found.region_quantile
    lower, upper = found.slide_interval([0.2, np.nan], [60_000.0, 60_000.0])
    half = found.slide_quantile * float(expected_error(0.2, 60_000.0))
    assert (lower[0], upper[0]) == (pytest.approx(max(0, 0.2 - half)), pytest.approx(0.2 + half))
    assert math.isnan(lower[1])
    lower, upper = found.region_interval([[0.2]], [[2000.0]])
    assert lower.shape == (1, 1)
    assert upper[0, 0] == pytest.approx(
        min(1, 0.2 + found.region_quantile * float(expected_error(0.2, 2000.0)))
    )


def test_with_fewer_than_nine_slides_or_cases_there_are_no_intervals():
    few = calibrated_for_new_slides(CARD, regions(n_test=8), DOMAIN)
    assert few.reason == "8 calibration slides, fewer than 9"
    assert np.isnan(few.slide_interval([0.5], [1e5])).all()
    assert np.isnan(few.region_interval([0.5], [1e3])).all()
    assert few.tau > 0  # the rest is there
    table = regions()
    table["case_id"] = table["slide_id"].str[:-1]  # ten slides of one case, two of another
    pooled = calibrated_for_new_slides(CARD, table, DOMAIN)
    assert (pooled.n_slides, pooled.n_cases) == (12, 2)
    assert pooled.reason == "12 calibration slides of 2 cases, fewer than 9"
    assert math.isnan(pooled.slide_quantile)
    assert math.isnan(pooled.region_quantile)


def test_slides_of_which_nothing_was_measured_do_not_count():
    table = regions()
    table.loc[table["slide_id"] == "test03", "measured"] = np.nan
    table.loc[table["slide_id"] == "test04", "hematoxylin_um2"] = np.nan
    found = calibrated_for_new_slides(CARD, table, DOMAIN)
    assert found.n_slides == 10
    assert not {"test03", "test04"} & set(found.slides)


def test_tau_comes_from_training_and_the_scale_of_areas_from_validation():
    table = regions()
    found = calibrated_for_new_slides(CARD, table, DOMAIN)
    assert 0.2 < found.tau < 0.55
    validation = table[table["split"] == "validation"]
    mapped = found.area_ratio(validation["tumor_ratio"])
    share = (validation["measured"] >= found.tau).mean()
    assert (mapped >= found.tau).mean() == pytest.approx(share, abs=0.02)
    assert (validation["tumor_ratio"] >= found.tau).mean() == pytest.approx(share, abs=0.3)
    flat = table.copy()
    flat.loc[flat["split"] == "train", "measured"] = 0.1
    flat.loc[flat["split"] == "test", "measured"] = 0.7
    again = calibrated_for_new_slides(CARD, flat, DOMAIN)
    assert math.isnan(again.tau)
    assert again.tau_reason
    assert again.area_map == found.area_map
    few = calibrated_for_new_slides(CARD, regions(n_validation=3), DOMAIN)
    assert few.area_map == IDENTITY
    assert few.area_reason == "90 validation regions, fewer than 100"


def test_it_is_read_as_it_was_written_and_only_beside_its_own_model(tmp_path):
    assert NewSlideCalibration.read(tmp_path) is None
    for table in (regions(), regions(n_test=1), regions().head(0)):
        found = calibrated_for_new_slides(CARD, table, DOMAIN)
        text = json.dumps(found.to_record(), allow_nan=False)
        (tmp_path / FILE_NAME).write_text(text)
        (tmp_path / "card.json").write_text(json.dumps(CARD))
        assert repr(NewSlideCalibration.read(tmp_path)) == repr(found)
    (tmp_path / "card.json").write_text(json.dumps({"fingerprint": "other"}))
    with pytest.raises(ConfigurationError, match=r"another model .*pipelines=regression"):
        NewSlideCalibration.read(tmp_path)
    for broken in ("{", "[]", "{}", text.replace('"format": 2', '"format": 3')):
        (tmp_path / FILE_NAME).write_text(broken)
        with pytest.raises(ConfigurationError, match=r"cannot be used .*calibrate it anew"):
            NewSlideCalibration.read(tmp_path)
