"""Opening the slides that a manifest names."""

from __future__ import annotations

from typing import Any

from tumor_ratio.cohort.manifest import PlannedPair
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.steps import step


@step(version=1)
def open_planned_pair(planned: PlannedPair) -> dict[str, Any]:
    """Open both slides of a manifest's row and check that they can be used.

    Parameters
    ----------
    planned : the row.

    Returns
    -------
    dict
        `SlidePair.to_record()`, its transform the identity: the manifest's slides are taken as
        registered.

    Raises
    ------
    SlideError
        If a named file is missing, damaged, no image or without a believable pixel size.
    """
    he, ihc = (
        None if path is None else open_slide(path, slide_id=planned.slide_id, mpp=mpp)
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
    return pair.to_record()
