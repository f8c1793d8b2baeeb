"""Parameters of prediction_validation."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.prediction_options import Flips
from tumor_ratio.params import Params
from tumor_ratio.phantom.params import PhantomParams

Labelling = Annotated[float, Field(gt=0, lt=1)]


class PredictionValidationParams(Params):
    """Which slides are drawn, how they are predicted, and how the scores are grouped."""

    phantoms: PhantomParams = PhantomParams(
        family="final", n_slides=24, width_um=880, height_um=880, seed=211
    )
    """The slides; the seed must not be that of slides that the model has seen."""
    labellings: tuple[Labelling, ...] = (0.1, 0.3, 0.6, 0.9)
    """Shares of tumor nuclei that are positive. Each slide is predicted as it was drawn, and once
    more with each of these and nothing else changed."""
    step_px: int | None = Field(default=None, ge=1)
    """This and the next four as in `prediction`."""
    min_tissue: float = Field(default=0.25, gt=0, le=1)
    tau: float | None = Field(default=None, gt=0, le=1)
    min_focus_um2: float = Field(default=0.0, ge=0)
    merge_um: float = Field(default=0.0, ge=0)
    min_nuclei: int = Field(default=20, ge=1)
    """A ratio on fewer nuclei, true or measured, is undefined."""
    burden_edges: tuple[float, ...] = (0.05, 0.2)
    """Between groups of slides with little and much tumor, as shares of the tissue."""
    diameter_edges_um: tuple[float, ...] = (300.0, 400.0, 600.0)
    """Between groups of foci."""
    compute: ComputeOptions = ComputeOptions()
    flips: Flips = "none"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.phantoms.stress != "none":
            raise ValueError("leave phantoms.stress at 'none': the pipeline stress is for that")
        if len(set(self.labellings)) < len(self.labellings):
            raise ValueError("labellings names something twice")
        for name, edges in (
            ("burden_edges", self.burden_edges),
            ("diameter_edges_um", self.diameter_edges_um),
        ):
            if any(low >= high for low, high in pairwise((0.0, *edges))):
                raise ValueError(f"{name} must ascend from above 0")
        return self
