"""What answers regions of a slide, whatever an approach does to find the ratio."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.region_reading import ReadRegion, RegionReader
from tumor_ratio.metrics.calibration import MonotoneMap

Tell = Callable[[int], None]
"""Called with the number of finished regions."""


@dataclass(frozen=True)
class Reading:
    """How a model goes through the regions of a slide; no answer depends on it.

    Parameters
    ----------
    batch_size : regions computed at once.
    threads : that read; by default all of this process's threads.
    tell : see `Tell`.
    """

    batch_size: int
    threads: int | None
    tell: Tell


@dataclass(frozen=True)
class Answers:
    """What is found of N regions, in their order; (N,) each.

    Parameters
    ----------
    raw : float64, ratios before they are calibrated; NaN where a region is unreadable, as below.
    nuclear_um2 : float64, area that hematoxylin stains.
    sharpness : float64, see `tissue_classes.sharpness`.
    by_median : bool, whether `raw` is the training slides' median because too few nuclei show.
    problem : why the first of the unreadable regions is; None where all could be read.
    """

    raw: NDArray[np.float64]
    nuclear_um2: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    by_median: NDArray[np.bool_]
    problem: SlideError | None


class RegionModel(ABC):
    """A finished model of one approach, in memory; its card says what regions it answers."""

    card: Mapping[str, Any]

    @property
    def size_px(self) -> int:
        """Side of a region in pixels at `mpp`."""
        return int(self.card["patch_px"])

    @property
    def mpp(self) -> float:
        """Micrometres per pixel of a region."""
        return float(self.card["mpp"])

    @property
    def seen_mpp(self) -> float:
        """Micrometres per pixel of what is classified or translated; networks see regions."""
        return float(self.card.get("seen_mpp", self.mpp))

    @property
    def monotone(self) -> MonotoneMap:
        """From raw ratios to calibrated ones."""
        return MonotoneMap.from_record(self.card["calibration"])

    @abstractmethod
    def answer(self, slide: Slide, regions: Sequence[Region], reading: Reading) -> Answers:
        """Look at regions of one slide.

        Parameters
        ----------
        slide : the H&E slide.
        regions : of the model's size and resolution, at least one; they may overlap.
        reading : how to go through them.

        Raises
        ------
        SlideError
            If the file is gone, or none of a sample of the regions can be read.
        """


def in_batches(
    reader: RegionReader,
    ratios_of: Callable[[list[ReadRegion]], NDArray[np.floating[Any]]],
    reading: Reading,
) -> Answers:
    """Answers of a model that looks at each region's own pixels.

    Parameters
    ----------
    reader : of the regions.
    ratios_of : gives the raw ratios of a batch, (B,).
    reading : how to go through them.
    """
    order = reader.order()
    values = np.full((3, len(order)), np.nan)
    problem: SlideError | None = None
    done = 0
    for numbers, found in reader.batches(order, reading.batch_size):
        read = [each for each in found if isinstance(each, ReadRegion)]
        for each in found:
            if isinstance(each, SlideError):
                problem = problem or each
        if read:
            here = numbers[[isinstance(each, ReadRegion) for each in found]]
            values[0, here] = ratios_of(read)
            values[1, here] = [each.nuclear_um2 for each in read]
            values[2, here] = [each.sharpness for each in read]
        done += len(numbers)
        reading.tell(done)
    raw, nuclear_um2, sharpness = values
    return Answers(raw, nuclear_um2, sharpness, np.zeros(len(order), dtype=bool), problem)
