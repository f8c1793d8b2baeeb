"""What a model learned from, as its card says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.reporting.stamps import TrainingData, stamps_for

DOMAIN_FIELDS = ("species", "organ", "stain", "marker", "marker_meaning")


def training_origin(pairs: Sequence[SlidePair], *given: TrainingData) -> dict[str, Any]:
    """`training_data`, `stamps` and `domain` of a model card.

    Parameters
    ----------
    pairs : the slides of the training; one phantom among them makes it "phantom".
    given : what networks that it started from, or that are used as they are, were trained on.

    Returns
    -------
    dict
        `domain` holds what the slides declare, each value once; empty where one declares nothing.

    Raises
    ------
    ValueError
        Without slides and given networks: an unknown origin must never pass as real.
    """
    kinds = {*(pair.data_kind for pair in pairs), *given}
    if not kinds:
        raise ValueError("nothing is known of a training without slides")
    kind: TrainingData = "phantom" if "phantom" in kinds else "real"
    return {
        "training_data": kind,
        "stamps": list(stamps_for(kind)),
        "domain": {name: _values(pairs, name) for name in DOMAIN_FIELDS},
    }


def _values(pairs: Sequence[SlidePair], name: str) -> list[str]:
    values = [pair.meta.get(name) for pair in pairs]
    return sorted({str(value) for value in values}) if values and all(values) else []
