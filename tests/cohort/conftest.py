"""Slide pairs made for the tests: the same tissue on two sections, one shifted by a known way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.transform import Transform

H, E, DAB = np.array([0.65, 0.7, 0.29]), np.array([0.07, 0.99, 0.11]), np.array([0.27, 0.57, 0.78])
MPP = 1.0


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def tissue(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Density of nuclei, (height, width) float, nests of some 60 um."""
    dots = (rng.random((height, width)) < 0.01).astype(float)
    nests = ndimage.gaussian_filter(rng.normal(size=(height, width)), 25)
    return ndimage.gaussian_filter(dots * np.exp(nests / nests.std()), 3) * 40


def stained(density: np.ndarray, second: np.ndarray, counter: float, blank: np.ndarray):
    od = density[..., None] * H * 0.6 + counter * second
    return np.clip(244 * 10 ** -(od * ~blank[..., None]), 0, 255).astype(np.uint8)


def write_tiff(path: Path, rgb: np.ndarray, mpp: float = MPP) -> Path:
    tifffile.imwrite(
        path,
        rgb,
        tile=(128, 128),
        photometric="rgb",
        compression="deflate",
        resolution=(1e4 / mpp, 1e4 / mpp),
        resolutionunit="CENTIMETER",
    )
    return path


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write an H&E and an IHC slide of one tissue, the IHC `shift_px` to the right.

    The left `blank_px` columns are glass on the H&E slide.
    """

    def make(
        name: str = "s1",
        *,
        width: int = 600,
        height: int = 400,
        blank_px: int = 0,
        shift_px: int = 0,
        seed: int = 0,
        partner_seed: int | None = None,
    ) -> tuple[Path, Path]:
        density = tissue(np.random.default_rng(seed), height, width)
        partner = density
        if partner_seed is not None:
            partner = tissue(np.random.default_rng(partner_seed), height, width)
        blank = np.zeros((height, width), bool)
        blank[:, :blank_px] = True
        he = stained(density, E, 0.15, blank)
        ihc = np.roll(stained(partner, DAB, 0.06, blank), shift_px, axis=1)
        return (
            write_tiff(tmp_path / f"{name}_he.tif", he),
            write_tiff(tmp_path / f"{name}_ihc.tif", ihc),
        )

    return make


@pytest.fixture
def make_pair(make_images) -> Callable[..., SlidePair]:
    """A slide pair of such images; `sides` leaves one out, `transform` defaults to the identity."""

    def make(
        name: str = "s1",
        *,
        sides: str = "both",
        transform: Transform | None = None,
        **options: object,
    ) -> SlidePair:
        he_path, ihc_path = make_images(name, **options)
        return SlidePair(
            slide_id=name,
            case_id=f"case-{name}",
            he=None if sides == "ihc" else open_slide(he_path, slide_id=name),
            ihc=None if sides == "he" else open_slide(ihc_path, slide_id=name),
            transform=transform or Transform.identity(),
        )

    return make
