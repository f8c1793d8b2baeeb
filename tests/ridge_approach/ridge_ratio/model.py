"""The ridge on a new slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.region_model import Answers, Reading, RegionModel, in_batches
from tumor_ratio.inference.region_reading import ReadRegion, RegionReader
from tumor_ratio.models.devices import ComputeOptions

WEIGHTS_FILE = "ridge.safetensors"


def ratios(colours: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) of (N, 3) mean colours in [0, 255]."""
    return weights[0] + colours / 255 @ weights[1:]


@dataclass(frozen=True)
class RidgeModel(RegionModel):
    card: Mapping[str, Any]
    weights: NDArray[np.float64]

    def answer(self, slide: Slide, regions: Sequence[Region], reading: Reading) -> Answers:
        def ratios_of(batch: list[ReadRegion]) -> NDArray[np.float64]:
            return ratios(np.stack([each.rgb.mean(axis=(0, 1)) for each in batch]), self.weights)

        return in_batches(RegionReader(slide, regions, 1.0, reading.threads), ratios_of, reading)


def open_ridge(folder: Path, card: Mapping[str, Any], compute: ComputeOptions) -> RidgeModel:
    return RidgeModel(card, load_file(folder / WEIGHTS_FILE)["weights"])
