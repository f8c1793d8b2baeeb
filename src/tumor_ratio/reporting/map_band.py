"""What stands below a map that is a slide of its own: stamps, colours, reasons, as pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tumor_ratio.reporting.map_field import IN_WORDS
from tumor_ratio.reporting.map_paint import OUTLINE, hatching

Rgb = NDArray[np.uint8]

LOUD: Final = (156, 66, 33)
QUIET: Final = (66, 82, 96)
LOUD_SHARE, LEAST_PX = 0.03, 12
"""Height of large letters as a share of the picture's longer side, where the width has room."""
FILLED: Final = 0.94
"""Share of the width that a line may fill."""


def map_band(
    width_px: int,
    height_px: int,
    *,
    gap_px: int,
    stamps: Sequence[str],
    heading: str,
    colours: Rgb,
    most: float,
    reasons: Sequence[str],
    foci: bool,
) -> Rgb:
    """Words and legend below a map of that size; the map itself stays free of letters.

    Parameters
    ----------
    width_px, height_px : of the map.
    gap_px : white above the words.
    stamps : all but the first in large letters.
    heading : what the map shows, above its colours.
    colours : (256, 3) uint8, from 0 to `most`.
    most : value of the last colour.
    reasons : whose hatching is explained.
    foci : whether outlines are explained.

    Returns
    -------
    (h, width_px, 3) uint8
    """
    strips = [np.full((gap_px, width_px, 3), 255, dtype=np.uint8)]
    large_px = _large_px(width_px, height_px, stamps)
    small_px = max(LEAST_PX, large_px // 2)
    for stamp in stamps[1:]:
        strips += _lines(stamp, width_px, large_px, LOUD)
    for stamp in stamps[:1]:
        strips += _lines(stamp, width_px, small_px, QUIET)
    strips += _lines(heading, width_px, small_px, QUIET)
    strips.append(_colour_bar(width_px, small_px, colours, most))
    samples = [(IN_WORDS[reason], _swatch(small_px, reason)) for reason in reasons]
    if foci:
        outline = np.full((small_px, 2 * small_px, 3), OUTLINE, dtype=np.uint8)
        outline[2:-2, 2:-2] = 255
        samples.append(("Ki-67-rich focus", outline))
    for name, swatch in samples:
        strips += _lines(name, width_px, small_px, QUIET, swatch)
    return np.concatenate(strips)


def _large_px(width_px: int, height_px: int, stamps: Sequence[str]) -> int:
    """Size of the large letters: the longest loud stamp fits a line, if letters stay readable."""
    wanted = LOUD_SHARE * max(width_px, height_px)
    for stamp in stamps[1:]:
        wanted = min(wanted, 100 * FILLED * width_px / _font(100, bold=True).getlength(stamp))
    return max(LEAST_PX, int(wanted))


def _font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib; pillow's own lacks most letters beyond ASCII."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size_px)


def _lines(
    text: str, width_px: int, size_px: int, ink: tuple[int, int, int], swatch: Rgb | None = None
) -> Iterator[Rgb]:
    """Strips of white with a line of text each, wrapped to the width; a sample before the first."""
    font = _font(size_px, bold=ink == LOUD)
    room = FILLED * width_px - (0 if swatch is None else swatch.shape[1] + size_px // 2)
    left = int((1 - FILLED) / 2 * width_px)
    for number, line in enumerate(_wrapped(text, font, room)):
        image = Image.new("RGB", (width_px, int(1.5 * size_px)), "white")
        start = left
        if swatch is not None:
            if number == 0:
                image.paste(Image.fromarray(swatch), (left, size_px // 4))
            start += swatch.shape[1] + size_px // 2
        ImageDraw.Draw(image).text((start, 0), line, fill=ink, font=font)
        yield np.asarray(image)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, room_px: float) -> list[str]:
    """Lines that fit the room; a word that does not fit a line of its own is cut."""
    lines: list[str] = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= room_px:
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > room_px:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line]


def _swatch(size_px: int, reason: str) -> Rgb:
    tile = hatching(reason)
    return np.tile(tile, (size_px // 8 + 1, size_px // 4 + 1, 1))[:size_px, : 2 * size_px]


def _colour_bar(width_px: int, size_px: int, colours: Rgb, most: float) -> Rgb:
    """The colours from 0 to `most`, with five numbers below them."""
    left, right = int(0.1 * width_px), max(int(0.9 * width_px), int(0.1 * width_px) + 1)
    image = np.full((int(3.2 * size_px), width_px, 3), 255, dtype=np.uint8)
    steps = np.rint(np.linspace(0, 255, right - left)).astype(np.int64)
    image[size_px // 4 : size_px // 4 + size_px, left:right] = colours[steps]
    picture = Image.fromarray(image)
    draw, font = ImageDraw.Draw(picture), _font(size_px)
    for share in (0, 0.5, 1) if width_px < 20 * size_px else (0, 0.25, 0.5, 0.75, 1):
        place = (left + share * (right - left), 1.5 * size_px)
        draw.text(place, f"{share * most:.2g}", fill=QUIET, font=font, anchor="ma")
    return np.asarray(picture)
