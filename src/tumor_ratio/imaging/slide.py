"""A whole-slide image as a small handle that any process can read regions from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.colour_profile import profile_name
from tumor_ratio.imaging.opening import forget_reader, open_reader
from tumor_ratio.imaging.readers import Level, Reader, RgbImage, UnreadableError, one_line
from tumor_ratio.imaging.slide_checks import MIN_SIDE_PX, believable_mpp, choose_reader, probe
from tumor_ratio.imaging.tiled_copy import needs_tiled_copy, tiled_copy

BLOCK_PX = 16_000_000
"""Most pixels taken from a file in one piece."""

BLOCK_SIDE_PX = 1024

OVERVIEW_PX = 64_000_000
"""Most pixels an overview may have."""

_LEVEL_TOLERANCE = 0.01  # a level at most 1 % too coarse still serves
_ALIGNED_PX = 0.01


@dataclass(frozen=True)
class Slide:
    """A slide file that opens when it is read, in the process that reads it.

    Made by `open_slide`. It pickles to a few numbers and a path.

    Parameters
    ----------
    slide_id : the slide's name in the cohort.
    path : the file.
    width_px, height_px : size at level 0.
    mpp : micrometres per level-0 pixel.
    levels : (width, height, downsample) of each level, level 0 first.
    reader : the library that reads it: "openslide", "tifffile" or "pillow".
    icc_profile : name of the colour profile that the file embeds, None where it has none. Pixels
        are as stored: the profile is not applied.
    source_path : the user's file where `path` is a tiled copy of it.
    """

    slide_id: str
    path: Path
    width_px: int
    height_px: int
    mpp: float
    levels: tuple[Level, ...]
    reader: str
    icc_profile: str | None = None
    source_path: Path | None = None

    @property
    def width_um(self) -> float:
        """Width in micrometres."""
        return self.width_px * self.mpp

    @property
    def block_px(self) -> tuple[int, int]:
        """Width and height of the blocks in which level 0 is best read.

        Whole tiles of the file, about 1024 px a side; rows where it has no tiles, or huge ones.

        Raises
        ------
        SlideError
            If the file is gone.
        """
        width, height = (
            side * max(1, BLOCK_SIDE_PX // side) if 1 <= side <= 4 * BLOCK_SIDE_PX else 0
            for side in self._reader().tile_px
        )
        return width or self.width_px, height or BLOCK_SIDE_PX

    @property
    def height_um(self) -> float:
        """Height in micrometres."""
        return self.height_px * self.mpp

    def read(
        self, x_px: float, y_px: float, size_px: int | tuple[int, int], mpp: float
    ) -> RgbImage:
        """Read pixels of a region at any resolution.

        Parameters
        ----------
        x_px, y_px : top-left corner in level-0 pixels; may lie outside, or between pixels.
        size_px : pixels of the result: a side, or (width, height).
        mpp : micrometres per pixel of the result.

        Returns
        -------
        (H, W, 3) uint8
            White outside the slide. A level's own pixels where `mpp` and corner meet them exactly;
            else the best level that is fine enough, resampled with antialiasing. Neighbouring
            regions agree at their seam.

        Raises
        ------
        SlideError
            If the file is gone or its pixels cannot be decoded.
        ValueError
            If the size or `mpp` is not positive.
        """
        width, height = (size_px, size_px) if isinstance(size_px, int) else size_px
        if width <= 0 or height <= 0 or not mpp > 0:
            raise ValueError(f"cannot read {width} x {height} px at {mpp} um/px")
        scale = mpp / self.mpp
        level = self._level_for(scale)
        shrink = scale / self.levels[level][2]
        blocks = list(_blocks(width, height, shrink))
        if len(blocks) == 1:
            return self._read_block(x_px, y_px, (width, height), scale, level)
        out = np.empty((height, width, 3), dtype=np.uint8)
        for left, top, right, bottom in blocks:
            out[top:bottom, left:right] = self._read_block(
                x_px + left * scale, y_px + top * scale, (right - left, bottom - top), scale, level
            )
        return out

    def read_overview(self, mpp: float) -> tuple[RgbImage, float]:
        """Read the whole slide at about `mpp`.

        Parameters
        ----------
        mpp : micrometres per pixel that are wanted.

        Returns
        -------
        rgb : (H, W, 3) uint8
            Origin at the slide's; the last row and column may reach beyond it (white).
        mpp : float
            Micrometres per pixel of `rgb`: the wanted, or more where the overview would have over
            64 million pixels.
        """
        coarse_mpp = max(mpp, math.sqrt(self.width_um * self.height_um / OVERVIEW_PX))
        size = (
            max(1, math.ceil(self.width_um / coarse_mpp - 1e-6)),
            max(1, math.ceil(self.height_um / coarse_mpp - 1e-6)),
        )
        return self.read(0, 0, size, coarse_mpp), coarse_mpp

    def to_record(self) -> dict[str, Any]:
        """Describe the slide in plain values, for JSON."""
        return {
            "slide_id": self.slide_id,
            "path": str(self.path),
            "width_px": self.width_px,
            "height_px": self.height_px,
            "mpp": self.mpp,
            "levels": [list(level) for level in self.levels],
            "reader": self.reader,
            "icc_profile": self.icc_profile,
            "icc_profile_applied": False,
            "source_path": None if self.source_path is None else str(self.source_path),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Slide:
        """Rebuild what `to_record` described; the file is not touched."""
        source_path = record.get("source_path")
        return cls(
            slide_id=str(record["slide_id"]),
            path=Path(record["path"]),
            width_px=int(record["width_px"]),
            height_px=int(record["height_px"]),
            mpp=float(record["mpp"]),
            levels=tuple((int(w), int(h), float(d)) for w, h, d in record["levels"]),
            reader=str(record["reader"]),
            icc_profile=record.get("icc_profile"),
            source_path=None if source_path is None else Path(source_path),
        )

    def _level_for(self, scale: float) -> int:
        """Index of the coarsest level that is fine enough for `scale` level-0 pixels a pixel."""
        fine = [
            index
            for index, (_, _, downsample) in enumerate(self.levels)
            if downsample <= scale * (1 + _LEVEL_TOLERANCE)
        ]
        return max(fine, key=lambda index: self.levels[index][2], default=0)

    def _read_block(
        self, x_px: float, y_px: float, size: tuple[int, int], scale: float, level: int
    ) -> RgbImage:
        width, height = size
        downsample = self.levels[level][2]
        shrink = scale / downsample
        x, y = x_px / downsample, y_px / downsample
        if (
            abs(shrink - 1) * max(size) < _ALIGNED_PX
            and abs(x - round(x)) < _ALIGNED_PX
            and abs(y - round(y)) < _ALIGNED_PX
        ):
            return self._read_level(level, round(x), round(y), width, height)
        margin = (
            math.ceil(2 * max(shrink, 1.0)) + 1
        )  # the filters reach two pixels, or one wide one
        left, top = math.floor(x) - margin, math.floor(y) - margin
        right = math.ceil(x + width * shrink) + margin
        bottom = math.ceil(y + height * shrink) + margin
        source = self._read_level(level, left, top, right - left, bottom - top)
        image = Image.fromarray(source).resize(
            size,
            Image.Resampling.HAMMING if shrink > 1 else Image.Resampling.BICUBIC,
            box=(x - left, y - top, x - left + width * shrink, y - top + height * shrink),
        )
        return np.array(image)

    def _reader(self) -> Reader:
        try:
            return open_reader(self.path, self.reader)
        except FileNotFoundError as error:
            raise SlideError(
                self.slide_id, f"{self.path} is no longer there", "bring the file back"
            ) from error
        except Exception as error:
            message, remedy = (
                (error.message, error.remedy)
                if isinstance(error, UnreadableError)
                else (one_line(error), "the file is damaged or has changed: export it again")
            )
            raise SlideError(self.slide_id, f"{self.path.name}: {message}", remedy) from error

    def _read_level(self, level: int, x_px: int, y_px: int, width: int, height: int) -> RgbImage:
        reader = self._reader()
        try:
            return reader.read_level(level, x_px, y_px, width, height)
        except UnreadableError as error:
            raise SlideError(
                self.slide_id, f"{self.path.name}: {error.message}", error.remedy
            ) from error
        except Exception as error:
            forget_reader(self.path)
            raise SlideError(
                self.slide_id,
                f"{self.path.name} cannot be read at level {level}, ({x_px}, {y_px}): "
                f"{one_line(error)}",
                "the file is damaged or uses an unknown compression: export it again",
            ) from error


def open_slide(
    path: Path | str,
    *,
    slide_id: str,
    mpp: float | None = None,
    pyramids: Path | str | None = None,
) -> Slide:
    """Open a slide file and check that it can be used.

    Parameters
    ----------
    path : an image that OpenSlide, tifffile or Pillow (small PNG and JPEG) reads.
    slide_id : the slide's name, for errors.
    mpp : micrometres per pixel; given, it wins over the file's own.
    pyramids : folder for tiled copies of large TIFFs in strips, see `tiled_copy`; None reads
        them as they are.

    Raises
    ------
    SlideError
        With one line and a remedy, where there is no such file, it is no image, truncated or cannot
        be decoded, it has under 16 px a side, or no believable pixel size.
    """
    path = Path(path)
    try:
        reader = choose_reader(path)
        width, height, _ = reader.levels[0]
        if min(width, height) < MIN_SIDE_PX:
            raise UnreadableError(
                f"an image of {width} x {height} px is too small to be a slide",
                "leave it out or correct its path",
            )
        probe(reader, path)
        believed_mpp = believable_mpp(reader.claimed_mpp, mpp, reader.magnification)
        icc_profile = profile_name(reader.icc_profile)
        source_path = None
        if pyramids is not None and needs_tiled_copy(path, reader):
            source_path, path = path, tiled_copy(path, Path(pyramids))
            reader = choose_reader(path)
    except (UnreadableError, OSError) as error:
        message = error.message if isinstance(error, UnreadableError) else one_line(error)
        remedy = error.remedy if isinstance(error, UnreadableError) else "check the file"
        raise SlideError(slide_id, f"{path}: {message}", remedy) from error
    return Slide(
        slide_id,
        path,
        width,
        height,
        believed_mpp,
        reader.levels,
        reader.name,
        icc_profile,
        source_path,
    )


def _blocks(width: int, height: int, shrink: float) -> Iterator[tuple[int, int, int, int]]:
    """Rectangles (left, top, right, bottom) of a result, none larger than a block in the file."""
    side = max(1, int(math.sqrt(BLOCK_PX) / max(shrink, 1e-9)))
    if width * height * shrink**2 <= BLOCK_PX:
        side = max(width, height)
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield left, top, min(left + side, width), min(top + side, height)
