"""Pixels of regions and what is measured on them, read by threads ahead of the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.context import with_context
from tumor_ratio.imaging.nuclear_area import hematoxylin_area_um2, hematoxylin_threshold
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.tissue_classes import sharpness
from tumor_ratio.inference.block_slide import KEPT_BYTES, BlockSlide, in_blocks
from tumor_ratio.inference.spread import spread
from tumor_ratio.processes import thread_pool

AHEAD = 3
"""Batches that are read while the network is busy with one."""
STAIN_SAMPLE = 64


@dataclass(frozen=True)
class ReadRegion:
    """One region: what the network sees, and what is measured on its pixels.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, with its surroundings where the network looks around it.
    nuclear_um2 : area that hematoxylin stains.
    sharpness : see `tissue_classes.sharpness`.
    """

    rgb: RgbImage
    nuclear_um2: float
    sharpness: float


class RegionReader:
    """Regions of one slide, each decoded piece of the file used for all of its regions.

    Parameters
    ----------
    slide : the slide.
    regions : all of one size.
    context : how much wider than a region the network looks.
    threads : readers; by default all of this process's threads.

    Raises
    ------
    SlideError
        If the file is gone, or none of a sample of the regions can be read.
    """

    def __init__(
        self, slide: Slide, regions: Sequence[Region], context: float, threads: int | None = None
    ) -> None:
        self._slide = in_blocks(slide)
        self._wider = with_context(self._slide, context)
        self._context = context
        self._regions = list(regions)
        self._threads = threads
        self._threshold = self._hematoxylin_threshold(slide)

    def order(self) -> NDArray[np.intp]:
        """Numbers of the regions, in the order in which the file is best read."""
        x, y = (np.array([getattr(r, name) for r in self._regions]) for name in ("x_px", "y_px"))
        strip = np.zeros(len(x), dtype=np.int64)
        if isinstance(self._slide, BlockSlide):
            first, kept = self._regions[0], KEPT_BYTES / (1 if self._context == 1 else 2)
            widths = [
                self._slide.strip_px(first.side_px(self._slide.mpp) * factor, first.mpp * factor, k)
                for factor, k in ((1.0, int(kept)), (self._context, int(kept)))
            ]
            strip = x // min(widths)
        return np.lexsort((x, y, strip))

    def batches(
        self, order: NDArray[np.intp], batch_size: int
    ) -> Iterator[tuple[NDArray[np.intp], list[ReadRegion | SlideError]]]:
        """Read the regions, in batches, a few batches ahead.

        Yields
        ------
        numbers : (B,) of the regions; B is `batch_size` but for the last.
        found : a region each, or why it cannot be read.
        """
        pool = thread_pool(self._threads)
        waiting: deque[tuple[NDArray[np.intp], list[Future[ReadRegion | SlideError]]]] = deque()
        try:
            for start in range(0, len(order), batch_size):
                numbers = order[start : start + batch_size]
                waiting.append((numbers, [pool.submit(self._read, int(n)) for n in numbers]))
                if len(waiting) > AHEAD:
                    first, futures = waiting.popleft()
                    yield first, [future.result() for future in futures]
            while waiting:
                first, futures = waiting.popleft()
                yield first, [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, number: int) -> ReadRegion | SlideError:
        region = self._regions[number]
        where = (region.x_px, region.y_px, region.size_px, region.mpp)
        try:
            rgb = self._slide.read(*where)
            seen = rgb if self._context == 1 else self._wider.read(*where)
        except SlideError as error:
            return error
        nuclear_um2 = hematoxylin_area_um2(rgb, region.mpp, threshold=self._threshold)
        return ReadRegion(seen, nuclear_um2, sharpness(rgb, region.mpp))

    def _hematoxylin_threshold(self, slide: Slide) -> float:
        """Threshold from a sample of the regions, the same whatever their order."""
        by_place = sorted(self._regions, key=lambda region: (region.y_px, region.x_px))
        patches, problem = [], None
        for region in spread(by_place, STAIN_SAMPLE):
            try:
                patches.append(slide.read(region.x_px, region.y_px, region.size_px, region.mpp))
            except SlideError as error:
                problem = error
        if problem and not patches:
            raise problem
        return hematoxylin_threshold(np.array(patches), self._regions[0].mpp)
