"""Real nuclei in other stains: hematoxylin and DAB of any strength on an image of one dye.

Labelled Ki-67 images are rare, labelled images of one purple dye are not. The shapes and edges stay
the image's own, its texture is kept to a drawn degree, and how much each nucleus holds of either
stain is drawn as an absolute density, so that pale blue nuclei come as often as dark ones.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tumor_ratio.imaging.gaussian import gaussian_blur
from tumor_ratio.imaging.stains import H_DAB, optical_density

POSITIVE_SHARES = (0.0, 0.0, 0.1, 0.25, 0.5, 0.9)
HEMATOXYLIN_OD = (0.10, 0.9)
"""Mean density of an image's negative nuclei along hematoxylin's vector: pale blue to dark."""
DAB_OD = (0.25, 2.0)
"""Mean density of a positive nucleus along DAB's vector: weak brown to near-black."""
COUNTERSTAIN = (0.1, 0.8)
"""Hematoxylin that a positive nucleus holds beside its DAB, as a share of the others'."""
SPREAD = 0.3
"""Standard deviation of the logarithm of hematoxylin, nucleus to nucleus."""
LEAST_OD = 0.07
"""No labelled nucleus is paler: an expert would not outline it."""
TEXTURE = (0.1, 1.3)
"""How much of the image's own chromatin texture is kept; 1 keeps it."""
BLUE_HEMATOXYLIN = (0.83, 0.51, 0.20)
"""The blue end of hematoxylin's hues, methylene blue's vector; `H_DAB.first` is the purple end."""
CAST_OD, TINT_OD = 0.12, 0.05
"""Largest density of the glass, of all channels together and of each beside it."""
FOG_OD = (0.10, 0.06)
"""Largest hematoxylin, largest DAB between nuclei: cytoplasm, unspecific staining."""
HUE = 0.05
"""Standard deviation of each component of a stain's vector: laboratories differ."""
GRAIN = (0.0, 0.7)
"""Contrast of DAB's own grain, a deposit and not a dye: standard deviation of its logarithm."""
GRAIN_PX = (0.7, 2.5)
DAB_EDGE_PX = (0.6, 2.0)
"""DAB spreads beyond the nucleus more than hematoxylin does."""
EDGE_PX = 0.8
FOG_PX = 24.0
JPEG_QUALITY = (50, 96)


@dataclass(frozen=True)
class StainLook:
    """How a slide is stained: the same for all that is put into one tile.

    Parameters
    ----------
    hematoxylin_od : mean density of negative nuclei.
    positive_share : of the nuclei.
    hematoxylin, dab : (3,) float32 unit vectors.
    glass_od : (3,) float32, density of what lies between.
    fog_od : largest hematoxylin and DAB between nuclei.
    hematoxylin_texture, dab_texture : see `TEXTURE`.
    grain, grain_px, dab_edge_px : see `GRAIN`, `DAB_EDGE_PX`.
    """

    hematoxylin_od: float
    positive_share: float
    hematoxylin: NDArray[np.float32]
    dab: NDArray[np.float32]
    glass_od: NDArray[np.float32]
    fog_od: tuple[float, float]
    hematoxylin_texture: float
    dab_texture: float
    grain: float
    grain_px: float
    dab_edge_px: float


def draw_look(rng: np.random.Generator) -> StainLook:
    """Any look a Ki-67 slide may have."""
    blueness = rng.random()
    purple, blue = np.asarray(H_DAB.first), np.asarray(BLUE_HEMATOXYLIN)
    return StainLook(
        hematoxylin_od=_log_uniform(HEMATOXYLIN_OD, rng),
        positive_share=float(rng.choice(POSITIVE_SHARES)),
        hematoxylin=_varied((1 - blueness) * purple + blueness * blue, rng),
        dab=_varied(np.asarray(H_DAB.second), rng),
        glass_od=(rng.uniform(0, CAST_OD) + rng.uniform(0, TINT_OD, 3)).astype(np.float32),
        fog_od=(float(rng.uniform(0, FOG_OD[0])), float(rng.uniform(0, FOG_OD[1]))),
        hematoxylin_texture=float(rng.uniform(*TEXTURE)),
        dab_texture=float(rng.uniform(*TEXTURE)),
        grain=float(rng.uniform(*GRAIN)),
        grain_px=float(rng.uniform(*GRAIN_PX)),
        dab_edge_px=float(rng.uniform(*DAB_EDGE_PX)),
    )


def recoloured(
    rgb: NDArray[np.uint8],
    labels: NDArray[np.int32],
    look: StainLook,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """The image as if it had been stained with hematoxylin and DAB.

    Parameters
    ----------
    rgb : (H, W, 3) uint8, nuclei darker than what lies between them.
    labels : (H, W) int32, 0 between nuclei.
    look : the slide's stains.
    rng : advanced.

    Returns
    -------
    (H, W, 3) uint8
    """
    own, covered = _texture(rgb, labels)
    hematoxylin, dab = _strengths(int(labels.max()), look, rng)
    h_amount, dab_amount = (
        np.maximum(covered + np.float32(texture) * (own - covered), 0)
        * gaussian_blur(strength[labels], edge_px, mode="reflect")
        for strength, texture, edge_px in (
            (hematoxylin, look.hematoxylin_texture, EDGE_PX),
            (dab, look.dab_texture, look.dab_edge_px),
        )
    )
    dab_amount = dab_amount * _grain(labels.shape, look, rng)
    fog = gaussian_blur(rng.random(labels.shape, dtype=np.float32), FOG_PX, mode="reflect")
    fog = (fog - fog.min()) / max(float(np.ptp(fog)), 1e-6)
    h_amount = h_amount + np.float32(look.fog_od[0]) * (np.float32(0.5) + np.float32(0.5) * fog)
    dab_amount = dab_amount + np.float32(look.fog_od[1]) * fog[::-1]
    od = look.glass_od + h_amount[..., None] * look.hematoxylin + dab_amount[..., None] * look.dab
    return np.clip(np.rint(np.power(np.float32(10), -od) * 256 - 1), 0, 255).astype(np.uint8)


def as_jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The image after JPEG, as slides store it."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _texture(
    rgb: NDArray[np.uint8], labels: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The image's own density in units of its nuclei's, and how far nuclei cover each pixel."""
    darkness = optical_density(rgb).mean(axis=2)
    inside = labels > 0
    ground = float(np.median(darkness[~inside])) if not inside.all() else 0.0
    own = np.maximum(darkness - np.float32(ground), 0)
    unit = max(float(own[inside].mean()), 0.02) if inside.any() else 1.0
    covered = gaussian_blur(inside.astype(np.float32), EDGE_PX, mode="reflect")
    return np.minimum(own / np.float32(unit), np.float32(3)), covered


def _grain(
    shape: tuple[int, ...], look: StainLook, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A factor of mean 1 at each pixel."""
    noise = gaussian_blur(
        rng.standard_normal(shape, dtype=np.float32), look.grain_px, mode="reflect"
    )
    noise *= np.float32(look.grain) / max(float(noise.std()), 1e-6)
    return np.asarray(np.exp(noise - np.float32(look.grain**2 / 2)), dtype=np.float32)


def _strengths(
    n_nuclei: int, look: StainLook, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Hematoxylin and DAB of each label, the first of them for what lies between nuclei."""
    n = n_nuclei + 1
    hematoxylin = np.maximum(look.hematoxylin_od * np.exp(rng.normal(0, SPREAD, n)), LEAST_OD)
    positive = rng.random(n) < look.positive_share
    dab = np.exp(rng.uniform(math.log(DAB_OD[0]), math.log(DAB_OD[1]), n))
    beside_dab = rng.uniform(COUNTERSTAIN[0], COUNTERSTAIN[1], n)
    dab = np.where(positive, dab, 0.0)
    hematoxylin = np.where(positive, hematoxylin * beside_dab, hematoxylin)
    hematoxylin[0], dab[0] = look.hematoxylin_od, 0.0
    return hematoxylin.astype(np.float32), dab.astype(np.float32)


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _varied(vector: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    direction = np.maximum(vector + rng.normal(0, HUE, 3), 0.02)
    return np.asarray(direction / np.linalg.norm(direction), dtype=np.float32)
