"""The pixels of squares on both sections, read slide by slide while they are written."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from tumor_ratio.atomic import file_stem
from tumor_ratio.cohort.frame_readers import SectionInFrame
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.errors import SlideError, TumorRatioError
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import Region, iter_regions
from tumor_ratio.imaging.unpaired_folders import Domain, Split
from tumor_ratio.reporting.stamps import SYNTHETIC_IMAGES, stamps_for

logger = logging.getLogger(__name__)

Tile = tuple[Domain, Split, str, RgbImage]


@dataclass(frozen=True)
class SquarePixels:
    """Every square twice: as domain A on the H&E slide, as domain B on Ki-67 in the H&E frame.

    Iterating reads; one slide's pixels are in memory at a time. A slide of which a square cannot be
    read is left out of both domains with a warning. Both images of a square have one name.

    Parameters
    ----------
    cohort : the slides.
    squares : `schemas.Regions` by split; every slide is one of the cohort.

    Raises
    ------
    TumorRatioError
        While iterating: if no slide of a split can be read.
    """

    cohort: Cohort
    squares: Mapping[Split, pd.DataFrame]

    @property
    def stamps(self) -> tuple[str, ...]:
        """What every file carries; one phantom among the slides makes all of them synthetic."""
        slides = {slide_id for table in self.squares.values() for slide_id in table["slide_id"]}
        if any(self.cohort[slide_id].data_kind == "phantom" for slide_id in slides):
            return (*stamps_for("phantom"), SYNTHETIC_IMAGES)
        return stamps_for("real")

    def __len__(self) -> int:
        return 2 * sum(len(table) for table in self.squares.values())

    def __iter__(self) -> Iterator[Tile]:
        for split, table in self.squares.items():
            slides = [list(iter_regions(own)) for _, own in table.groupby("slide_id", sort=True)]
            read = 0
            for own in slides:
                try:
                    tiles = self._read(split, own)
                except SlideError as error:
                    logger.warning("left out of %s: %s", split, error)
                    continue
                read += 1
                yield from tiles
            if not read:
                raise TumorRatioError(
                    f"none of {len(slides)} {split} slides can be read on both sections",
                    "see the warnings above",
                )

    def _read(self, split: Split, squares: list[Region]) -> list[Tile]:
        pair = self.cohort[squares[0].slide_id]
        sections: dict[Domain, SectionInFrame] = {
            "A": SectionInFrame(pair, "he"),
            "B": SectionInFrame(pair, "ihc"),
        }
        return [
            (domain, split, file_stem(each.region_id), section.read(*_place(each)))
            for each in squares
            for domain, section in sections.items()
        ]


def _place(region: Region) -> tuple[int, int, int, float]:
    return region.x_px, region.y_px, region.size_px, region.mpp
