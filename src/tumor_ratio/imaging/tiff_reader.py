"""Plain TIFF and OME-TIFF through tifffile, tile by tile, where OpenSlide does not serve."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from tumor_ratio.imaging.jpeg_header import declared_px
from tumor_ratio.imaging.readers import (
    Level,
    RgbImage,
    UnreadableError,
    on_white,
    whole_downsample,
)
from tumor_ratio.imaging.tiff_checks import check_bits, orientation_of
from tumor_ratio.processes import own_threads, thread_pool

logger = logging.getLogger(__name__)

PIECES_PER_THREAD = 8
"""A thread is not worth its start for fewer tiles."""
SEGMENT_LIMIT_PX = 100_000_000
RAW_PIECE_BYTES = 16_000_000
UM_PER_UNIT = {
    **{"m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "nm": 1e-3, "pm": 1e-6, "\u00c5": 1e-4},
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "micrometers", "micrometre"), 1.0),
    **dict.fromkeys(("in", "inch"), 25400.0),
    **{"nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4},
}
_MICRO = re.compile(r"[^A-Za-z ]+m")
"""A unit that ends in m and begins with no letter of ASCII: the micro sign, the Greek mu, or what a
wrong encoding made of them."""
_BARE_AMPERSAND = re.compile(r"&(?!(?:#\d+|#x[0-9A-Fa-f]+|amp|lt|gt|quot|apos);)")
UM_PER_RESOLUTION_UNIT = {2: 25400.0, 3: 1e4}  # TIFF 6.0: 2 is the inch, 3 the centimetre
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR = 0, 1, 2, 6
JPEG_COMPRESSIONS = (6, 7)
KEPT_BYTES = 16_000_000
"""Decoded tiles of small levels that a reader keeps."""
JPEG_MARGIN = 4
"""A JPEG piece may be this many times its tile or strip: the last ones often are whole."""
PREMULTIPLIED, STRAIGHT = 1, 2
"""Kinds of a fourth sample that are an alpha; another fourth sample says nothing of colour."""


class TiffReader:
    """Eight-bit RGB or grey TIFF, tiled or in strips, with or without a pyramid.

    Of several series (images), the largest is the slide. Pixels and sizes are as stored;
    `orientation` is tag 274, which `upright` applies.

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
        # Not the other files that an OME-TIFF names as its planes, which may lie anywhere.
        self._file = tifffile.TiffFile(path, _multifile=False)
        self._lock = threading.Lock()
        self._decoded: OrderedDict[tuple[int, int], npt.NDArray[np.uint8]] = OrderedDict()
        if not self._file.series:
            raise UnreadableError("a TIFF without an image", "export the slide again")
        sizes_of_series = [series.levels[0].size for series in self._file.series]
        chosen = sizes_of_series.index(max(sizes_of_series))
        series = self._file.series[chosen]
        self._planes = [_planes(level) for level in series.levels]
        sizes = [(planes[0].imagewidth, planes[0].imagelength) for planes in self._planes]
        width, height = sizes[0]
        self.levels: tuple[Level, ...] = tuple(
            (w, h, whole_downsample(width, height, w, h, (width / w + height / h) / 2))
            for w, h in sizes
        )
        first = self._planes[0][0]
        self.orientation = orientation_of(first)
        self.icc_profile: bytes | None = first.tags.valueof(34675)
        # A description that is wrong must not hide tags that are right.
        claims = (self._ome_mpp(chosen), _tag_mpp(first, self._imagej_um()))
        self.claimed_mpp = next((claim for claim in claims if claim), None)
        self.magnification = _told_magnification(self._file.pages.first.description)
        self.tile_px = (int(first.tilewidth), int(first.tilelength)) if first.is_tiled else (0, 0)

    @property
    def in_strips(self) -> bool:
        """Whether level 0 is stored in rows over the whole width."""
        return not self._planes[0][0].is_tiled

    def read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        """Pixels of a level; white outside the slide."""
        channels = [
            self._read_plane(page, x_px, y_px, width, height) for page in self._planes[level]
        ]
        pixels = channels[0] if len(channels) == 1 else np.concatenate(channels, axis=2)
        page = self._planes[level][0]
        if pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        if pixels.shape[2] == 4:
            return _opaque(pixels, page.extrasamples)
        return pixels

    def _read_plane(
        self, page: Any, x_px: int, y_px: int, width: int, height: int
    ) -> npt.NDArray[np.uint8]:
        separate = page.planarconfig == 2 and page.samplesperpixel > 1
        samples = page.samplesperpixel
        left, top = max(0, x_px), max(0, y_px)
        right = min(page.imagewidth, x_px + width)
        bottom = min(page.imagelength, y_px + height)
        out = np.empty((height, width, samples), dtype=np.uint8)
        if (right - left, bottom - top) != (width, height) or not page.is_tiled:
            out[:] = 255
        if left >= right or top >= bottom:
            return out
        if _is_raw_strips(page):
            self._read_raw_strips(page, out, x_px, y_px)
            return _dark_is_zero(out, page, x_px, y_px)
        segment_width, segment_height = _segment_size(page)
        across = math.ceil(page.imagewidth / segment_width)
        down = math.ceil(page.imagelength / segment_height)
        wanted = [
            (plane, row, column)
            for row in range(top // segment_height, (bottom - 1) // segment_height + 1)
            for column in range(left // segment_width, (right - 1) // segment_width + 1)
            for plane in range(samples if separate else 1)
        ]

        def fill(where: tuple[int, int, int]) -> None:
            plane, row, column = where
            segment = self._segment(page, plane * across * down + row * across + column)
            x0, y0 = column * segment_width, row * segment_height
            x1, y1 = min(right, x0 + segment_width), min(bottom, y0 + segment_height)
            xs, ys = max(left, x0), max(top, y0)
            of_plane = slice(plane, plane + 1) if separate else slice(None)
            target = out[ys - y_px : y1 - y_px, xs - x_px : x1 - x_px, of_plane]
            if segment is None:
                target[:] = 255  # a sparse TIFF leaves empty tiles out: white
                return
            pixels = segment[ys - y0 : y1 - y0, xs - x0 : x1 - x0]
            if pixels.shape[:2] != target.shape[:2]:
                target[:] = 255  # stored smaller than declared
            target[: pixels.shape[0], : pixels.shape[1]] = pixels

        threads = min(own_threads(), len(wanted) // PIECES_PER_THREAD)
        if threads > 1 and page.is_tiled:
            with thread_pool(threads) as pool:  # the decoders hold no GIL
                deque(pool.map(fill, wanted), maxlen=0)
        else:
            for where in wanted:
                fill(where)
        return _dark_is_zero(out, page, x_px, y_px)

    def _read_raw_strips(self, page: Any, out: npt.NDArray[np.uint8], x_px: int, y_px: int) -> None:
        """Fill `out` from strips without compression: only the rows that are wanted, by pieces."""
        left, right = max(0, x_px), min(page.imagewidth, x_px + out.shape[1])
        top, bottom = max(0, y_px), min(page.imagelength, y_px + out.shape[0])
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        samples = page.samplesperpixel // planes
        row_bytes = page.imagewidth * samples
        strip_rows = _segment_size(page)[1]
        strips = math.ceil(page.imagelength / strip_rows)
        piece_rows = max(1, RAW_PIECE_BYTES // row_bytes)
        for plane in range(planes):
            target = slice(plane, plane + 1) if planes > 1 else slice(None)
            y0 = top
            while y0 < bottom:
                strip = y0 // strip_rows
                y1 = min(bottom, (strip + 1) * strip_rows, y0 + piece_rows)
                skipped = (y0 - strip * strip_rows) * row_bytes
                wanted = (y1 - y0) * row_bytes
                index = plane * strips + strip
                if page.databytecounts[index]:
                    if skipped + wanted > page.databytecounts[index]:
                        raise _truncated()
                    data = self._bytes(page.dataoffsets[index] + skipped, wanted)
                    rows = np.frombuffer(data, np.uint8).reshape(y1 - y0, -1, samples)
                    out[y0 - y_px : y1 - y_px, left - x_px : right - x_px, target] = rows[
                        :, left:right
                    ]
                y0 = y1

    def _segment(self, page: Any, index: int) -> npt.NDArray[np.uint8] | None:
        key = (page.offset, index)
        with self._lock:
            if key in self._decoded:
                return self._decoded[key]
        count = page.databytecounts[index]
        if count == 0:
            return None
        data = self._bytes(page.dataoffsets[index], count)
        if page.compression in JPEG_COMPRESSIONS:
            width, height = _segment_size(page)
            if declared_px(data) > JPEG_MARGIN * width * height:
                raise UnreadableError(
                    "a piece declares far more pixels than the image has room for",
                    "copy or export the file again",
                )
        with self._lock:  # its first mention reads from the file
            decode = page.decode
        decoded = decode(data, index, jpegtables=page.jpegtables)[0]
        if decoded is None:
            return None
        segment: npt.NDArray[np.uint8] = np.asarray(decoded)[0]
        kept = self._worth_keeping(page, segment)
        if kept:
            with self._lock:
                self._decoded[key] = segment
                while len(self._decoded) > kept:
                    self._decoded.popitem(last=False)
        return segment

    def _worth_keeping(self, page: Any, segment: npt.NDArray[np.uint8]) -> int:
        """How many decoded pieces like this one are kept for neighbouring regions.

        One strip, which all want across the slide; of the smaller levels, whose tiles lie under
        several regions, `KEPT_BYTES` of tiles; none of level 0.
        """
        if not page.is_tiled:
            return int(page.samplesperpixel) if page.planarconfig == 2 else 1
        is_finest = any(page is plane for plane in self._planes[0])
        return 0 if is_finest else KEPT_BYTES // max(segment.nbytes, 1)

    def _bytes(self, offset: int, count: int) -> bytes:
        with self._lock:
            handle = self._file.filehandle
            handle.seek(offset)
            data: bytes = handle.read(count)
        if len(data) < count:
            raise _truncated()
        return data

    def _imagej_um(self) -> float | None:
        """The unit that ImageJ's description gives its resolution in, in micrometres."""
        described = self._file.pages.first.description if self._file.is_imagej else ""
        told = re.search(r"^unit=(.*)$", described, re.MULTILINE)
        if told is None:
            return None
        unit = re.sub(r"\\u00b5", "\u00b5", told[1], flags=re.IGNORECASE)  # ImageJ escapes it
        return _um_per(unit.strip().strip('"'))

    def _ome_mpp(self, series_index: int) -> tuple[float, float] | None:
        """Pixel size of the OME description; None where it has none that means a length."""
        if not self._file.is_ome or not self._file.ome_metadata:
            return None
        try:
            described = tifffile.xml2dict(_BARE_AMPERSAND.sub("&amp;", self._file.ome_metadata))
        except Exception as error:  # whatever is wrong with it: the tags may be right
            logger.info("%s: its OME description is no XML (%s)", self._file.filename, error)
            return None
        found = described.get("OME", {}).get("Image", [])
        images = [
            image.get("Pixels", {}) for image in (found if isinstance(found, list) else [found])
        ]
        size = self.levels[0][:2]
        fitting = [
            (index != series_index, index)
            for index, pixels in enumerate(images)
            if (pixels.get("SizeX"), pixels.get("SizeY")) == size
        ]
        if not fitting:
            return None
        pixels = images[min(fitting)[1]]
        x, y = (
            _length_um(
                pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um")
            )
            for axis in "XY"
        )
        return (x, y) if x and y else None


def _length_um(value: Any, unit: Any) -> float | None:
    """A length in micrometres; None where it is no positive number, or the unit is no length."""
    per_unit = _um_per(str(unit).strip())
    try:
        length = float(value) * (per_unit or math.nan)
    except (TypeError, ValueError):
        return None
    return length if math.isfinite(length) and length > 0 else None


def _um_per(unit: str) -> float | None:
    return 1.0 if _MICRO.fullmatch(unit) else UM_PER_UNIT.get(unit)


def _told_magnification(description: str) -> float | None:
    """The objective's, as Aperio writes it into a description."""
    told = re.search(r"AppMag\s*=\s*(\d+(?:\.\d+)?)", description)
    return float(told[1]) if told else None


def _planes(series: Any) -> Sequence[Any]:
    """Pages of one level: one of RGB or grey, or three of one colour each."""
    pages = [page.aspage() if hasattr(page, "aspage") else page for page in series.pages if page]
    axes = "".join(a for a, n in zip(series.axes, series.shape, strict=True) if n > 1 or a in "YX")
    first = pages[0]
    check_bits(first)
    if axes == "CYX" and len(pages) == 3 and first.samplesperpixel == 1:
        chosen = pages
    elif axes in {"YX", "YXS", "SYX", "CYX"} and len(pages) == 1:
        chosen = pages[:1]
    else:
        raise UnreadableError(
            f"{len(pages)} planes with the axes {series.axes}, not one RGB image",
            "export one 8-bit RGB plane",
        )
    if not _has_known_colours(first):
        raise UnreadableError("pixels that are not RGB or grey", "convert it to 8-bit RGB")
    if _is_raw_strips(first):
        return chosen
    segment_width, segment_height = _segment_size(first)
    if segment_width * segment_height > SEGMENT_LIMIT_PX:
        raise UnreadableError(
            f"pixels are stored in pieces of {segment_width} x {segment_height}",
            "convert to a tiled pyramid (pyramidal TIFF)",
        )
    return chosen


def _has_known_colours(page: Any) -> bool:
    if page.samplesperpixel == 1:
        return page.photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO}
    if page.photometric == YCBCR:  # decoded to RGB by the JPEG library only
        return page.samplesperpixel == 3 and page.compression in JPEG_COMPRESSIONS
    return page.samplesperpixel in {3, 4} and page.photometric == RGB


def _is_raw_strips(page: Any) -> bool:
    return not page.is_tiled and page.compression == 1 and page.predictor == 1


def _dark_is_zero(
    pixels: npt.NDArray[np.uint8], page: Any, x_px: int, y_px: int
) -> npt.NDArray[np.uint8]:
    """Turn grey that is stored as white-is-zero around, inside the slide (outside is white)."""
    if page.photometric == WHITE_IS_ZERO:
        inside = (
            slice(max(0, -y_px), max(0, page.imagelength - y_px)),
            slice(max(0, -x_px), max(0, page.imagewidth - x_px)),
        )
        pixels[inside] = 255 - pixels[inside]
    return pixels


def _opaque(pixels: npt.NDArray[np.uint8], extrasamples: Sequence[int]) -> RgbImage:
    """Lay (H, W, 4) pixels on white, as far as their fourth sample is an alpha."""
    kind = extrasamples[0] if extrasamples else None
    if kind == STRAIGHT:
        return on_white(Image.fromarray(pixels))
    if kind == PREMULTIPLIED:
        veil = 255 - pixels[..., 3:].astype(np.uint16)
        return np.minimum(pixels[..., :3] + veil, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels[..., :3])


def _truncated() -> UnreadableError:
    return UnreadableError("the file is truncated", "copy or export the file again")


def _segment_size(page: Any) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilewidth, page.tilelength
    rows = page.rowsperstrip or page.imagelength
    return page.imagewidth, min(rows, page.imagelength)


def _tag_mpp(page: Any, unit_um: float | None) -> tuple[float, float] | None:
    """Pixel size of the resolution tags, in the given unit or, without, in that of their own."""
    unit_um = unit_um or UM_PER_RESOLUTION_UNIT.get(int(page.resolutionunit or 1))
    per_unit = page.resolution  # pixels per unit, (1, 1) where the tags are absent
    absent = any(code not in page.tags for code in (282, 283))
    if unit_um is None or absent or min(per_unit) <= 0:
        return None
    return unit_um / per_unit[0], unit_um / per_unit[1]
