"""Opening the slides that a manifest names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tumor_ratio.cohort.manifest import PlannedPair
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.steps import step


@step(version=2)
def open_planned_pair(
    planned: PlannedPair, pyramids: str = "", allowed_root: str = ""
) -> dict[str, Any]:
    """Open both slides of a manifest's row and check that they can be used.

    Parameters
    ----------
    planned : the row.
    pyramids : folder for tiled copies of large TIFFs in strips, see `imaging.tiled_copy`; empty
        reads them as they are.
    allowed_root : folder that the files must lie in, links followed; empty allows any place.

    Returns
    -------
    dict
        `SlidePair.to_record()`, its transform the identity: the manifest's slides are taken as
        registered. Their sizes may differ; the IHC is white where it does not reach. `products`
        lists tiled copies, without which the record is worth nothing.

    Raises
    ------
    SlideError
        If a named file is missing, outside `allowed_root`, damaged, no image or without a
        believable pixel size.
    """
    if allowed_root:
        for named in (planned.he_path, planned.ihc_path):
            if named is not None:
                _check_place(named, Path(allowed_root), planned.slide_id)
    he, ihc = (
        None
        if path is None
        else open_slide(path, slide_id=planned.slide_id, mpp=mpp, pyramids=pyramids or None)
        for path, mpp in (
            (planned.he_path, planned.he_mpp),
            (planned.ihc_path, planned.ihc_mpp),
        )
    )
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
