"""Parameters of evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tumor_ratio.params import Params, Penalties


class HeadlineParams(Params):
    """The primary comparison, fixed before any model is scored; all else is secondary."""

    protocol: str = "holdout"
    reference: Literal["ihc_measured", "ihc_true", "he_true"] = "ihc_measured"
    regions: Literal["selected", "admitted"] = "selected"
    """`selected`: kept tiles; `admitted`: every region that H&E alone admits."""
    output: Literal["raw", "calibrated"] = "raw"


class OracleParams(Params):
    """The oracle that sets the ceiling on phantoms."""

    surroundings: float = Field(default=3.0, ge=1, le=20)
    """Side of the square that it knows around a region, in sides of the region."""
    groups: int = Field(default=5, ge=2)
    """Groups of cases that are held out in turn."""
    seed: int = Field(default=0, ge=0)


class EvaluationParams(Params):
    """What is compared, by what, and what the report shows."""

    label_method: str = "nucleus"
    """The method whose labels are the measured ratio."""
    headline: HeadlineParams = HeadlineParams()
    confidence: float = Field(default=0.95, gt=0, lt=1)
    min_coverage: float = Field(default=0.9, gt=0, le=1)
    """An approach that predicts a smaller share of the test regions is named but not scored."""
    test_regions_per_slide: int | None = Field(default=None, ge=1)
    """Most regions of a test slide that count, drawn at random; None: all. The study's: 300."""
    ridge_alphas: Penalties = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
    """Penalties that validation slides choose from."""
    oracle: OracleParams = OracleParams()
    examples: int = Field(default=4, ge=0, le=20)
    """Best and as many worst test regions of each model in the report."""
