"""What happens to one slide: its translation, and the nuclei of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tumor_ratio.atomic import file_stem
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.datasets.fingerprint import file_hash
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.transform import Transform
from tumor_ratio.inference.virtual_slide import write_virtual_slide
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.models.cyclegan.options import BlockOptions
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.segmenter import SegmenterRef
from tumor_ratio.reporting.stamps import SYNTHETIC_STAIN
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.partition_folder import PartitionRef
    from tumor_ratio.datasets.trained_model import ModelRef


@step(name="translate_slide", version=1)
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
    from tumor_ratio.models.cyclegan.checkpoint_files import checkpoint_path

    path = Path(folder).absolute() / f"{file_stem(slide.slide_id)} {SYNTHETIC_STAIN}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    virtual = write_virtual_slide(
        path,
        slide,
        tiles,
        checkpoint_path(model.folder, "G_A"),
        float(model.card["mpp"]),
        blocks,
        compute,
        model=model.card["fingerprint"][:16],
        stamps=model.card["stamps"],
    )
    return {
        "slide": virtual.to_record(),
        "sha256": file_hash(path),
        "stamps": [SYNTHETIC_STAIN, *model.card["stamps"]],
        "products": [str(path)],
    }


@step(name="segment_virtual_nuclei", version=1, uses=[segment_slide])
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
