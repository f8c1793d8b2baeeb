"""Writes a tiled, pyramidal JPEG TIFF from blocks: memory is bounded by a strip of tiles."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from tumor_ratio.atomic import temporary_name, written_whole

Rgb = npt.NDArray[np.uint8]
ReadBlock = Callable[[int, int, int, int], Rgb]
"""`read(x0, y0, width_px, height_px)` -> (height, width, 3) uint8."""
BLOCK_TILES = 2
SMALLEST_LEVEL_PX = 512


def write_pyramid(
    path: Path,
    read: ReadBlock,
    *,
    width_px: int,
    height_px: int,
    mpp: float,
    tile_px: int,
    jpeg_quality: int,
    block_tiles: int = BLOCK_TILES,
    description: str = "",
) -> None:
    """Write a pyramid that OpenSlide opens; pixels are read once, in strips of tiles.

    Levels halve until the larger side is at most 512 pixels. Each level is averaged, while the one
    above is written, into a temporary file beside `path`. Tags hold sizes, JPEG tables, the pixel
    size and the description only: no date or software. Equal pixels give equal bytes.

    Parameters
    ----------
    path : the finished file; written under a temporary name and renamed, so it is whole or absent.
    read : gives level 0's pixels, called in row-major order.
    block_tiles : width of a block, in tiles; no effect on the result.
    description : ASCII text for the tag ImageDescription of level 0; empty for none.

    Raises
    ------
    DiskFullError
        If there is no room for the file or for its levels meanwhile.
    """
    sizes = [(width_px, height_px)]
    while max(sizes[-1]) > SMALLEST_LEVEL_PX and min(sizes[-1]) >= 2:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    with (
        written_whole(path) as unfinished,
        _scratch_folder(path) as folder,
        tifffile.TiffWriter(unfinished, bigtiff=_is_big(sizes)) as writer,
    ):
        for level, (width, height) in enumerate(sizes):
            smaller = None
            if level + 1 < len(sizes):
                shape = (sizes[level + 1][1], sizes[level + 1][0], 3)
                smaller = _pixels_on_disk(folder / f"{level + 1}", shape)
            tiles = _tiles(read, width, height, tile_px, block_tiles, smaller)
            per_cm = 1e4 / (mpp * 2**level)
            writer.write(
                tiles,
                shape=(height, width, 3),
                dtype=np.uint8,
                photometric="rgb",  # what is handed over; the JPEG itself holds YCbCr
                tile=(tile_px, tile_px),
                compression="jpeg",
                compressionargs={"level": jpeg_quality},
                subsampling=(2, 2),
                subfiletype=1 if level else 0,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                description=description if description and not level else None,
                metadata=None,
                software=False,
                maxworkers=1,
            )
            if smaller is not None:
                read = _window_of(smaller)


@contextmanager
def _scratch_folder(path: Path) -> Iterator[Path]:
    """Give a folder beside `path`, with the name of what is unfinished, for the block's time."""
    folder = temporary_name(path.with_name(f"{path.name}.levels"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pixels_on_disk(path: Path, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Array in a new file whose room is taken at once: a full disk is an error here.

    Later, while mapped memory is written, it would kill the process.
    """
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, math.prod(shape))
        else:  # macOS: mapping extends the file
            file.truncate(math.prod(shape))
    return np.memmap(path, np.uint8, "r+", shape=shape)


def _is_big(sizes: list[tuple[int, int]]) -> bool:
    """Whether the file could pass 4 GiB, taking 2 bytes a pixel for the worst JPEG."""
    return sum(2 * width * height for width, height in sizes) > 2**32


def _window_of(pixels: npt.NDArray[np.uint8]) -> ReadBlock:
    def read(x0: int, y0: int, width_px: int, height_px: int) -> Rgb:
        return np.asarray(pixels[y0 : y0 + height_px, x0 : x0 + width_px])

    return read


def _tiles(
    read: ReadBlock,
    width: int,
    height: int,
    tile_px: int,
    block_tiles: int,
    smaller: npt.NDArray[np.uint8] | None,
) -> Iterator[Rgb]:
    """Tiles in row-major order, padded with their border; fills `smaller` meanwhile."""
    for y0 in range(0, height, tile_px):
        rows = min(tile_px, height - y0)
        for x0 in range(0, width, tile_px * block_tiles):
            block = read(x0, y0, min(tile_px * block_tiles, width - x0), rows)
            if smaller is not None:
                half = _halved(block)
                target = smaller[y0 // 2 : y0 // 2 + half.shape[0], x0 // 2 :][:, : half.shape[1]]
                target[:] = half[: target.shape[0], : target.shape[1]]
            for left in range(0, block.shape[1], tile_px):
                tile = block[:, left : left + tile_px]
                missing = [(0, tile_px - tile.shape[0]), (0, tile_px - tile.shape[1]), (0, 0)]
                yield np.ascontiguousarray(np.pad(tile, missing, mode="edge"))


def _halved(block: Rgb) -> Rgb:
    even = block[: block.shape[0] // 2 * 2, : block.shape[1] // 2 * 2].astype(np.uint16)
    sums = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return ((sums + 2) >> 2).astype(np.uint8)
