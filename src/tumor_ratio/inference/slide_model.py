"""A finished model and all that its folder says, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.model_folder import load_regressor, read_card
from tumor_ratio.models.prediction_options import Flips
from tumor_ratio.models.predictor import Predictor


@dataclass(frozen=True)
class SlideModel:
    """What is needed to predict a slide.

    Parameters
    ----------
    predictor : the networks.
    card : the model's card; it says size, resolution, context and origin.
    """

    predictor: Predictor
    card: Mapping[str, Any]

    @property
    def size_px(self) -> int:
        """Side of a region in pixels at `mpp`."""
        return int(self.card["patch_px"])

    @property
    def mpp(self) -> float:
        """Micrometres per pixel of a region."""
        return float(self.card["mpp"])

    @property
    def context(self) -> float:
        """How much wider than a region the network looks; 1 where it does not look around."""
        return float(self.card.get("context", 1.0))

    @property
    def monotone(self) -> MonotoneMap:
        """From the network's ratios to calibrated ones."""
        return MonotoneMap.from_record(self.card["calibration"])


def load_slide_model(
    folder: Path, compute: ComputeOptions | None = None, *, flips: Flips = "none"
) -> SlideModel:
    """Read a model folder; nothing in it is executed.

    Parameters
    ----------
    folder, compute, flips : see `load_regressor`.

    Raises
    ------
    ModelUnavailableError
        If there is no finished model in the folder.
    """
    return SlideModel(load_regressor(folder, compute, flips=flips), read_card(folder))
