"""What may be asked of a served model; apart from the answers, since networks import slowly."""

from __future__ import annotations

from pydantic import Field

from tumor_ratio.imaging.slide_checks import MAX_MPP, MIN_MPP
from tumor_ratio.inference.labelling_params import LabellingParams


class AnswerParams(LabellingParams):
    """What holds for all slides of a question; as the pipeline's parameters of the same names."""

    step_px: int | None = Field(default=None, ge=1)
    min_tissue: float = Field(default=0.25, gt=0, le=1)
    mpp: float | None = Field(default=None, ge=MIN_MPP, le=MAX_MPP)
    species: str = ""
    organ: str = ""
    stain: str = ""
