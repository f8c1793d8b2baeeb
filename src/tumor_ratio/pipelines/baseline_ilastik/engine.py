"""What classifies pixels: the built-in forest, or ilastik itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tumor_ratio.ilastik.headless import HeadlessIlastik
from tumor_ratio.labelling.pixel_classes import Classify
from tumor_ratio.models.forest_file import FOREST_FILE, read_forest
from tumor_ratio.processes import own_threads

if TYPE_CHECKING:
    from tumor_ratio.datasets.trained_model import ModelRef

PROJECT = "labels.ilp"
"""File of a model's folder: the strokes that the forest grew of, for ilastik to open."""


@dataclass(frozen=True)
class IlastikEngine:
    """ilastik itself. Results depend on the program and the project, not on the limits.

    Parameters
    ----------
    executable : `ilastik` or `run_ilastik.sh`.
    project : the user's project; None: the strokes that the built-in forest grew of.
    timeout_s, ram_mb : limits of one run.
    """

    executable: Path
    project: Path | None
    timeout_s: float = field(default=600.0, compare=False)
    ram_mb: int = field(default=0, compare=False)


def classifier_of(model: ModelRef, engine: IlastikEngine | None) -> Classify:
    """What gives the probabilities of a stain's classes.

    Raises
    ------
    ModelUnavailableError
        If the model's forest is damaged.
    """
    if engine is None:
        return read_forest(model.folder / FOREST_FILE)
    return HeadlessIlastik(
        engine.executable,
        engine.project or model.folder / PROJECT,
        tuple(model.card["label_names"]),
        timeout_s=engine.timeout_s,
        threads=own_threads(),
        ram_mb=engine.ram_mb,
    )
