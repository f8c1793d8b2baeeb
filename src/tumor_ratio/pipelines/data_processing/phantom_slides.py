"""Rendering phantoms as slide pairs: where the cohort and the phantom meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tumor_ratio.cohort.pair import META_FIELDS, SlidePair
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.steps import step


def phantom_folder(folder: str, planned: PhantomSlide) -> Path:
    """Folder of a phantom family, seed and stress; others never overwrite its files."""
    return Path(folder) / planned.cohort_name


@step(name="render_phantom", version=1)
def render_phantom_pair(planned: PhantomSlide, folder: str) -> dict[str, Any]:
    """Render a phantom's two slides and open them.

    Parameters
    ----------
    planned : every factor of the pair.
    folder : where phantoms are kept; text, since it is written and not read.

    Returns
    -------
    dict
        `SlidePair.to_record()` with the phantom's transform, and `products`: the files and the
        folder that were written, without which the record is worth nothing.

    Raises
    ------
    SlideError
        If what was rendered cannot be opened (a full disk).
    """
    files = render_pair(planned, phantom_folder(folder, planned))
    pair = SlidePair(
        slide_id=planned.slide_id,
        case_id=planned.case_id,
        he=open_slide(files.he_path, slide_id=planned.slide_id, mpp=planned.mpp),
        ihc=open_slide(files.ihc_path, slide_id=planned.slide_id, mpp=planned.mpp),
        transform=files.transform,
        data_kind="phantom",
        meta={
            **dict.fromkeys(META_FIELDS),
            "thickness_um": planned.thickness_um,
            "marker": "Ki-67",
            "marker_meaning": "proliferation",
        },
        truth_dir=files.truth_dir,
    )
    products = [files.he_path, files.ihc_path, files.truth_dir]
    return {**pair.to_record(), "products": [str(path) for path in products]}
