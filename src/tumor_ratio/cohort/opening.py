"""Opening the slides that a manifest names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tumor_ratio.cohort.manifest import PlannedPair
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.params import Params
from tumor_ratio.steps import step


class OpeningParams(Params):
    """What is asked of slide files, and what is made of them."""

    pyramids: str = ""
    """Folder for tiled copies of large TIFFs in strips, see `imaging.tiled_copy`; empty reads them
    as they are."""
    allowed_root: str = ""
    """Folder that the files must lie in, links followed; empty allows any place."""
    max_size_difference: float = Field(0.01, ge=0, le=1)
    """Largest difference between the two sections' widths and heights in micrometres, as a share of
    the larger: registered sections lie on one canvas."""


DEFAULTS = OpeningParams()


@step(name="open_pair", version=4)
def open_planned_pair(planned: PlannedPair, params: OpeningParams = DEFAULTS) -> dict[str, Any]:
    """Open both slides of a manifest's row and check that they can be used.

    Parameters
    ----------
    planned : the row.
    params : how to open them.

    Returns
    -------
    dict
        `SlidePair.to_record()`, its transform the identity: the manifest's slides are taken as
        registered. `products` lists tiled copies, without which the record is worth nothing.

    Raises
    ------
    SlideError
        If a named file is missing, outside `allowed_root`, damaged, no image or without a
        believable pixel size, or the sections differ in size.
    """
    if params.allowed_root:
        for named in (planned.he_path, planned.ihc_path):
            if named is not None:
                _check_place(named, Path(params.allowed_root), planned.slide_id)
    he, ihc = _open(planned, pyramids="")
    if he is not None and ihc is not None:
        _check_sizes(he, ihc, params.max_size_difference)
    if params.pyramids and any(len(slide.levels) == 1 for slide in (he, ihc) if slide):
        he, ihc = _open(planned, params.pyramids)  # copies: of what is used, and has no pyramid
    pair = SlidePair(
        slide_id=planned.slide_id,
        case_id=planned.case_id,
        he=he,
        ihc=ihc,
        data_kind="real",
        meta=dict(planned.meta),
    )
    copies = [str(slide.path) for slide in (he, ihc) if slide and slide.source_path]
    return {**pair.to_record(), "products": copies}


def _open(planned: PlannedPair, pyramids: str) -> tuple[Slide | None, Slide | None]:
    he, ihc = (
        None
        if path is None
        else open_slide(path, slide_id=planned.slide_id, mpp=mpp, pyramids=pyramids or None)
        for path, mpp in (
            (planned.he_path, planned.he_mpp),
            (planned.ihc_path, planned.ihc_mpp),
        )
    )
    return he, ihc


def _check_sizes(he: Slide, ihc: Slide, largest: float) -> None:
    sides = ((he.width_um, ihc.width_um), (he.height_um, ihc.height_um))
    if max(abs(a - b) / max(a, b) for a, b in sides) > largest:
        raise SlideError(
            he.slide_id,
            f"the sections differ in size: H&E {_size(he)}, IHC {_size(ihc)}",
            "register the IHC onto the H&E's canvas, correct he_mpp or ihc_mpp, or raise "
            "`cohort.max_size_difference`",
        )


def _size(slide: Slide) -> str:
    return (
        f"{slide.width_px} x {slide.height_px} px at {slide.mpp:.4g} um/px "
        f"({slide.width_um:.0f} x {slide.height_um:.0f} um)"
    )


def _check_place(path: Path, allowed_root: Path, slide_id: str) -> None:
    try:
        inside = path.resolve().is_relative_to(allowed_root.resolve())
    except (OSError, RuntimeError):  # a link that leads back to itself, which opening explains
        return
    if not inside:
        raise SlideError(
            slide_id,
            f"{path} lies outside {allowed_root}, the folder that slides may come from",
            "move the file there, or change `allowed_root`",
        )
