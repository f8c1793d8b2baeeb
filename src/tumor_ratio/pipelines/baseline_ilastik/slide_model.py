"""Putting together what the pixel forest needs on new slides, as one step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef

BY_ILASTIK = (
    "regions were classified by ilastik itself, which new slides are not sent through; leave "
    "ilastik.executable empty, so that the built-in forest classifies, and run the pipeline again"
)
NO_TRAINING_LABEL = "no training slide has both a share and a ratio label"
NO_VALIDATION_LABEL = "no validation slide has both a share and a ratio label to calibrate by"


@step(name="export_pixel_forest", version=1)
def assemble_forest(
    forest: ModelRef,
    maps: dict[str, Any],
    patch_px: int,
    mpp: float,
    min_nuclei_um2: float,
    by_ilastik: bool,
    description: dict[str, Any],
    *,
    folder: Path,
    on_epoch: Any = None,
) -> dict[str, Any]:
    """Write a model folder for new slides.

    Parameters
    ----------
    forest : of H&E.
    maps : of `estimation.mapped_predictions`.
    patch_px, mpp, min_nuclei_um2 : of the regions; see `write_forest_model`.
    by_ilastik : ilastik itself classified them.
    description : everything else for the card.
    folder : written.
    on_epoch : not called.

    Returns
    -------
    dict
        The card; with `missing`, the reason, where new slides cannot be answered.
    """
    from tumor_ratio.inference.approaches.forest_model import write_forest_model

    reason = _why_not(forest, maps, by_ilastik)
    if reason:
        return {**description, "missing": reason}
    written = write_forest_model(
        folder,
        forest.folder,
        forest.card,
        maps,
        patch_px=patch_px,
        mpp=mpp,
        min_nuclei_um2=min_nuclei_um2,
    )
    return {**description, **written}


def _why_not(forest: ModelRef, maps: dict[str, Any], by_ilastik: bool) -> str:
    if "missing" in forest.card:
        return str(forest.card["missing"])
    if by_ilastik:
        return BY_ILASTIK
    if "train" not in maps:
        return NO_TRAINING_LABEL
    return "" if "validation" in maps else NO_VALIDATION_LABEL
