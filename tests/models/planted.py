"""Patches whose mean colour tells their ratio, so that what a network must learn is known."""

from __future__ import annotations

import numpy as np

from tumor_ratio.models.patch_source import ArrayPatches, LabelledPatches, PatchParts


def planted_patches(
    n: int, *, seed: int, side: int = 32, prefix: str = "t", parts: int = 0
) -> LabelledPatches:
    """n noisy patches on four slides: the redder, the higher the ratio, of their parts as well."""
    rng = np.random.default_rng(seed)
    ratios = rng.uniform(0, 1, n).astype(np.float32)
    rgb = rng.integers(90, 130, (n, side, side, 3))
    rgb[..., 0] = rgb[..., 0] + (100 * ratios).astype(int)[:, None, None]
    slides = np.array([f"{prefix}{index % 4}" for index in range(n)])
    taught = None
    if parts:
        of_parts = np.broadcast_to(ratios[:, None, None], (n, parts, parts)).copy()
        taught = PatchParts(of_parts, np.ones_like(of_parts))
    return LabelledPatches(
        ArrayPatches(rgb.astype(np.uint8)), ratios, np.ones(n, dtype=np.float32), slides, taught
    )


def half_planted_patches(n: int, *, seed: int, side: int = 64) -> LabelledPatches:
    """n patches of which two parts in four are red, and the parts' ratios say which."""
    rng = np.random.default_rng(seed)
    parts = np.zeros((n, 4), dtype=np.float32)
    for row in parts:
        row[rng.permutation(4)[:2]] = 1.0
    parts = parts.reshape(n, 2, 2)
    red = parts.repeat(side // 2, axis=1).repeat(side // 2, axis=2)
    rgb = rng.integers(90, 130, (n, side, side, 3))
    rgb[..., 0] = rgb[..., 0] + (100 * red).astype(int)
    slides = np.array([f"h{index % 4}" for index in range(n)])
    taught = PatchParts(parts, np.ones_like(parts))
    ratios = np.full(n, 0.5, dtype=np.float32)
    return LabelledPatches(
        ArrayPatches(rgb.astype(np.uint8)), ratios, np.ones(n, dtype=np.float32), slides, taught
    )
