"""Parameters of stress."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.params import Params, Penalties
from tumor_ratio.phantom.params import Family, PhantomParams
from tumor_ratio.phantom.stress import STRESSES, StressName


class StressParams(Params):
    """Which slides are put under stress, by what, and how it is measured."""

    factors: tuple[StressName, ...] = STRESSES
    """One at a time; each slide is also measured without any. Text has them between spaces, for the
    command line, where commas end a parameter; so for the families."""
    strength: float = Field(default=1.0, gt=0, le=2)
    phantoms: PhantomParams = PhantomParams(
        family="final", n_slides=8, width_um=600, height_um=600, seed=101
    )
    """The slides; the seed must not be that of slides that a model has seen."""
    other_families: tuple[Family, ...] = ("development", "shifted")
    """Families whose unstressed slides are ranked as well, of the same number, size and seed."""
    min_nuclei: int = Field(default=20, ge=1)
    """A ratio on fewer nuclei, true or measured, is undefined."""
    protocol: str = "holdout"
    """The baselines are fitted on the training slides of its first fold."""
    ridge_alphas: Penalties = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
    """Penalties that validation slides choose from."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    folder: str = ""
    """Where the slides are kept, to be looked at; empty: they are removed once measured."""
    compute: ComputeOptions = ComputeOptions()

    @field_validator("factors", "other_families", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return value.split() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_factor_at_a_time(self) -> Self:
        if self.phantoms.stress != "none":
            raise ValueError(
                "leave phantoms.stress at 'none': factors says what they are put under"
            )
        for name, entries in (("factors", self.factors), ("other_families", self.other_families)):
            if len(set(entries)) < len(entries):
                raise ValueError(f"{name} names something twice")
        if self.phantoms.family in self.other_families:
            raise ValueError(f"other_families holds the phantoms' own, {self.phantoms.family}")
        return self
