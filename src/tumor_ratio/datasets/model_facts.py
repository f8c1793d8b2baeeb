"""What MLflow is told of a finished model beside its files: tags and metrics of its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tumor_ratio.reporting.stamps import stamps_for

FINGERPRINT = "fingerprint"
"""Tag of a run that trained a model or used it again, not of one that only evaluated it."""
TAGS = ("training_data", "protocol", "fold", "repeat")
TOTALS = {name: f"trained_{name}" for name in ("best_epoch", "epochs", "seconds")}


def tags_of(card: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a run with a model: those of `TAGS` that its card knows, and `stamp`."""
    tags = {name: str(card[name]) for name in TAGS if name in card}
    if "training_data" in card:
        tags["stamp"] = " ".join(stamps_for(card["training_data"]))
    return tags


def totals_of(card: Mapping[str, Any]) -> dict[str, float]:
    """What a training took, under the same names for every kind of model.

    The members of an ensemble have best epochs of their own, so that it has none.
    """
    return {
        shown: float(card[name])
        for name, shown in TOTALS.items()
        if isinstance(card.get(name), int | float)
    }
