"""The pixel forest on a new slide: classes of its pixels, their shares, the ratio they map to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.approaches.contract import ANSWERS
from tumor_ratio.approaches.ilastik import PIXEL_FOREST
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.approaches.surroundings import MEDIAN, answer_together
from tumor_ratio.inference.mended_slide import MendedSlide
from tumor_ratio.inference.region_model import Answers, Reading, RegionModel
from tumor_ratio.labelling.pixel_classes import region_class_areas
from tumor_ratio.metrics.class_ratios import ShareMap, class_ratio
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.forest_file import FOREST_FILE, read_forest, write_forest
from tumor_ratio.models.pixel_classifier import PixelClassifier


@dataclass(frozen=True)
class ForestModel(RegionModel):
    """A pixel forest of H&E and the maps from its class shares; see `RegionModel`.

    Parameters
    ----------
    card : as `write_forest_model` left it.
    classifier : the forest.
    """

    card: Mapping[str, Any]
    classifier: PixelClassifier

    def answer(self, slide: Slide, regions: Sequence[Region], reading: Reading) -> Answers:
        """See `RegionModel`."""

        def ratios_on(own: MendedSlide, table: pd.DataFrame) -> NDArray[np.float64]:
            def tell(done: int, total: int) -> None:
                reading.tell(done * len(regions) // total)

            return self._ratios(own, table, tell)

        return answer_together(slide, regions, reading, ratios_on, self.card)

    def _ratios(
        self, slide: Slide, regions: pd.DataFrame, tell: Callable[[int, int], None]
    ) -> NDArray[np.float64]:
        areas = region_class_areas(
            SlidePair(slide.slide_id, slide.slide_id, slide, None),
            regions,
            "he",
            self.classifier,
            tuple(self.card["label_names"]),
            mpp=self.seen_mpp,
            halo_px=int(self.card["halo_px"]),
            on_progress=tell,
        )
        shares = class_ratio(
            areas,
            self.card["counted"],
            self.card["others"],
            min_nuclei_um2=float(self.card["min_nuclei_um2"]),
        )
        return ShareMap.from_record(self.card["share_map"]).apply(shares)


def write_forest_model(
    folder: Path,
    forest: Path,
    card: Mapping[str, Any],
    maps: Mapping[str, Any],
    *,
    patch_px: int,
    mpp: float,
    min_nuclei_um2: float,
) -> dict[str, Any]:
    """Put together what a pixel forest needs on new slides.

    Parameters
    ----------
    folder : exists; gets the forest.
    forest : folder of the forest of H&E.
    card : the forest's; its `mpp` is that of classified pixels.
    maps : of training and validation slides, and the training slides' median, see
        `estimation.mapped_predictions`.
    patch_px, mpp : of the regions that the maps were fitted on.
    min_nuclei_um2 : as in `class_ratio`.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    ModelUnavailableError
        If the forest is damaged.
    DiskFullError
        If there is no room.
    """
    write_forest(read_forest(forest / FOREST_FILE), folder / FOREST_FILE, card["stamps"])
    kept = ("label_names", "counted", "others", "halo_px", "labels_from")
    return {
        ANSWERS: PIXEL_FOREST,
        **{name: card[name] for name in kept},
        "seen_mpp": float(card["mpp"]),
        "patch_px": patch_px,
        "mpp": mpp,
        "min_nuclei_um2": min_nuclei_um2,
        "share_map": maps["train"],
        MEDIAN: maps["training_median"],
        "calibration": maps["validation"],
    }


def load_forest_model(
    folder: Path, card: Mapping[str, Any], compute: ComputeOptions
) -> ForestModel:
    """A model that `write_forest_model` put together; it computes on the CPU in any case.

    Raises
    ------
    ModelUnavailableError
        If the forest is missing or damaged.
    """
    return ForestModel(card, read_forest(folder / FOREST_FILE))
