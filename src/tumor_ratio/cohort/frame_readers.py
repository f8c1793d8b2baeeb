"""Either section of a pair, read in the pair's frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.readers import RgbImage


@dataclass(frozen=True)
class SectionInFrame:
    """Reads one section of a pair as `Slide.read` reads a slide, in the frame's pixels.

    Parameters
    ----------
    pair : the slide pair.
    section : "he" or "ihc"; the IHC section's pixels come through the pair's transform.
    """

    pair: SlidePair
    section: Literal["he", "ihc"]

    def read(
        self, x_px: float, y_px: float, size_px: int | tuple[int, int], mpp: float
    ) -> RgbImage:
        """(H, W, 3) uint8 of a rectangle; see `SlidePair.read_he_at` and `read_ihc_at`.

        Raises
        ------
        SlideError
            If the section is missing or cannot be read.
        """
        read = self.pair.read_he_at if self.section == "he" else self.pair.read_ihc_at
        return read(x_px, y_px, size_px, mpp)
