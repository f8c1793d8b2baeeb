"""Parameters of ground_truth beside those of `tumor_ratio.labelling`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tumor_ratio.params import Params


class PairQualityParams(Params):
    """Which tile pairs train, once the nuclei of both sections are known."""

    min_density_agreement: float = Field(default=0.5, ge=0, le=1)
    """Smaller over larger nuclei count of the two sections; a pair below this is not kept."""


class SplitParams(Params):
    """How slides are dealt into training, validation and test parts."""

    protocol: Literal["holdout", "cross_validation"] = "holdout"
    """`holdout`: one split. `cross_validation`: every case is tested once a repeat."""
    folds: int = Field(default=4, ge=2)
    """Of cross-validation: test parts, and trainings a repeat."""
    repeats: int = Field(default=1, ge=1)
    """Of cross-validation: how often all is dealt anew."""
    validation_share: float = Field(default=0.25, gt=0, lt=1)
    """Share of the cases that validates, in every fold."""
    test_share: float = Field(default=0.25, gt=0, lt=1)
    """Share of the cases that tests, of the holdout alone: folds have 1 / folds."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _something_trains(self) -> Self:
        crossed = self.protocol == "cross_validation"
        tested = 1 / self.folds if crossed else self.test_share
        if self.validation_share + tested >= 1:
            named = f"folds {self.folds}" if crossed else f"test_share {self.test_share}"
            raise ValueError(
                f"validation_share {self.validation_share} and {named} leave nothing to train on"
            )
        return self
