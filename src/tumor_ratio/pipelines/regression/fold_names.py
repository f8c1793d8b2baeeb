"""How the trainings of an approach are told apart: by the fold that each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tumor_ratio.metrics.folds import FoldKey


@dataclass(frozen=True)
class OfFolds:
    """One of the folds of a cross-validation.

    A training depends on its repeat and fold, not on how many others there are.

    Parameters
    ----------
    repeat, fold : from 0, as in `schemas.Folds`.
    repeats, folds : how many there are.
    """

    repeat: int
    fold: int
    repeats: int = field(compare=False)
    folds: int = field(compare=False)

    @property
    def name(self) -> str:
        """Of the training, e.g. `fold_2`, counted from 1 as in messages."""
        name = f"fold_{self.fold + 1}"
        return name if self.repeats == 1 else f"repeat_{self.repeat + 1}_{name}"

    def title(self, approach: str) -> str:
        """Name the training in messages."""
        repeat = f", repeat {self.repeat + 1} of {self.repeats}" if self.repeats > 1 else ""
        return f"{approach}{repeat}, fold {self.fold + 1} of {self.folds}"

    def record(self) -> dict[str, Any]:
        """Say which fold it is in a model card."""
        return {"repeat": self.repeat, "fold": self.fold}


def name_folds(keys: Sequence[FoldKey]) -> dict[str, OfFolds]:
    """The folds of a protocol by the names of their trainings, in order."""
    repeats, folds = ({getattr(key, part) for key in keys} for part in FoldKey._fields)
    named = [OfFolds(*key, repeats=len(repeats), folds=len(folds)) for key in keys]
    return {each.name: each for each in named}
