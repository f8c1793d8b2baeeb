"""How well translations of validation tiles give the measured ratios: what chooses the epoch."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import Region, iter_regions, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.aggregation import slide_weights
from tumor_ratio.metrics.agreement import spearman
from tumor_ratio.metrics.calibration import fit_monotone
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.models.cyclegan.cyclegan_training import METRIC
from tumor_ratio.models.cyclegan.translation import translate
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.segmenter import SegmenterRef
from tumor_ratio.pipelines.gan_translation.measuring import Measuring

UNDEFINED = -1.0
"""Stands for the ratio of a region whose translation shows too few nuclei: below all others, so
that a monotone map has an answer for it."""


class HeldOutTile(NamedTuple):
    """A tile that is translated, and what its regions should give."""

    pair: SlidePair
    tile: Region
    rgb: RgbImage
    patches: pd.DataFrame
    """`schemas.Regions` and `tumor_ratio`, as measured on the neighbouring section."""


def read_tiles(
    pairs: Sequence[SlidePair], tiles: pd.DataFrame, patches: pd.DataFrame, mpp: float
) -> list[HeldOutTile]:
    """The H&E pixels of some tiles, and their labelled patches.

    Parameters
    ----------
    pairs : the tiles' slides.
    tiles : `schemas.Regions`.
    patches : `schemas.Regions` and `tumor_ratio`.
    mpp : micrometres a pixel that the generator works at.

    Raises
    ------
    SlideError
        If a slide cannot be read.
    """
    slides = {pair.slide_id: pair for pair in pairs}
    found = []
    for tile in iter_regions(tiles):
        pair, side_px = slides[tile.slide_id], max(1, round(tile.side_um / mpp))
        rgb = pair.read_he_at(tile.x_px, tile.y_px, side_px, mpp)
        own = patches[patches["tile_id"] == tile.tile_id].reset_index(drop=True)
        found.append(HeldOutTile(pair, tile, rgb, own))
    return found


class TranslatedRatios:
    """Translates tiles, finds nuclei on the translations, and compares ratios.

    Parameters
    ----------
    tiles : at least one, with labelled patches.
    mpp : micrometres a pixel of the tiles' pixels.
    measuring : how the ratio labels were made.
    compute : what to translate with.
    """

    def __init__(
        self,
        tiles: Sequence[HeldOutTile],
        mpp: float,
        measuring: Measuring,
        compute: Compute,
    ) -> None:
        self.tiles, self.mpp, self.compute = list(tiles), mpp, compute
        self.measuring = measuring
        self.measured = np.concatenate([tile.patches["tumor_ratio"] for tile in tiles])
        self.slides = np.concatenate([tile.patches["slide_id"] for tile in tiles])

    def __call__(self, generator: Any) -> dict[str, float]:
        """Figures of one generator: see `cyclegan_training.GeneratorMetric`.

        `val_ratio_error` is the mean absolute error that the best monotone map leaves, so that it
        is the ranking that counts: what is predicted is calibrated by such a map.
        """
        return ratio_figures(self.ratios(generator), self.measured, self.slides)

    def ratios(self, generator: Any) -> NDArray[np.float64]:
        """(N,) of all patches, NaN where a translation shows too few nuclei."""
        found = []
        for tile in self.tiles:
            virtual = translate(generator, tile.rgb, self.compute)
            found.append(self._measured_on(tile, virtual))
        return np.concatenate(found)

    def _measured_on(self, tile: HeldOutTile, virtual: RgbImage) -> NDArray[np.float64]:
        own = self.measuring
        nuclei = image_nuclei(virtual, self.mpp, own.model, own.segmentation)
        frame_mpp = tile.pair.frame.mpp
        corner = (tile.tile.x_px, tile.tile.y_px)
        for axis, start in zip(("x", "y"), corner, strict=True):
            nuclei[f"{axis}_he_px"] = start + nuclei[f"{axis}_px"] * self.mpp / frame_mpp
        ratios = region_ratios(tile.patches, nuclei, frame_mpp, min_nuclei=own.min_nuclei)
        return ratios["tumor_ratio"].to_numpy(dtype=np.float64)


def image_nuclei(
    rgb: RgbImage, mpp: float, model: SegmenterRef, segmentation: SegmentationParams
) -> pd.DataFrame:
    """`schemas.Nuclei` of a Ki-67 image in memory, by the code that measures slides.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 at `mpp`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        Image.fromarray(rgb).save(path, compress_level=1)
        slide = open_slide(path, slide_id="image", mpp=mpp)
        pair = SlidePair("image", "image", None, slide)
        whole = Region("image", "", "tile", 0, 0, max(rgb.shape[:2]), mpp)
        return segment_slide(pair, regions_table([whole]), "ihc", model, segmentation)


def ratio_figures(
    ratios: NDArray[np.float64], measured: NDArray[np.float64], slides: NDArray[np.str_]
) -> dict[str, float]:
    """How translated ratios agree with measured ones; slides weigh alike.

    Returns
    -------
    dict
        `val_ratio_error`, see `TranslatedRatios`; `val_mae_raw`, over the regions that have a
        translated ratio; `val_spearman`, 0 where all are equal; `val_undefined`, a share.
    """
    defined = np.isfinite(ratios)
    filled = np.where(defined, ratios, UNDEFINED)
    weights = slide_weights(slides)
    left = np.abs(fit_monotone(filled, measured, weights).apply(filled) - measured)
    rank = spearman(filled, measured)
    raw = np.abs(ratios - measured)[defined]
    return {
        METRIC: float(np.average(left, weights=weights)),
        "val_mae_raw": float(np.average(raw, weights=weights[defined]))
        if defined.any()
        else math.nan,
        "val_spearman": 0.0 if math.isnan(rank) else rank,
        "val_undefined": float(1 - defined.mean()),
    }
