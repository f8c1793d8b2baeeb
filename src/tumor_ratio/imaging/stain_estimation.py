"""A slide's own hematoxylin colour, from its own nuclei.

Hematoxylin's hue differs between laboratories and scanners. Where a slide's is bluer than the fixed
vector, part of it counts as DAB, and dark nuclei without any pass for positive. Nuclei that hold no
DAB show the slide's hematoxylin alone: their mean colour is its vector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.stains import StainVectors

MIN_NUCLEI = 50
"""With fewer nuclei to learn from, the fixed vector serves."""

MIN_OD = 0.1
"""Nuclei paler than this, as densities along hematoxylin, say little of its hue."""

MAX_TURN_DEG = 15.0
"""A vector further than this from the fixed one is another dye, or no hematoxylin at all."""

ROUNDS = 3


def own_hematoxylin(
    nuclei_od: NDArray[np.floating], vectors: StainVectors, *, max_dab_od: float
) -> StainVectors:
    """Stain vectors with the slide's own hematoxylin.

    Parameters
    ----------
    nuclei_od : (N, 3) mean optical densities (red, green, blue; decadic) of a slide's nuclei.
    vectors : hematoxylin and DAB to begin with.
    max_dab_od : nuclei with more DAB than this are left out; the threshold of positivity.

    Returns
    -------
    StainVectors
        `first` is the median direction of the nuclei without DAB, found in a few rounds, `second`
        is kept; `vectors` themselves where such nuclei are too few, or point elsewhere.
    """
    densities = np.asarray(nuclei_od, dtype=np.float64)
    found = vectors
    for _ in range(ROUNDS):
        amounts = densities @ np.linalg.inv(found.matrix())
        negative = (amounts[:, 0] >= MIN_OD) & (amounts[:, 1] <= max_dab_od)
        if negative.sum() < MIN_NUCLEI:
            return vectors
        chosen = densities[negative]
        direction = np.median(chosen / np.linalg.norm(chosen, axis=1, keepdims=True), axis=0)
        found = StainVectors(tuple(direction.tolist()), vectors.second)
    turn = found.matrix()[0] @ vectors.matrix()[0]
    return found if turn >= np.cos(np.deg2rad(MAX_TURN_DEG)) else vectors
