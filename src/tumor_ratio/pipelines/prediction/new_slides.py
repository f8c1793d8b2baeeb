"""Which slides are to be predicted, and opening them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tumor_ratio.cohort.manifest import PlannedPair, read_manifest
from tumor_ratio.cohort.opening import DEFAULTS, OpeningParams, open_planned_pair
from tumor_ratio.errors import ConfigurationError, SlideError
from tumor_ratio.pipelines.prediction.params import PredictionParams
from tumor_ratio.steps import step

REMEDY = (
    "add `--params=prediction.slide=<file>` (and `prediction.mpp=<um/px>` where the file does not "
    "say), or `--params=prediction.manifest=<csv>`"
)


def planned_slides(params: PredictionParams) -> tuple[PlannedPair, ...]:
    """Slides to be predicted.

    Raises
    ------
    ConfigurationError
        If not exactly one of a slide and a manifest is named.
    ManifestError
        If rows of the manifest cannot be used.
    """
    if bool(params.manifest) == bool(params.slide):
        what = "both a slide and a manifest are" if params.slide else "no slide and no manifest is"
        raise ConfigurationError(f"{what} given to predict", REMEDY)
    if params.manifest:
        if params.mpp is not None:
            raise ConfigurationError(
                "`prediction.mpp` is of one slide", "give `he_mpp` in the manifest instead"
            )
        return read_manifest(params.manifest)
    path = Path(params.slide).expanduser().absolute()
    slide_id = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip("_.-")[:100] or "slide"
    return (
        PlannedPair(
            slide_id=slide_id,
            case_id=slide_id,
            he_path=path,
            ihc_path=None,
            he_mpp=params.mpp,
            ihc_mpp=None,
        ),
    )


@step(version=3)
def open_new_slide(planned: PlannedPair, params: OpeningParams = DEFAULTS) -> dict[str, Any]:
    """Open a slide's H&E and check that it can be used.

    Parameters
    ----------
    planned, params : as for `open_planned_pair`.

    Returns
    -------
    dict
        What `open_planned_pair` gives, without the IHC slide.

    Raises
    ------
    SlideError
        If there is no H&E slide, or it cannot be opened.
    """
    if planned.he_path is None:
        raise SlideError(
            planned.slide_id, "has no H&E slide to predict from", "give he_path in the manifest"
        )
    return open_planned_pair(
        PlannedPair(
            slide_id=planned.slide_id,
            case_id=planned.case_id,
            he_path=planned.he_path,
            ihc_path=None,
            he_mpp=planned.he_mpp,
            ihc_mpp=None,
            meta=planned.meta,
        ),
        params,
    )
