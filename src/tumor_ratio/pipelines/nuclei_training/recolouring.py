"""Real nuclei in other stains: hematoxylin and DAB of any strength on an image of one dye.

Labelled Ki-67 images are rare, labelled images of one purple dye are not. The shapes, texture and
edges stay the image's own; how much each nucleus holds of either stain is drawn.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.gaussian import gaussian_blur
from tumor_ratio.imaging.stains import H_DAB, optical_density

POSITIVE_SHARES = (0.0, 0.0, 0.15, 0.4, 0.8)
HEMATOXYLIN = (0.35, 1.3)
"""Strength of a negative nucleus, as a multiple of the image's own; pale blue to dark."""
DAB = (0.5, 3.0)
"""Strength of a positive nucleus: weak brown to near-black."""
COUNTERSTAIN = (0.1, 0.8)
"""Hematoxylin that a positive nucleus holds beside its DAB, as a share of its own."""
BACKGROUND_OD = (0.0, 0.12)
FOG_OD = 0.06
"""Largest extra DAB between nuclei: unspecific staining."""
HUE = 0.06
"""Standard deviation of each component of a stain's vector: laboratories differ."""
EDGE_PX = 0.8
FOG_PX = 24.0


def recoloured(
    rgb: NDArray[np.uint8], labels: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The image as if it had been stained with hematoxylin and DAB.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, nuclei darker than what lies between them.
    labels : (H, W) int32, 0 between nuclei.
    rng : advanced.

    Returns
    -------
    (H, W, 3) uint8
    """
    darkness = optical_density(rgb).mean(axis=2)
    between = darkness[labels == 0]
    ground = float(np.median(between)) if between.size else 0.0
    amount = np.maximum(darkness - ground, 0) * np.float32(np.sqrt(3))
    hematoxylin, dab = _strengths(int(labels.max()), rng)
    held_hematoxylin, held_dab = (
        gaussian_blur(strength[labels], EDGE_PX) for strength in (hematoxylin, dab)
    )
    fog = gaussian_blur(rng.random(labels.shape, dtype=np.float32), FOG_PX, mode="reflect")
    fog = (fog - fog.min()) / max(float(np.ptp(fog)), 1e-6)
    cytoplasm = np.float32(rng.uniform(*BACKGROUND_OD)) + np.float32(0.5) * np.minimum(ground, 0.2)
    h_amount = amount * held_hematoxylin + cytoplasm * (np.float32(0.5) + fog)
    dab_amount = amount * held_dab + np.float32(rng.uniform(0, FOG_OD)) * fog
    h_vector, dab_vector = (_varied(vector, rng) for vector in (H_DAB.first, H_DAB.second))
    od = h_amount[..., None] * h_vector + dab_amount[..., None] * dab_vector
    return np.clip(np.rint(np.power(np.float32(10), -od) * 256 - 1), 0, 255).astype(np.uint8)


def _strengths(
    n_nuclei: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Hematoxylin and DAB of each label, the first of them for what lies between nuclei."""
    n = n_nuclei + 1
    level = math.exp(rng.uniform(math.log(HEMATOXYLIN[0]), math.log(HEMATOXYLIN[1])))
    hematoxylin = level * np.exp(rng.normal(0, 0.3, n))
    positive = rng.random(n) < rng.choice(POSITIVE_SHARES)
    dab = np.exp(rng.uniform(math.log(DAB[0]), math.log(DAB[1]), n))
    beside_dab = rng.uniform(COUNTERSTAIN[0], COUNTERSTAIN[1], n)
    dab = np.where(positive, dab, 0.0)
    hematoxylin = np.where(positive, hematoxylin * beside_dab, hematoxylin)
    hematoxylin[0], dab[0] = level, 0.0
    return hematoxylin.astype(np.float32), dab.astype(np.float32)


def _varied(vector: tuple[float, float, float], rng: np.random.Generator) -> NDArray[np.float32]:
    direction = np.maximum(np.asarray(vector) + rng.normal(0, HUE, 3), 0.02)
    return (direction / np.linalg.norm(direction)).astype(np.float32)
