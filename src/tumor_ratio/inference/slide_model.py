"""A finished model and all that its folder says, in memory; the network that answers regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.approaches.contract import ANSWERS, load
from tumor_ratio.approaches.registry import spec_opening
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.region_model import Answers, Reading, RegionModel, in_batches
from tumor_ratio.inference.region_reading import ReadRegion, RegionReader
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.model_folder import load_regressor, read_card
from tumor_ratio.models.prediction_options import Flips
from tumor_ratio.models.predictor import Predictor


@dataclass(frozen=True)
class SlideModel(RegionModel):
    """Networks that see each region by itself; see `RegionModel`.

    Parameters
    ----------
    predictor : the networks.
    card : the model's card; it says size, resolution, context and origin.
    """

    predictor: Predictor
    card: Mapping[str, Any]

    @property
    def context(self) -> float:
        """How much wider than a region the network looks; 1 where it does not look around."""
        return float(self.card.get("context", 1.0))

    def answer(self, slide: Slide, regions: Sequence[Region], reading: Reading) -> Answers:
        """See `RegionModel`."""
        reader = RegionReader(slide, regions, self.context, reading.threads)
        ratios_of = partial(_ratios, self.predictor, reading.batch_size)
        return in_batches(reader, ratios_of, reading)


def load_slide_model(
    folder: Path, compute: ComputeOptions | None = None, *, flips: Flips = "none"
) -> RegionModel:
    """Read a model folder of any approach; nothing in it is executed.

    Parameters
    ----------
    folder, compute : see `load_regressor`.
    flips : see there; of networks only.

    Raises
    ------
    ModelUnavailableError
        If there is no finished model in the folder, or no kind of approach opens it.
    ConfigurationError
        If `flips` are asked of another approach.
    """
    card = read_card(folder)
    spec = spec_opening(card.get(ANSWERS, ""))
    if flips != "none" and not spec.flips:
        raise ConfigurationError(
            f"{card['approach']} does not answer flipped regions, which only networks do",
            "leave out `prediction.flips`",
        )
    asked = {"flips": flips} if spec.flips else {}
    model: RegionModel = load(spec.open_model)(folder, card, compute or ComputeOptions(), **asked)
    return model


def open_network(
    folder: Path, card: Mapping[str, Any], compute: ComputeOptions, *, flips: Flips = "none"
) -> SlideModel:
    """A model that a training of networks left; see `load_regressor`."""
    return SlideModel(load_regressor(folder, compute, flips=flips), card)


def _ratios(
    predictor: Predictor, batch_size: int, regions: list[ReadRegion]
) -> NDArray[np.float32]:
    """The network's ratios; a batch whose shape matters is filled up with its first region."""
    fixed = predictor.compute.bf16 or predictor.compute.device == "cuda"
    missing = batch_size - len(regions) if fixed else 0
    rgb = np.stack([region.rgb for region in [*regions, *regions[:1] * missing]])
    return predictor.predict(rgb, batch_size=batch_size)[: len(regions)]
