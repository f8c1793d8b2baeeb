"""Parameters of ground_truth beside those of `tumor_ratio.labelling`."""

from __future__ import annotations

from pydantic import Field

from tumor_ratio.params import Params


class PairQualityParams(Params):
    """Which tile pairs train, once the nuclei of both sections are known."""

    min_density_agreement: float = Field(default=0.5, ge=0, le=1)
    """Smaller over larger nuclei count of the two sections; a pair below this is not kept."""


class SplitParams(Params):
    """How slides are dealt into training, validation and test parts."""

    protocol: str = "holdout"
    validation_share: float = Field(default=0.25, gt=0, lt=1)
    test_share: float = Field(default=0.25, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
