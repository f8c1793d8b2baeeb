"""What happens to one slide: its translation, and the nuclei of that."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.atomic import file_stem
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.datasets.fingerprint import file_hash
from tumor_ratio.imaging.pyramid import write_pyramid
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.imaging.row_blocks import RowBlocks
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.imaging.transform import Transform
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.models.cyclegan.options import BlockOptions
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.segmenter import SegmenterRef
from tumor_ratio.reporting.stamps import SYNTHETIC_STAIN
from tumor_ratio.reporting.synthetic_mark import mark_band
from tumor_ratio.steps import step, version_of

if TYPE_CHECKING:
    from tumor_ratio.datasets.partition_folder import PartitionRef
    from tumor_ratio.datasets.trained_model import ModelRef

TILE_PX = 256
GAP_UM, LEAST_GAP_PX = 40.0, 16
"""White between tissue and mark: the nuclei network must not see the letters."""
JPEG_QUALITY = 90


@step(version=1)
def translate_slide(
    slide: Slide,
    tiles: pd.DataFrame,
    model: ModelRef,
    blocks: BlockOptions,
    compute: ComputeOptions,
    folder: str,
) -> dict[str, Any]:
    """Write the virtual Ki-67 slide of an H&E slide.

    Parameters
    ----------
    slide : the H&E slide.
    tiles : `schemas.Regions` of it; the statistics of instance norms are measured in them, since
        networks learn on tissue and slides are largely glass.
    model : the trained CycleGAN.
    blocks : how the slide is cut.
    compute : what to compute with.
    folder : where virtual slides are kept; text, since it is written and not read.

    Returns
    -------
    dict
        `slide`: the virtual slide's record, which leaves out the band with the mark below it; its
        origin is the H&E slide's, its pixels are of the model's size. `sha256` of the file, so that
        what is measured on it follows its pixels. `products`: the file.

    Raises
    ------
    SlideError
        If the slide cannot be read.
    DiskFullError
        If there is no room.
    """
    from tumor_ratio.models.cyclegan.checkpoint_files import checkpoint_path, load_generator
    from tumor_ratio.models.cyclegan.translation import measure_statistics, translate_strips
    from tumor_ratio.models.devices import resolve_compute

    settled = resolve_compute(compute)
    generator = settled.place(load_generator(checkpoint_path(model.folder, "G_A")))
    mpp = float(model.card["mpp"])
    width_px, height_px = (math.ceil(um / mpp - 1e-6) for um in (slide.width_um, slide.height_um))
    scale = mpp / slide.mpp

    def read(y_px: int, x_px: int, height: int, width: int) -> RgbImage:
        return slide.read(x_px * scale, y_px * scale, (width, height), mpp)

    crops = tissue_crops(slide, tiles, mpp, blocks, generator.multiple_px)
    statistics = None if crops is None else measure_statistics(generator, crops, settled)
    strips = translate_strips(
        generator, read, height_px, width_px, settled, blocks, statistics=statistics
    )
    band = mark_band(width_px, height_px, gap_px=max(LEAST_GAP_PX, round(GAP_UM / mpp)))
    path = Path(folder).absolute() / f"{file_stem(slide.slide_id)} {SYNTHETIC_STAIN}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pyramid(
        path,
        RowBlocks(chain(strips, [band])).read,
        width_px=width_px,
        height_px=height_px + len(band),
        mpp=mpp,
        tile_px=TILE_PX,
        jpeg_quality=JPEG_QUALITY,
        description=_description(model),
    )
    virtual = open_slide(path, slide_id=slide.slide_id, mpp=mpp)
    return {
        "slide": replace(virtual, height_px=height_px).to_record(),
        "sha256": file_hash(path),
        "stamps": [SYNTHETIC_STAIN, *model.card["stamps"]],
        "products": [str(path)],
    }


@step(version=100 * version_of(segment_slide) + 1)
def measure_translation(
    pair: SlidePair,
    virtual: PartitionRef,
    tiles: pd.DataFrame,
    model: SegmenterRef,
    params: SegmentationParams,
) -> pd.DataFrame:
    """Nuclei of a virtual slide, by the code that measures real ones.

    Parameters
    ----------
    pair : the slide pair whose H&E slide was translated.
    virtual : what `translate_slide` gave.
    tiles : rows of `Regions` of that pair.
    model, params : as for real Ki-67 slides; a virtual one is not checked for its stain.

    Returns
    -------
    pandas.DataFrame
        `schemas.Nuclei`.
    """
    unchecked = params.model_copy(update={"check_slide": False})
    return segment_slide(as_virtual(pair, virtual), tiles, "ihc", model, unchecked)


def as_virtual(pair: SlidePair, virtual: PartitionRef) -> SlidePair:
    """The pair with its virtual Ki-67 slide, which shares the H&E slide's frame."""
    slide = Slide.from_record(virtual.load()["slide"])
    return replace(pair, ihc=slide, transform=Transform.identity())


def tissue_crops(
    slide: Slide, tiles: pd.DataFrame, mpp: float, blocks: BlockOptions, multiple_px: int
) -> NDArray[np.uint8] | None:
    """(N, side, side, 3) uint8 squares of tiles, spread evenly over them; None without tiles.

    Parameters
    ----------
    slide : the H&E slide.
    tiles : `schemas.Regions` of it.
    mpp : micrometres a pixel that the generator works at.
    blocks : `crop_px` is a square's side, `crops_mpx` bounds their number.
    multiple_px : the side is a multiple of it.
    """
    if tiles.empty:
        return None
    side_um = float((tiles["size_px"] * tiles["mpp"]).min())
    side_px = min(blocks.crop_px, int(side_um / mpp)) // multiple_px * multiple_px
    if side_px < multiple_px:
        return None
    step_px = side_px * mpp / slide.mpp
    places = [
        (tile.x_px + column * step_px, tile.y_px + row * step_px)
        for tile in iter_regions(tiles)
        for row in range(int(tile.side_um / mpp / side_px))
        for column in range(int(tile.side_um / mpp / side_px))
    ]
    n = max(1, min(len(places), int(blocks.crops_mpx * 1e6 / side_px**2)))
    chosen = [places[int((index + 0.5) * len(places) / n)] for index in range(n)]
    return np.stack([slide.read(x_px, y_px, side_px, mpp) for x_px, y_px in chosen])


def _description(model: ModelRef) -> str:
    words = [
        f"{SYNTHETIC_STAIN}.",
        "Virtual Ki-67, translated from an H&E slide by a CycleGAN",
        f"(model {model.card['fingerprint'][:16]}).",
        *model.card["stamps"],
    ]
    return " ".join(words)
