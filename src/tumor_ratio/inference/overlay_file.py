"""Writes a map as a pyramidal TIFF that viewers lay over the slide."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tumor_ratio.imaging.pyramid import ReadBlock, write_pyramid
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.reporting.heat_overlay import Overlay

TILE_PX: Final = 256
JPEG_QUALITY: Final = 90


def write_overlay(path: Path, overlay: Overlay) -> None:
    """Write an overlay; memory holds a strip of tiles, whatever the slide's size.

    Parameters
    ----------
    path : the finished file, `.tif`; whole or absent.
    overlay : from `map_overlay`.

    Raises
    ------
    DiskFullError
        If there is no room for it.
    SlideError
        If the H&E slide below cannot be read.
    """
    write_pyramid(
        path,
        overlay.read,
        width_px=overlay.width_px,
        height_px=overlay.height_px,
        mpp=overlay.mpp,
        tile_px=TILE_PX,
        jpeg_quality=JPEG_QUALITY,
        description=overlay.description,
    )


def slide_below(slide: Slide, mpp: float) -> ReadBlock:
    """What `map_overlay` reads below the colours: the slide at the overlay's pixel size."""
    scale = mpp / slide.mpp

    def read(x_px: int, y_px: int, width_px: int, height_px: int) -> RgbImage:
        return slide.read(x_px * scale, y_px * scale, (width_px, height_px), mpp)

    return read
