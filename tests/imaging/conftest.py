"""Slides made for the tests: known pixels, known size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def smooth_rgb() -> Callable[..., np.ndarray]:
    """(H, W, 3) uint8 of waves, each 40 px or longer, so that resampling hardly changes them."""

    def build(width: int, height: int) -> np.ndarray:
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        planes = [
            128 + 50 * np.sin(x / 13 + c) + 50 * np.cos(y / 17 + 2 * c + x / 50) for c in range(3)
        ]
        return np.rint(np.stack(planes, axis=2)).astype(np.uint8)

    return build


@pytest.fixture
def write_pyramid(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiled TIFF with halved levels (block means), as slide scanners do."""

    def write(
        rgb: np.ndarray,
        name: str = "slide.tif",
        *,
        mpp: float | None = 0.5,
        levels: int = 3,
        tile: tuple[int, int] = (64, 64),
        **options: object,
    ) -> Path:
        path = tmp_path / name
        resolution = (
            {}
            if mpp is None
            else {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
        )
        options = {"tile": tile, "photometric": "rgb", "compression": "deflate", **options}
        with tifffile.TiffWriter(path) as tif:
            level = rgb
            for index in range(levels):
                tif.write(level, subfiletype=int(index > 0), **resolution, **options)
                h, w = level.shape[0] // 2, level.shape[1] // 2
                level = level[: 2 * h, : 2 * w].reshape(h, 2, w, 2, 3).mean((1, 3))
                level = np.rint(level).astype(np.uint8)
        return path

    return write
