"""One small interface over the libraries that read slide files.

A reader knows the file's levels and its claimed pixel size, and gives pixels of one level. It is
opened through `open_reader`, which keeps a few open per process.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

RgbImage = npt.NDArray[np.uint8]
"""(H, W, 3) uint8."""

Level = tuple[int, int, float]
"""Width and height in pixels, and how many level-0 pixels one of its pixels spans."""

PILLOW_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
PILLOW_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
"""CMYK is left out: what its inks look like is a matter of profiles."""
PILLOW_LIMIT_PX = 100_000_000
OPEN_READERS = 4
PLAIN_TIFFS = ("aperio", "generic-tiff")
"""OpenSlide's names of formats whose levels are ordinary tiled TIFF."""
SAME_PX = 32
"""Side of the squares that two readers must agree on."""


class UnreadableError(Exception):
    """A file that cannot be used as a slide: what is wrong, and what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy


class Reader(Protocol):
    """Pixels of an open slide file."""

    name: str
    levels: tuple[Level, ...]
    claimed_mpp: tuple[float, float] | None
    """Micrometres per pixel in x and y as the file says, believable or not."""
    magnification: float | None
    """Of the objective, as the file says; None where it does not."""
    orientation: int
    """How the pixels of `read_level` are to be turned: TIFF tag 274, 1 for upright."""
    icc_profile: bytes | None
    """Embedded colour profile; it is not applied."""
    tile_px: tuple[int, int]
    """Width and height of the pieces that level 0 is stored in; (0, 0) for rows over the whole
    width, (1, 1) where any block is read as well as another."""

    def read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        """Pixels of a level, in that level's own pixels; white outside the slide."""


class OpenSlideReader:
    """Whatever OpenSlide opens: SVS, NDPI, MRXS, SCN, DICOM, tiled TIFF, and more."""

    name = "openslide"
    orientation = 1

    def __init__(self, path: Path) -> None:
        import openslide

        self._slide = openslide.OpenSlide(path)
        self.icc_profile = self._embedded_profile()
        tile_sides = [
            _number(self._slide.properties.get(f"openslide.level[0].tile-{side}")) or 1
            for side in ("width", "height")
        ]
        self.tile_px = (int(tile_sides[0]), int(tile_sides[1]))
        width, height = self._slide.dimensions
        self._downsamples = self._slide.level_downsamples
        self.levels = tuple(
            (w, h, whole_downsample(width, height, w, h, downsample))
            for (w, h), downsample in zip(
                self._slide.level_dimensions, self._downsamples, strict=True
            )
        )
        x = _number(self._slide.properties.get(openslide.PROPERTY_NAME_MPP_X))
        y = _number(self._slide.properties.get(openslide.PROPERTY_NAME_MPP_Y))
        self.claimed_mpp = (x, y) if x is not None and y is not None else None
        self.magnification = _number(
            self._slide.properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
        )
        vendor = self._slide.properties.get(openslide.PROPERTY_NAME_VENDOR)
        self._plain = self._as_plain_tiff(path) if vendor in PLAIN_TIFFS else None

    def _as_plain_tiff(self, path: Path) -> Reader | None:
        """Tifffile's reader of the same levels: it decodes JPEG tiles some ten times as fast.

        None where it does not understand the file, or not as OpenSlide does at level 0. At a level
        whose size was rounded OpenSlide gives pixels resampled by a part of one, tifffile those
        that are stored.
        """
        try:
            plain: Reader = _reader_type("tifffile")(path)
            if [level[:2] for level in plain.levels] != [level[:2] for level in self.levels]:
                return None
            width, height, _ = self.levels[0]
            for corner in ((width // 2, height // 2), (width - SAME_PX, height - SAME_PX)):
                where = (0, *corner, SAME_PX, SAME_PX)
                if not np.array_equal(plain.read_level(*where), self._read_region(*where)):
                    return None
        except Exception:  # whatever is wrong with the file is for OpenSlide to say
            return None
        return plain

    def read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        """Pixels of a level; transparent ones, and those outside the slide, are white."""
        if self._plain is not None:
            return self._plain.read_level(level, x_px, y_px, width, height)
        return self._read_region(level, x_px, y_px, width, height)

    def _read_region(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        # OpenSlide divides by its own downsample, which is not whole where a level was rounded.
        location = (
            round(x_px * self._downsamples[level]),
            round(y_px * self._downsamples[level]),
        )
        rgba = self._slide.read_region(location, level, (width, height))
        return on_white(rgba)

    def _embedded_profile(self) -> bytes | None:
        try:
            profile = self._slide.color_profile
        except Exception:  # a damaged profile must not cost the slide
            return b"damaged"
        return None if profile is None else bytes(profile.tobytes())


class PillowReader:
    """Small PNG, JPEG, BMP and WebP images, held in memory whole and turned as EXIF says."""

    name = "pillow"
    orientation = 1
    tile_px = (1, 1)

    def __init__(self, path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            try:
                image = Image.open(path, formats=PILLOW_FORMATS)
            except Image.DecompressionBombError as error:
                raise _too_large() from error
        with image:
            if image.width * image.height > PILLOW_LIMIT_PX:
                raise _too_large()
            kind = "16 bit" if image.format == "PNG" and _png_bits(path) > 8 else image.mode
            if kind not in PILLOW_MODES:
                raise UnreadableError(
                    f"pixels of kind {kind}, not 8-bit RGB or grey", "convert it to 8-bit RGB"
                )
            self.icc_profile: bytes | None = image.info.get("icc_profile")
            try:
                upright = ImageOps.exif_transpose(image)
                self._rgb = on_white(upright.convert("RGBA"))
            except OSError as error:
                raise UnreadableError(
                    f"the image is damaged or truncated ({one_line(error)})",
                    "copy or export the file again",
                ) from error
        self.levels = ((upright.width, upright.height, 1.0),)
        self.magnification = None
        self.claimed_mpp = None  # a PNG's or JPEG's dots per inch describe paper, not tissue

    def read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        """Pixels of the only level; white outside the image."""
        return crop(self._rgb, x_px, y_px, width, height)


def open_reader(path: Path, name: str) -> Reader:
    """Open the file with the named reader, or return the one this process holds open.

    Parameters
    ----------
    path : the slide file; a changed file (size or time) is opened anew.
    name : "openslide", "tifffile" or "pillow".

    Raises
    ------
    OSError
        If the file is gone, and whatever the library raises when it cannot open the file.
    """
    status = os.stat(path)
    key = (os.getpid(), str(path), name, status.st_size, status.st_mtime_ns)
    with _LOCK:
        if key in _OPEN:
            _OPEN.move_to_end(key)
            return _OPEN[key]
    from tumor_ratio.imaging.orientation import upright

    reader = upright(_reader_type(name)(path))
    with _LOCK:
        _OPEN[key] = reader
        while len(_OPEN) > OPEN_READERS:
            _OPEN.popitem(last=False)  # closed when its last user lets go of it
    return reader


def forget_reader(path: Path) -> None:
    """Drop the open readers of a file: OpenSlide refuses every read after a first failed one."""
    with _LOCK:
        for key in [key for key in _OPEN if key[1] == str(path)]:
            del _OPEN[key]


def whole_downsample(
    width: int, height: int, level_width: int, level_height: int, downsample: float
) -> float:
    """Return the whole number a level was shrunk by, where its rounded size fits one.

    A level of 7775 px under 31103 px was shrunk by 4, not by 31103 / 7775 = 4.0004: taking the
    latter misplaces pixels at the far edge.
    """
    whole = round(downsample)
    fits = abs(width / whole - level_width) <= 1 and abs(height / whole - level_height) <= 1
    return float(whole) if fits else float(downsample)


def on_white(image: Image.Image) -> RgbImage:
    """RGB pixels of an RGBA image laid on white."""
    rgba = np.asarray(image)
    alpha = rgba[..., 3]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return np.array(Image.alpha_composite(white, image).convert("RGB"))


def crop(rgb: RgbImage, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
    """Cut a rectangle out of an image; white where it reaches beyond."""
    out = np.full((height, width, 3), 255, dtype=np.uint8)
    left, top = max(0, x_px), max(0, y_px)
    right, bottom = min(rgb.shape[1], x_px + width), min(rgb.shape[0], y_px + height)
    if left < right and top < bottom:
        out[top - y_px : bottom - y_px, left - x_px : right - x_px] = rgb[top:bottom, left:right]
    return out


def one_line(error: BaseException) -> str:
    """First line of an error's text, at most 120 characters."""
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


def _reader_type(name: str) -> Any:
    if name == "tifffile":
        from tumor_ratio.imaging.tiff_reader import TiffReader

        return TiffReader
    return {"openslide": OpenSlideReader, "pillow": PillowReader}[name]


def _too_large() -> UnreadableError:
    return UnreadableError(
        f"an image of over {PILLOW_LIMIT_PX // 10**6} million pixels in a format that is only "
        "read whole",
        "convert to a tiled pyramid (pyramidal TIFF)",
    )


def _png_bits(path: Path) -> int:
    """Bits a sample: the 25th byte of every PNG. Pillow halves 16 bits without a word."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


_OPEN: OrderedDict[tuple[int, str, str, int, int], Reader] = OrderedDict()
_LOCK = threading.RLock()
