"""What happens to one slide: its translation, and the nuclei of that."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.pyramid import write_pyramid
from tumor_ratio.imaging.readers import RgbImage
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
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.partition_folder import PartitionRef
    from tumor_ratio.datasets.trained_model import ModelRef

TILE_PX = 256
JPEG_QUALITY = 90
SEGMENTATION_VERSION: int = segment_slide.step_version  # type: ignore[attr-defined]


@step(version=1)
def translate_slide(
    slide: Slide, model: ModelRef, blocks: BlockOptions, compute: ComputeOptions, folder: str
) -> dict[str, Any]:
    """Write the virtual Ki-67 slide of an H&E slide.

    Parameters
    ----------
    slide : the H&E slide.
    model : the trained CycleGAN.
    blocks : how the slide is cut.
    compute : what to compute with.
    folder : where virtual slides are kept; text, since it is written and not read.

    Returns
    -------
    dict
        `slide`: the virtual slide's record, which leaves out the band with the mark below it; its
        origin is the H&E slide's, its pixels are of the model's size. `model`: the model's
        fingerprint. `products`: the file.

    Raises
    ------
    SlideError
        If the slide cannot be read.
    DiskFullError
        If there is no room.
    """
    from tumor_ratio.models.cyclegan.checkpoint_files import checkpoint_path, load_generator
    from tumor_ratio.models.cyclegan.translation import translate_strips
    from tumor_ratio.models.devices import resolve_compute

    settled = resolve_compute(compute)
    generator = settled.place(load_generator(checkpoint_path(model.folder, "G_A")))
    mpp = float(model.card["mpp"])
    width_px, height_px = (math.ceil(um / mpp - 1e-6) for um in (slide.width_um, slide.height_um))
    scale = mpp / slide.mpp

    def read(y_px: int, x_px: int, height: int, width: int) -> RgbImage:
        return slide.read(x_px * scale, y_px * scale, (width, height), mpp)

    strips = translate_strips(generator, read, height_px, width_px, settled, blocks)
    band = mark_band(width_px, height_px)
    path = Path(folder) / f"{quote(slide.slide_id, safe=' ()+,=@~')} {SYNTHETIC_STAIN}.tif"
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
        "model": model.card["fingerprint"],
        "stamps": [SYNTHETIC_STAIN, *model.card["stamps"]],
        "products": [str(path)],
    }


@step(version=100 * SEGMENTATION_VERSION + 1)
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


def _description(model: ModelRef) -> str:
    words = [
        f"{SYNTHETIC_STAIN}.",
        "Virtual Ki-67, translated from an H&E slide by a CycleGAN",
        f"(model {model.card['fingerprint'][:16]}).",
        *model.card["stamps"],
    ]
    return " ".join(words)
