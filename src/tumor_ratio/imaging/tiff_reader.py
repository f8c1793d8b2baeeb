"""Plain TIFF and OME-TIFF through tifffile, tile by tile, where OpenSlide does not serve."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from tumor_ratio.imaging.readers import (
    Level,
    RgbImage,
    UnreadableError,
    on_white,
    whole_downsample,
)

SEGMENT_LIMIT_PX = 100_000_000
UM_PER_UNIT = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "um": 1.0, "nm": 1e-3}
UM_PER_RESOLUTION_UNIT = {2: 25400.0, 3: 1e4}  # TIFF 6.0: 2 is the inch, 3 the centimetre


class TiffReader:
    """Eight-bit RGB or grey TIFF, tiled or in strips, with or without a pyramid.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    UnreadableError
        If the pixels are no 8-bit RGB or grey image, or a strip is too large to be read alone.
    tifffile.TiffFileError
        If it is no TIFF.
    """

    name = "tifffile"

    def __init__(self, path: Path) -> None:
        self._file = tifffile.TiffFile(path)
        self._lock = threading.Lock()
        if not self._file.series:
            raise UnreadableError("a TIFF without an image", "export the slide again")
        series = max(self._file.series, key=lambda s: s.levels[0].size)
        self._planes = [_planes(level) for level in series.levels]
        sizes = [(planes[0].imagewidth, planes[0].imagelength) for planes in self._planes]
        width, height = sizes[0]
        self.levels: tuple[Level, ...] = tuple(
            (w, h, whole_downsample(width, height, w, h, (width / w + height / h) / 2))
            for w, h in sizes
        )
        self.claimed_mpp = self._ome_mpp() or _tag_mpp(self._planes[0][0])

    def read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        """Pixels of a level; white outside the slide."""
        channels = [
            self._read_plane(page, x_px, y_px, width, height) for page in self._planes[level]
        ]
        pixels = np.concatenate(channels, axis=2)
        if pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        if pixels.shape[2] == 4:
            from PIL import Image

            return on_white(Image.fromarray(pixels))
        return pixels[..., :3]

    def _read_plane(
        self, page: Any, x_px: int, y_px: int, width: int, height: int
    ) -> npt.NDArray[np.uint8]:
        separate = page.planarconfig == 2 and page.samplesperpixel > 1
        samples = page.samplesperpixel
        out = np.full((height, width, samples), 255, dtype=np.uint8)
        left, top = max(0, x_px), max(0, y_px)
        right = min(page.imagewidth, x_px + width)
        bottom = min(page.imagelength, y_px + height)
        if left >= right or top >= bottom:
            return out
        segment_width, segment_height = _segment_size(page)
        across = math.ceil(page.imagewidth / segment_width)
        down = math.ceil(page.imagelength / segment_height)
        for row in range(top // segment_height, (bottom - 1) // segment_height + 1):
            for column in range(left // segment_width, (right - 1) // segment_width + 1):
                for plane in range(samples if separate else 1):
                    index = plane * across * down + row * across + column
                    segment = self._segment(page, index)
                    if segment is None:
                        continue  # a sparse TIFF leaves empty tiles out: white
                    x0, y0 = column * segment_width, row * segment_height
                    x1 = min(right, x0 + segment.shape[1])
                    y1 = min(bottom, y0 + segment.shape[0])
                    xs, ys = max(left, x0), max(top, y0)
                    target = slice(plane, plane + 1) if separate else slice(None)
                    out[ys - y_px : y1 - y_px, xs - x_px : x1 - x_px, target] = segment[
                        ys - y0 : y1 - y0, xs - x0 : x1 - x0
                    ]
        return out

    def _segment(self, page: Any, index: int) -> npt.NDArray[np.uint8] | None:
        count = page.databytecounts[index]
        if count == 0:
            return None
        with self._lock:
            handle = self._file.filehandle
            handle.seek(page.dataoffsets[index])
            data = handle.read(count)
        if len(data) < count:
            raise UnreadableError("the file is truncated", "copy or export the file again")
        decoded = page.decode(data, index, jpegtables=page.jpegtables)[0]
        return None if decoded is None else np.asarray(decoded)[0]

    def _ome_mpp(self) -> tuple[float, float] | None:
        if not self._file.is_ome or not self._file.ome_metadata:
            return None
        described = tifffile.xml2dict(self._file.ome_metadata)
        image = described.get("OME", {}).get("Image", {})
        pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
        sizes = [
            float(pixels[f"PhysicalSize{axis}"])
            * UM_PER_UNIT.get(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")), math.nan)
            for axis in "XY"
            if f"PhysicalSize{axis}" in pixels
        ]
        return (sizes[0], sizes[1]) if len(sizes) == 2 else None


def unreachable_bytes(path: Path) -> int:
    """How many bytes the TIFF's directories point to beyond the end of the file.

    Zero for a whole file; also for a file that is no TIFF, which others judge.
    """
    size = path.stat().st_size
    try:
        with tifffile.TiffFile(path) as file:
            ends = [
                max(
                    offset + count
                    for offset, count in zip(p.dataoffsets, p.databytecounts, strict=False)
                )
                for p in _all_pages(file)
                if p.dataoffsets and p.databytecounts
            ]
    except (tifffile.TiffFileError, ValueError, OSError, KeyError, IndexError):
        return 0
    return max([0, *(end - size for end in ends)])


def is_ome(path: Path) -> bool:
    """Whether the file is an OME-TIFF, whose pyramid and pixel size OpenSlide does not know."""
    try:
        with tifffile.TiffFile(path) as file:
            return bool(file.is_ome)
    except (tifffile.TiffFileError, ValueError, OSError, KeyError, IndexError):
        return False


def _all_pages(file: Any) -> list[Any]:
    pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
    for page in list(pages):
        if page.subifds:
            pages += [sub for sub in page.pages or () if isinstance(sub, tifffile.TiffPage)]
    return pages


def _planes(series: Any) -> Sequence[Any]:
    """Pages of one level: one of RGB or grey, or three of one colour each."""
    pages = [page.aspage() if hasattr(page, "aspage") else page for page in series.pages if page]
    axes = "".join(a for a, n in zip(series.axes, series.shape, strict=True) if n > 1 or a in "YX")
    first = pages[0]
    if first.dtype != np.uint8:
        raise UnreadableError(f"pixels of type {first.dtype}, not 8-bit", "convert it to 8-bit RGB")
    if axes == "CYX" and len(pages) == 3 and first.samplesperpixel == 1:
        chosen = pages
    elif axes in {"YX", "YXS", "SYX", "CYX"} and len(pages) == 1:
        chosen = pages[:1]
    else:
        raise UnreadableError(
            f"{len(pages)} planes with the axes {series.axes}, not one RGB image",
            "export one 8-bit RGB plane",
        )
    if first.photometric in {3, 4} or first.samplesperpixel not in {1, 3, 4}:
        raise UnreadableError("pixels that are not RGB or grey", "convert it to 8-bit RGB")
    segment_width, segment_height = _segment_size(first)
    if segment_width * segment_height > SEGMENT_LIMIT_PX:
        raise UnreadableError(
            f"pixels are stored in pieces of {segment_width} x {segment_height}",
            "convert to a tiled pyramid (pyramidal TIFF)",
        )
    return chosen


def _segment_size(page: Any) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilewidth, page.tilelength
    rows = page.rowsperstrip or page.imagelength
    return page.imagewidth, min(rows, page.imagelength)


def _tag_mpp(page: Any) -> tuple[float, float] | None:
    unit_um = UM_PER_RESOLUTION_UNIT.get(int(page.resolutionunit or 1))
    per_unit = page.resolution  # pixels per unit, (1, 1) where the tags are absent
    if unit_um is None or min(per_unit) <= 0:
        return None
    return unit_um / per_unit[0], unit_um / per_unit[1]
