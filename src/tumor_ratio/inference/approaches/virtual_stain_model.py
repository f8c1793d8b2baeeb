"""The CycleGAN on a new slide: its virtual Ki-67 slide, the nuclei on that, their ratio."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.approaches.contract import ANSWERS
from tumor_ratio.approaches.cyclegan import VIRTUAL_STAIN
from tumor_ratio.atomic import full_disk_explained
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.regions import Region, regions_table, tile_grid
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.approaches.surroundings import MEDIAN, answer_together
from tumor_ratio.inference.mended_slide import MendedSlide
from tumor_ratio.inference.region_model import Answers, Reading, RegionModel
from tumor_ratio.inference.virtual_slide import write_virtual_slide
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.ratios import region_bounds, region_ratios
from tumor_ratio.models.cyclegan.options import BlockOptions
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.segmenter import SegmenterRef, locate_segmenter, model_files
from tumor_ratio.reporting.stamps import SYNTHETIC_STAIN

GENERATOR_FILE = "generator.safetensors"
NUCLEI_FOLDER = "nuclei"
LEAST_COVERED = 0.5
"""Share of a square that regions cover, from which on it counts as tissue."""


@dataclass(frozen=True)
class VirtualStainModel(RegionModel):
    """A generator, what finds nuclei on its translations, and the map; see `RegionModel`.

    Parameters
    ----------
    card : as `write_virtual_stain_model` left it.
    folder : with the generator and the nuclei model.
    compute : what to translate with.
    """

    card: Mapping[str, Any]
    folder: Path
    compute: ComputeOptions

    def answer(self, slide: Slide, regions: Sequence[Region], reading: Reading) -> Answers:
        """See `RegionModel`."""
        return answer_together(slide, regions, reading, self._ratios, self.card)

    def _ratios(self, slide: MendedSlide, regions: pd.DataFrame) -> NDArray[np.float64]:
        with TemporaryDirectory() as folder:
            virtual = write_virtual_slide(
                Path(folder) / f"{SYNTHETIC_STAIN}.tif",
                slide,
                tissue_squares(slide, regions, float(self.card["tile_um"])),
                self.folder / GENERATOR_FILE,
                self.seen_mpp,
                BlockOptions(**self.card["blocks"]),
                self.compute,
                model=str(self.card.get("fingerprint", ""))[:16],
                stamps=self.card["stamps"],
            )
            pair = SlidePair(slide.slide_id, slide.slide_id, slide, virtual)
            nuclei = segment_slide(
                pair,
                regions,
                "ihc",
                locate_segmenter(str(self.folder / NUCLEI_FOLDER)),
                SegmentationParams.model_validate(self.card["segmentation"]),
            )
        ratios = region_ratios(regions, nuclei, slide.mpp, min_nuclei=int(self.card["min_nuclei"]))
        return ratios["tumor_ratio"].to_numpy(dtype=np.float64)


def tissue_squares(slide: Slide, regions: pd.DataFrame, side_um: float) -> pd.DataFrame:
    """Squares of a slide that are at least half tissue, as the tiles of a training are.

    Parameters
    ----------
    slide : the slide.
    regions : `schemas.Regions` of it with tissue; they may overlap.
    side_um : side of a square.

    Returns
    -------
    DataFrame
        `schemas.Regions`; the regions themselves where no square is tissue.
    """
    size_px = max(1, round(side_um / slide.mpp))
    corners = tile_grid(
        slide.width_px, slide.height_px, slide.mpp, size_px, slide.mpp, size_px, "pad"
    )
    left, top, right, bottom = region_bounds(regions, slide.mpp)
    # Overlapping regions cover a place once: a map of sixteenths of a square holds it.
    cell_px = size_px / 16
    shape = tuple(int(np.ceil((max(c[axis] for c in corners) + size_px) / cell_px) + 1)
                  for axis in (1, 0))  # fmt: skip
    covered = np.zeros(shape, dtype=bool)
    bounds = (np.rint(each / cell_px).astype(int) for each in (left, top, right, bottom))
    for x0, y0, x1, y1 in zip(*bounds, strict=True):
        covered[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    squares = [
        Region(slide.slide_id, "", "tile", x, y, size_px, slide.mpp)
        for x, y in corners
        if _window(covered, x / cell_px, y / cell_px).mean() >= LEAST_COVERED
    ]
    return regions_table(squares) if squares else regions


def _window(covered: NDArray[np.bool_], column: float, row: float) -> NDArray[np.bool_]:
    x, y = round(column), round(row)
    return covered[y : y + 16, x : x + 16]


def write_virtual_stain_model(
    folder: Path,
    generator: Path,
    card: Mapping[str, Any],
    calibration: Mapping[str, Any],
    *,
    patch_px: int,
    mpp: float,
    tile_um: float,
    nuclei_model: SegmenterRef,
    segmentation: SegmentationParams,
    min_nuclei: int,
    blocks: BlockOptions,
) -> dict[str, Any]:
    """Put together what a CycleGAN needs on new slides.

    Parameters
    ----------
    folder : exists; gets the generator and the nuclei model.
    generator : its weights.
    card : the CycleGAN's; its `mpp` is that of translated pixels.
    calibration : the map and the training slides' median, see `estimation.calibrated_predictions`.
    patch_px, mpp : of the regions that the map was fitted on.
    tile_um : side of the tiles that statistics of instance norms were measured in.
    nuclei_model, segmentation, min_nuclei : how ratios on virtual slides were measured.
    blocks : how slides were cut.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    ModelUnavailableError
        If weights are missing or damaged.
    DiskFullError
        If there is no room.
    """
    from tumor_ratio.models.weights_files import read_weights, write_weights

    write_weights(read_weights(generator), folder / GENERATOR_FILE)
    with full_disk_explained(folder):
        (folder / NUCLEI_FOLDER).mkdir(exist_ok=True)
        for file in model_files(nuclei_model.choice):
            shutil.copyfile(file, folder / NUCLEI_FOLDER / file.name)
    return {
        ANSWERS: VIRTUAL_STAIN,
        "seen_mpp": float(card["mpp"]),
        "patch_px": patch_px,
        "mpp": mpp,
        "tile_um": tile_um,
        "segmentation": segmentation.model_dump(mode="json"),
        "min_nuclei": min_nuclei,
        "blocks": dataclasses.asdict(blocks),
        MEDIAN: calibration["training_median"],
        "calibration": calibration["calibration"],
    }


def load_virtual_stain_model(
    folder: Path, card: Mapping[str, Any], compute: ComputeOptions
) -> VirtualStainModel:
    """A model that `write_virtual_stain_model` put together; weights are read when it answers."""
    return VirtualStainModel(card, folder, compute)
