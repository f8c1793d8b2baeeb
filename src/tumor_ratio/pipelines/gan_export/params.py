"""Parameters of gan_export."""

from __future__ import annotations

from pydantic import Field

from tumor_ratio.params import Params


class GanExportParams(Params):
    """Tiles for a CycleGAN that is trained elsewhere; the training's are `cyclegan.squares`."""

    protocol: str = "holdout"
    """The protocol whose folds say which slides test; the one of `cyclegan.protocol`."""
    test_squares: int = Field(default=32, ge=1)
    """Squares of a test slide, at most; spread evenly over those of its kept tiles."""
