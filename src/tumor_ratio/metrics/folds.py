"""Slides into training, validation and test parts, grouped by case and stratified by burden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import numpy as np
import pandas as pd

from tumor_ratio.errors import ConfigurationError

SPLITS: Final = ("train", "validation", "test")

HOLDOUT: Final = "holdout"
CROSS_VALIDATION: Final = "cross_validation"

REMEDY: Final = "make the table of folds anew: kedro run --pipelines=ground_truth"

Part = TypeVar("Part", str, int)


class FoldKey(NamedTuple):
    """One split of the slides: a repeat's fold, both from 0."""

    repeat: int
    fold: int


FIRST: Final = FoldKey(0, 0)


def assign_folds(
    slides: pd.DataFrame,
    *,
    protocol: str = HOLDOUT,
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
    cases = _cases_by_burden(slides)
    if len(cases) < len(SPLITS):
        raise ConfigurationError(
            f"{len(cases)} case(s) cannot be split into training, validation and test; "
            f"at least {len(SPLITS)} cases are needed",
            "add slides of other cases, or give each slide its own case_id where that is true",
        )
    counts = _part_sizes(len(cases), validation_share, test_share)
    split_of = dict(zip(cases, _deal(counts, np.random.default_rng(seed)), strict=True))
    return _rows(slides, protocol, FIRST, split_of)


def cross_validation_folds(
    slides: pd.DataFrame, *, folds: int, repeats: int, validation_share: float, seed: int
) -> pd.DataFrame:
    """Deal cases into test parts of equal size, once a repeat: each case is tested once a repeat.

    In each fold the cases that are not tested are dealt into training and validation. Every part
    spans low to high burden, as in `assign_folds`.

    Parameters
    ----------
    slides : as in `assign_folds`.
    folds : test parts, at least 2.
    repeats : how often all is dealt anew. A repeat does not depend on how many there are.
    validation_share : share of all cases that validates in each fold, above 0; at least one case.
    seed : of the deal.

    Returns
    -------
    DataFrame
        `schemas.Folds` of the protocol `cross_validation`: by repeat and fold, one row a slide in
        the order of `slides`.

    Raises
    ------
    ConfigurationError
        If there are fewer cases than folds, or a fold would leave no case to train or to validate.
    ValueError
        If the numbers are too small, or a slide appears twice.
    """
    if folds < 2 or repeats < 1 or not 0 < validation_share < 1 - 1 / folds:
        raise ValueError(
            "cross-validation takes at least 2 folds, 1 repeat, and a validation share above 0 "
            "and below 1 - 1 / folds"
        )
    cases = _cases_by_burden(slides)
    largest = -(-len(cases) // folds)
    if len(cases) < folds or len(cases) - largest < 2:
        raise ConfigurationError(
            f"{len(cases)} case(s) cannot be dealt into {folds} folds: each tests at least one "
            "case, and leaves one to train and one to validate",
            "lower `split.folds`, add slides of other cases, or use `split.protocol: holdout`",
        )
    tables = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        sizes = {fold: len(part) for fold, part in enumerate(np.array_split(cases, folds))}
        tested_in = dict(zip(cases, _deal(sizes, rng), strict=True))
        for fold in range(folds):
            rest = [case for case in cases if tested_in[case] != fold]
            n_validation = min(max(1, round(len(cases) * validation_share)), len(rest) - 1)
            counts = {"train": len(rest) - n_validation, "validation": n_validation}
            split_of = {case: "test" for case in cases if tested_in[case] == fold}
            split_of |= dict(zip(rest, _deal(counts, rng), strict=True))
            tables.append(_rows(slides, CROSS_VALIDATION, FoldKey(repeat, fold), split_of))
    return pd.concat(tables, ignore_index=True)


def _rows(
    slides: pd.DataFrame, protocol: str, key: FoldKey, split_of: Mapping[str, str]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "protocol": protocol,
            "repeat": key.repeat,
            "fold": key.fold,
            "slide_id": slides["slide_id"].astype(str).to_numpy(),
            "case_id": slides["case_id"].astype(str).to_numpy(),
            "split": slides["case_id"].astype(str).map(split_of).to_numpy(),
        }
    )


def _cases_by_burden(slides: pd.DataFrame) -> list[str]:
    """Case ids from low to high burden; ties in the order of their names."""
    if slides["slide_id"].duplicated().any():
        raise ValueError("a slide appears twice in the table of slides")
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


def _deal(counts: Mapping[Part, int], rng: np.random.Generator) -> list[Part]:
    """One part a case, in the order of burden.

    A part of n cases wants one in each n-th of the order: its j-th case aims at the place
    (j + u) / n with u uniform. Sorting all aims gives the deal.
    """
    aims: list[tuple[float, Part]] = []
    for part, count in counts.items():
        offsets = rng.uniform(size=count)
        aims += [((index + offset) / count, part) for index, offset in enumerate(offsets)]
    return [part for _, part in sorted(aims)]


def keys_of(folds: pd.DataFrame, protocol: str) -> list[FoldKey]:
    """The repeats and folds of a protocol, in order; none where it does not occur."""
    own = folds.loc[folds["protocol"] == protocol, ["repeat", "fold"]].drop_duplicates()
    return sorted(FoldKey(int(repeat), int(fold)) for repeat, fold in own.to_numpy())


def members_of(folds: pd.DataFrame, protocol: str, key: FoldKey = FIRST) -> pd.DataFrame:
    """Rows of one fold.

    Parameters
    ----------
    folds : `tumor_ratio.schemas.Folds`.
    protocol : whose folds.
    key : which of them; the first one by default.

    Raises
    ------
    ConfigurationError
        If a slide or a case is in two parts of it.
    """
    chosen = (folds["repeat"] == key.repeat) & (folds["fold"] == key.fold)
    own = folds[chosen & (folds["protocol"] == protocol)]
    for column, kind in (("slide_id", "slide"), ("case_id", "case")):
        n_parts = own.groupby(column)["split"].nunique()
        for name in n_parts.index[n_parts > 1]:
            parts = sorted(own.loc[own[column] == name, "split"].unique())
            _refuse(f"{kind} {name} is in {' and '.join(parts)} of one fold", protocol, key)
    for name in own.loc[own["slide_id"].duplicated(), "slide_id"]:
        _refuse(f"slide {name} stands twice in one fold", protocol, key)
    return own


def _refuse(what: str, protocol: str, key: FoldKey) -> NoReturn:
    raise ConfigurationError(f"{what} ({protocol}, repeat {key.repeat}, fold {key.fold})", REMEDY)


def slides_of(folds: pd.DataFrame, protocol: str, *splits: str, key: FoldKey = FIRST) -> set[str]:
    """Slides of some splits of a protocol's fold, by default the first one.

    Parameters
    ----------
    folds : `tumor_ratio.schemas.Folds`.
    protocol : whose folds.
    splits : "train", "validation", "test".
    key : which repeat and fold.
    """
    own = members_of(folds, protocol, key)
    return set(own.loc[own["split"].isin(splits), "slide_id"])


def check_folds(folds: pd.DataFrame) -> None:
    """Refuse a table that would let a case be trained on and tested in one fold.

    Parameters
    ----------
    folds : columns of `tumor_ratio.schemas.Folds`.

    Raises
    ------
    ConfigurationError
        Naming the first slide or case with two parts in one fold, or the first case that is tested
        twice in one repeat of a protocol.
    """
    for protocol in folds["protocol"].unique():
        for key in keys_of(folds, protocol):
            members_of(folds, protocol, key)
    tested = folds[folds["split"] == "test"]
    times = tested.groupby(["protocol", "repeat", "case_id"])["fold"].nunique().reset_index()
    for row in times[times["fold"] > 1].itertuples():
        raise ConfigurationError(
            f"case {row.case_id} is tested in {row.fold} folds of {row.protocol}, repeat "
            f"{row.repeat}",
            REMEDY,
        )


def fold_of(card: Mapping[str, Any]) -> FoldKey:
    """Give the fold that a model was trained in: of a single split, the first."""
    return FoldKey(int(card.get("repeat", FIRST.repeat)), int(card.get("fold", FIRST.fold)))
