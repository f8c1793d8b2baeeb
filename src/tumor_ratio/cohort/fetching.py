"""Bringing a record's slide pair to this disk, and opening it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tumor_ratio.cohort.downloads import fetch_file
from tumor_ratio.cohort.manifest import PlannedPair
from tumor_ratio.cohort.opening import DEFAULTS, OpeningParams, open_planned_pair
from tumor_ratio.cohort.pair import META_FIELDS
from tumor_ratio.cohort.patient_http import DownloadParams
from tumor_ratio.cohort.zenodo_pairs import PlannedDownload
from tumor_ratio.errors import DownloadError, SlideError
from tumor_ratio.steps import step


@step(name="fetch_pair", version=2, uses=[open_planned_pair])
def fetch_pair(
    planned: PlannedDownload, params: DownloadParams, opening: OpeningParams = DEFAULTS
) -> dict[str, Any]:
    """Download and verify both slides of a pair, as far as they are not there, and open them.

    Parameters
    ----------
    planned : the pair.
    params : how patient to be.
    opening : how to open what has been fetched.

    Returns
    -------
    dict
        `SlidePair.to_record()`, its transform the identity: the record's slides are registered.
        `products` names the two files, and tiled copies of them.

    Raises
    ------
    SlideError
        If a file cannot be had, is not what the listing says, or is no slide that can be used.
    """
    try:
        he_path, ihc_path = (
            fetch_file(remote, Path(planned.folder), params, f"{planned.slide_id} {stain}")
            for remote, stain in ((planned.he, "H&E"), (planned.ihc, "IHC"))
        )
    except DownloadError as error:
        raise SlideError(planned.slide_id, error.message, error.remedy) from error
    opened = open_planned_pair(
        PlannedPair(
            slide_id=planned.slide_id,
            case_id=planned.case_id,
            he_path=he_path,
            ihc_path=ihc_path,
            he_mpp=planned.mpp,
            ihc_mpp=planned.mpp,
            meta={**dict.fromkeys(META_FIELDS), **planned.about},
        ),
        opening,
    )
    return {**opened, "products": [str(he_path), str(ihc_path), *opened["products"]]}
