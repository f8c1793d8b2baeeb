"""What a model learned from, as its card says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.reporting.stamps import TrainingData, stamps_for

DOMAIN_FIELDS = ("species", "organ", "stain", "marker", "marker_meaning")


def training_origin(pairs: Sequence[SlidePair]) -> dict[str, Any]:
    """`training_data`, `stamps` and `domain` of a model card.

    Parameters
    ----------
    pairs : the slides of the training; one phantom among them makes it "phantom".

    Returns
    -------
    dict
        `domain` holds what the slides declare, each value once; empty where one declares nothing.

    Raises
    ------
    ValueError
        Without any slide: an unknown origin must never pass as real.
    """
    if not pairs:
        raise ValueError("nothing is known of a training without slides")
    kind: TrainingData = "phantom" if any(p.data_kind == "phantom" for p in pairs) else "real"
    return {
        "training_data": kind,
        "stamps": list(stamps_for(kind)),
        "domain": {name: _values(pairs, name) for name in DOMAIN_FIELDS},
    }


def _values(pairs: Sequence[SlidePair], name: str) -> list[str]:
    values = [pair.meta.get(name) for pair in pairs]
    return sorted({str(value) for value in values}) if all(values) else []
