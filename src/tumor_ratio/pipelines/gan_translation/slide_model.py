"""Putting together what the CycleGAN needs on new slides, as one step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tumor_ratio.models.cyclegan.options import BlockOptions
from tumor_ratio.pipelines.gan_translation.measuring import Measuring
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef

NO_VALIDATION_LABEL = "no validation slide has both a virtual and a measured ratio to calibrate by"
NO_TRAINING_LABEL = "no training slide has a ratio label to answer by where no nuclei show"


@step(name="export_cyclegan", version=1)
def assemble_translator(
    model: ModelRef,
    calibration: dict[str, Any],
    patch_px: int,
    mpp: float,
    tile_um: float,
    measuring: Measuring,
    blocks: BlockOptions,
    description: dict[str, Any],
    *,
    folder: Path,
    on_epoch: Any = None,
) -> dict[str, Any]:
    """Write a model folder for new slides.

    Parameters
    ----------
    model : the trained CycleGAN.
    calibration : of `estimation.calibrated_predictions`.
    patch_px, mpp, tile_um, blocks : see `write_virtual_stain_model`.
    measuring : how ratios on virtual slides were measured.
    description : everything else for the card.
    folder : written.
    on_epoch : not called.

    Returns
    -------
    dict
        The card; with `missing`, the reason, where new slides cannot be answered.
    """
    from tumor_ratio.inference.approaches.virtual_stain_model import write_virtual_stain_model
    from tumor_ratio.models.cyclegan.checkpoint_files import checkpoint_path

    reason = _why_not(calibration)
    if reason:
        return {**description, "missing": reason}
    written = write_virtual_stain_model(
        folder,
        checkpoint_path(model.folder, "G_A"),
        model.card,
        calibration,
        patch_px=patch_px,
        mpp=mpp,
        tile_um=tile_um,
        nuclei_model=measuring.model,
        segmentation=measuring.segmentation,
        min_nuclei=measuring.min_nuclei,
        blocks=blocks,
    )
    return {**description, **written}


def _why_not(calibration: dict[str, Any]) -> str:
    if not calibration.get("calibration"):
        return NO_VALIDATION_LABEL
    median = calibration["training_median"]
    return NO_TRAINING_LABEL if median is None or math.isnan(median) else ""
