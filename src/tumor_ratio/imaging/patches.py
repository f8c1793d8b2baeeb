"""Pixels of many regions of one size, read when they are needed and kept while there is room."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.regions import Region


class ReadsRectangles(Protocol):
    """A slide, or what reads like one."""

    def read(
        self, x_px: float, y_px: float, size_px: int | tuple[int, int], mpp: float
    ) -> RgbImage:
        """(H, W, 3) uint8; see `Slide.read`."""
        ...


class PatchReader:
    """Patches by number, straight from their slides.

    Parameters
    ----------
    slides : slides by slide id, or what reads like them; every region's is among them.
    regions : the patches, numbered in this order; all of one `size_px`.
    cache_mb : megabytes of pixels to keep in memory, at least 0.

    Raises
    ------
    ValueError
        If the regions differ in size, or one lies on a slide that is not given.

    Notes
    -----
    Several threads may read at once.

    The cache keeps what comes first and evicts nothing: an epoch reads every patch once in a new
    order, and evicting the oldest would then lose patches just before they are read again.
    """

    def __init__(
        self, slides: Mapping[str, ReadsRectangles], regions: Sequence[Region], cache_mb: float
    ) -> None:
        if len({region.size_px for region in regions}) > 1:
            raise ValueError("a patch reader's regions are of one size")
        if unknown := {region.slide_id for region in regions} - set(slides):
            raise ValueError(f"no slide given for {', '.join(sorted(unknown))}")
        self._slides, self._regions = dict(slides), list(regions)
        self._free_bytes = cache_mb * 1e6
        self._room = threading.Lock()
        self._cache: dict[int, RgbImage] = {}

    def __len__(self) -> int:
        return len(self._regions)

    def read(self, indices: Sequence[int] | NDArray[np.intp]) -> NDArray[np.uint8]:
        """Pixels of some patches, in the order asked for.

        Parameters
        ----------
        indices : numbers in [0, len), at least one.

        Returns
        -------
        (B, size_px, size_px, 3) uint8

        Raises
        ------
        SlideError
            If a slide cannot be read.
        """
        return np.stack([self._patch(int(index)) for index in indices])

    def _patch(self, index: int) -> RgbImage:
        kept = self._cache.get(index)
        if kept is not None:
            return kept
        region = self._regions[index]
        rgb = self._slides[region.slide_id].read(
            region.x_px, region.y_px, region.size_px, region.mpp
        )
        with self._room:
            if rgb.nbytes <= self._free_bytes and index not in self._cache:
                self._free_bytes -= rgb.nbytes
                self._cache[index] = rgb
        return rgb
