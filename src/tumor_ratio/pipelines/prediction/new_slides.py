"""Which slides are to be predicted, and opening them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from tumor_ratio.cohort.manifest import PlannedPair, read_manifest
from tumor_ratio.cohort.opening import DEFAULTS, OpeningParams, open_planned_pair
from tumor_ratio.cohort.slide_names import slide_id_of
from tumor_ratio.cohort.written_cells import place_written
from tumor_ratio.errors import ConfigurationError, SlideError
from tumor_ratio.imaging.slide_checks import slide_identity
from tumor_ratio.pipelines.prediction.params import PredictionParams
from tumor_ratio.pipelines.prediction.slide_folder import SKIPPED_COLUMNS, slides_in
from tumor_ratio.steps import step

REMEDY = (
    "add one of `--params=prediction.slide=<file>`, `--params=prediction.folder=<folder>` (and "
    "`prediction.mpp=<um/px>` where files do not say), and `--params=prediction.manifest=<csv>`"
)


def planned_slides(params: PredictionParams) -> tuple[tuple[PlannedPair, ...], pd.DataFrame]:
    """Slides to be predicted, and files that were passed over.

    Returns
    -------
    planned : tuple of PlannedPair, with their H&E only
    skipped : DataFrame of file and reason; of a folder, else empty.

    Raises
    ------
    ConfigurationError
        If not exactly one of a slide, a folder and a manifest is named, or none can be found.
    ManifestError
        If rows of the manifest cannot be used.
    """
    given = [name for name in ("slide", "folder", "manifest") if getattr(params, name)]
    if len(given) != 1:
        what = (
            f"both a {' and a '.join(given)} are"
            if given
            else "no slide, no folder and no manifest is"
        )
        raise ConfigurationError(f"{what} given to predict", REMEDY)
    nothing = pd.DataFrame(columns=SKIPPED_COLUMNS, dtype="str")
    if params.manifest:
        if params.mpp is not None:
            raise ConfigurationError(
                "`prediction.mpp` is of one slide or folder",
                "give `he_mpp` in the manifest instead",
            )
        planned = read_manifest(params.manifest)
        _check_files(planned)
        _check_groups(planned)
        return planned, nothing
    if params.folder:
        slides, skipped = slides_in(_place("folder", params.folder))
    else:
        path = _place("slide", params.slide)
        slides, skipped = {slide_id_of(path.stem): path}, nothing
    planned = tuple(
        PlannedPair(
            slide_id=slide_id,
            case_id=slide_id,
            he_path=path,
            ihc_path=None,
            he_mpp=params.mpp,
            ihc_mpp=None,
        )
        for slide_id, path in slides.items()
    )
    return planned, skipped


def _place(setting: str, text: str) -> Path:
    """The absolute path that a setting means."""
    path, complaint = place_written(text, Path.cwd())
    if complaint:
        raise ConfigurationError(
            f"prediction.{setting} is no path: {complaint}", "name a file or folder of this system"
        )
    return path


def _check_files(planned: tuple[PlannedPair, ...]) -> None:
    """Refuse a section in two rows, as where two Ki-67 slides share it: it would count twice."""
    slides: dict[str, str] = {}
    for each in planned:
        if each.he_path is None:
            continue
        first = slides.setdefault(_identity(each.he_path), each.slide_id)
        if first != each.slide_id:
            raise ConfigurationError(
                f"slides {first} and {each.slide_id} name the same H&E slide, whose areas would "
                "count twice",
                "leave all but one of the rows out",
            )


def _identity(path: Path) -> str:
    """As `slide_identity`; of what cannot be opened, which costs its slide only, the place."""
    try:
        return slide_identity(path)
    except Exception:  # OpenSlide on a damaged file
        return os.path.realpath(path)


def _check_groups(planned: tuple[PlannedPair, ...]) -> None:
    """Refuse what no table could sum up before anything is predicted: an animal in two groups, and
    a slide without an animal that is called as one.
    """
    groups: dict[str, set[str]] = {}
    for each in planned:
        animal = str(each.meta.get("animal_id") or "")
        if animal:
            groups.setdefault(animal, set()).add(str(each.meta.get("group") or ""))
    for each in planned:
        if each.slide_id in groups and not each.meta.get("animal_id"):
            raise ConfigurationError(
                f"slide {each.slide_id} has no animal_id, and is called as an animal of other rows",
                "give the row its animal_id, or another slide_id",
            )
    for animal, named in groups.items():
        if len(named) > 1:
            raise ConfigurationError(
                f"animal {animal} is in several groups: "
                + ", ".join(repr(name) for name in sorted(named)),
                "give all rows of the animal the same group in the manifest",
            )


@step(name="open_new_slide", version=4, uses=[open_planned_pair])
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
