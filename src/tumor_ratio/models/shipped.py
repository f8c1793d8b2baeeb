"""Models that come with the package, by name; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tumor_ratio.errors import ModelUnavailableError

SHIPPED = "shipped"
WEIGHTS = Path(__file__).parent / "weights"
REGRESSORS: Mapping[str, str] = {"resnet18": "resnet18_v1"}
"""Folders of regressors, by timm's name of their backbone."""
CYCLEGAN = "cyclegan_v1"
"""Folder of the CycleGAN's four networks."""


def shipped_regressor(backbone: str) -> Path:
    """Folder of the regressor that comes with the package.

    Parameters
    ----------
    backbone : timm's name.

    Raises
    ------
    ModelUnavailableError
        If none comes with it for this backbone.
    """
    if backbone not in REGRESSORS:
        raise ModelUnavailableError(
            f"no model of '{backbone}' comes with this package",
            f"set `backbone.initial` to a model's folder; {', '.join(REGRESSORS)} has one",
        )
    return WEIGHTS / REGRESSORS[backbone]
