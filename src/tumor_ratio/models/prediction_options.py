"""How a trained network is asked; a plain dataclass that nests in typed parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tumor_ratio.models.devices import ComputeOptions

Flips = Literal["none", "dihedral"]


@dataclass(frozen=True)
class PredictionOptions(ComputeOptions):
    """What to compute with, and which views of a patch are asked about.

    Parameters
    ----------
    device, precision, threads : see `ComputeOptions`.
    flips : `dihedral` answers the mean over the eight flips and quarter turns of a patch, in eight
        times the time. The monotone map is fitted to unflipped answers in either case.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    flips: Flips = "none"
