"""Slides into training, validation and test parts, grouped by case and stratified by burden."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from tumor_ratio.errors import ConfigurationError

SPLITS: Final = ("train", "validation", "test")


def assign_folds(
    slides: pd.DataFrame,
    *,
    protocol: str = "holdout",
    validation_share: float,
    test_share: float,
    seed: int,
) -> pd.DataFrame:
    """Deal cases into the three parts, so that each part spans low to high burden.

    Cases are sorted by burden (the mean of their slides'). A part of n cases takes about one from
    each n-th of that order, at a seeded random place inside it. All slides of a case go where the
    case goes.

    Parameters
    ----------
    slides : columns slide_id (unique), case_id, burden (float; NaN counts as the median burden).
    protocol : the protocol's name, stored in the table.
    validation_share, test_share : shares of the *cases*, above 0 and together below 1. Every part
        gets at least one case.
    seed : of the deal.

    Returns
    -------
    DataFrame
        `schemas.Folds`, one row a slide in the order of `slides`; repeat 0, fold 0.

    Raises
    ------
    ConfigurationError
        If there are fewer than three cases: every part needs one.
    ValueError
        If the shares leave no part for training, or a slide appears twice.
    """
    if validation_share <= 0 or test_share <= 0 or validation_share + test_share >= 1:
        raise ValueError("validation and test shares are above 0 and together below 1")
    if slides["slide_id"].duplicated().any():
        raise ValueError("a slide appears twice in the table of slides")
    cases = _cases_by_burden(slides)
    if len(cases) < len(SPLITS):
        raise ConfigurationError(
            f"{len(cases)} case(s) cannot be split into training, validation and test; "
            f"at least {len(SPLITS)} cases are needed",
            "add slides of other cases, or give each slide its own case_id where that is true",
        )
    counts = _part_sizes(len(cases), validation_share, test_share)
    split_of = dict(zip(cases, _deal(counts, np.random.default_rng(seed)), strict=True))
    return pd.DataFrame(
        {
            "protocol": protocol,
            "repeat": 0,
            "fold": 0,
            "slide_id": slides["slide_id"].astype(str).to_numpy(),
            "case_id": slides["case_id"].astype(str).to_numpy(),
            "split": slides["case_id"].astype(str).map(split_of).to_numpy(),
        }
    )


def _cases_by_burden(slides: pd.DataFrame) -> list[str]:
    """Case ids from low to high burden; ties in the order of their names."""
    burden = slides["burden"].astype(float)
    middle = float(burden.median()) if burden.notna().any() else 0.0
    table = pd.DataFrame(
        {"case_id": slides["case_id"].astype(str), "burden": burden.fillna(middle)}
    )
    means = table.groupby("case_id", sort=True)["burden"].mean()
    return means.sort_values(kind="stable").index.to_list()


def _part_sizes(n_cases: int, validation_share: float, test_share: float) -> dict[str, int]:
    """Cases a part: the nearest to the shares with at least one each."""
    validation = min(max(1, round(n_cases * validation_share)), n_cases - 2)
    test = min(max(1, round(n_cases * test_share)), n_cases - 1 - validation)
    return {"train": n_cases - validation - test, "validation": validation, "test": test}


def _deal(counts: dict[str, int], rng: np.random.Generator) -> list[str]:
    """One split a case, in the order of burden.

    A part of n cases wants one in each n-th of the order: its j-th case aims at the place
    (j + u) / n with u uniform. Sorting all aims gives the deal.
    """
    aims: list[tuple[float, str]] = []
    for split in SPLITS:
        offsets = rng.uniform(size=counts[split])
        aims += [((index + offset) / counts[split], split) for index, offset in enumerate(offsets)]
    return [split for _, split in sorted(aims)]


def slides_of(folds: pd.DataFrame, protocol: str, *splits: str) -> set[str]:
    """Slides of some splits of a protocol's first fold.

    Parameters
    ----------
    folds : `tumor_ratio.schemas.Folds`.
    protocol : whose folds.
    splits : "train", "validation", "test".
    """
    own = folds[(folds["protocol"] == protocol) & (folds["repeat"] == 0) & (folds["fold"] == 0)]
    return set(own.loc[own["split"].isin(splits), "slide_id"])
