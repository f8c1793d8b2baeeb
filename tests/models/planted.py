"""Patches whose mean colour tells their ratio, so that what a network must learn is known."""

from __future__ import annotations

import numpy as np

from tumor_ratio.models.patch_source import ArrayPatches, LabelledPatches


def planted_patches(n: int, *, seed: int, side: int = 32, prefix: str = "t") -> LabelledPatches:
    """n noisy patches on four slides: the redder, the higher the ratio."""
    rng = np.random.default_rng(seed)
    ratios = rng.uniform(0, 1, n).astype(np.float32)
    rgb = rng.integers(90, 130, (n, side, side, 3))
    rgb[..., 0] = rgb[..., 0] + (100 * ratios).astype(int)[:, None, None]
    slides = np.array([f"{prefix}{index % 4}" for index in range(n)])
    return LabelledPatches(
        ArrayPatches(rgb.astype(np.uint8)), ratios, np.ones(n, dtype=np.float32), slides
    )
