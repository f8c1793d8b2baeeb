"""A slide seen more widely: around each region, at a coarser pixel size."""

from __future__ import annotations

from dataclasses import dataclass

from tumor_ratio.imaging.patches import ReadsRectangles
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.slide import Slide


@dataclass(frozen=True)
class WiderView:
    """Reads like a slide, but what lies around what is asked for, too.

    Parameters
    ----------
    slide : the slide.
    factor : how much wider than the region the picture is, at least 1. Its number of pixels stays,
        so that each is `factor` times as wide.
    """

    slide: Slide
    factor: float

    def read(
        self, x_px: float, y_px: float, size_px: int | tuple[int, int], mpp: float
    ) -> RgbImage:
        """(H, W, 3) uint8 with the region in its middle; see `Slide.read`."""
        width, height = (size_px, size_px) if isinstance(size_px, int) else size_px
        margin = (self.factor - 1) / 2 * mpp / self.slide.mpp
        return self.slide.read(
            x_px - margin * width, y_px - margin * height, size_px, mpp * self.factor
        )


def with_context(slide: Slide, factor: float) -> ReadsRectangles:
    """The slide itself where the factor is 1, else a wider view of it."""
    return slide if factor == 1 else WiderView(slide, factor)
