"""Which data a run worked on, as short fingerprints that MLflow can group and filter by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.fingerprint import canonical_json, table_hash

DATA = "data"
"""Tag of the version of labels and folds together: errors compare only where it is equal."""

DIGITS = 12


class DataVersion:
    """Collects the fingerprints of a run's data as nodes load it: once each, as it lies on disk."""

    def __init__(self) -> None:
        self._tags: dict[str, str] = {}
        self._seen: set[str] = set()

    def see(self, datasets: Mapping[str, Any]) -> dict[str, str]:
        """Take note of loaded datasets by their names; others than `SOURCES` do not matter.

        Returns
        -------
        dict
            Tags that are new: `data.cohort`, `data.source`, `data.labels`, `data.folds`,
            and `data` once labels and folds are known.
        """
        new: dict[str, str] = {}
        for name in datasets.keys() & (SOURCES.keys() - self._seen):
            new |= SOURCES[name](datasets[name])
            self._seen.add(name)
        self._tags |= new
        if DATA not in self._tags and {"data.labels", "data.folds"} <= self._tags.keys():
            parts = [self._tags["data.labels"], self._tags["data.folds"]]
            new[DATA] = self._tags[DATA] = _short(canonical_json(parts))
        return new

    @property
    def version(self) -> str:
        """The tag `data`; empty while it is not known."""
        return self._tags.get(DATA, "")


def origin_tags(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Family and seed of the phantoms that the parameter group `cohort` asks for; else nothing."""
    phantom = parameters.get("phantom")
    if parameters.get("source") != "phantom" or not isinstance(phantom, Mapping):
        return {}
    return {f"data.{name}": str(phantom[name]) for name in ("family", "seed") if name in phantom}


def _cohort_tags(cohort: Cohort) -> dict[str, str]:
    """Which slides of which cases; where their files lie does not matter."""
    slides = [[pair.slide_id, pair.case_id, pair.data_kind] for pair in cohort]
    return {"data.source": cohort.source, "data.cohort": _short(canonical_json(slides))}


def _label_tags(table: pd.DataFrame) -> dict[str, str]:
    return {"data.labels": _short(table_hash(table))}


def _fold_tags(table: pd.DataFrame) -> dict[str, str]:
    return {"data.folds": _short(table_hash(table))}


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


SOURCES: dict[str, Callable[[Any], dict[str, str]]] = {
    "cohort": _cohort_tags,
    "ratio_labels": _label_tags,
    "folds": _fold_tags,
}
"""The datasets that say what a run worked on."""
