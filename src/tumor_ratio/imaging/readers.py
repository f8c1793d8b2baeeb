"""One small interface over the libraries that read slide files.

A reader knows the file's levels and its claimed pixel size, and gives pixels of one level; files
are opened in `opening`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Protocol

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
