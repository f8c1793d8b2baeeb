"""The files that the CycleGAN's parameters name, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumor_ratio.pipelines.gan_translation.given_files import check_given_files
from tumor_ratio.pipelines.gan_translation.params import CycleGanParams


def check_gan_files(parameters: Mapping[str, Any], project: Path) -> None:
    """Check what a pipeline's parameters name.

    Parameters
    ----------
    parameters : by name, as the pipeline reads them.
    project : not needed: relative paths start where the run does.

    Raises
    ------
    ConfigurationError, ModelUnavailableError
        If a file is missing, or KID's network cannot be had.
    """
    for value in parameters.values():
        if isinstance(value, CycleGanParams):
            check_given_files(value)
