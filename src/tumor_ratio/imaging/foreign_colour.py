"""Objects that are neither hematoxylin nor DAB: dust, soot, felt pen.

Separation explains every colour by the two stains, so that a grey or green object passes for a
mixture of both. Its colour tells: it lies off the plane that the two stains span, and absorbs red
about as much as green and blue, which brown does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.imaging.stains import StainVectors

LEAST_RESIDUAL = 0.07
"""Share of the colour that neither stain explains. Drawn dust shows 0.09 to 0.14, green pen 0.47,
stained nuclei of drawn slides under 0.065. On real slides DAB of another hue shows up to 0.13: it
is brown all the same, which the other two rules see."""
MOST_GREEN_OVER_RED, MOST_BLUE_OVER_RED = 1.2, 1.25
"""Grey absorbs all alike, drawn dust green 1.07 and blue 1.13 times as red; DAB 2.1 and 2.9 times.
The rules err on the side of the nuclei: dust over a nucleus passes for a part of it."""


def is_foreign(od_rgb: NDArray[np.floating], vectors: StainVectors) -> NDArray[np.bool_]:
    """Which colours are of no mixture of the two stains.

    Parameters
    ----------
    od_rgb : (N, 3) optical densities of objects.
    vectors : the slide's own stains: by another slide's hematoxylin, weak DAB looks grey.

    Returns
    -------
    (N,) bool
    """
    od = np.asarray(od_rgb, dtype=np.float64)
    residual = od @ np.linalg.inv(vectors.matrix())[:, 2]
    red, green, blue = od.T
    neutral = (green < MOST_GREEN_OVER_RED * red) & (blue < MOST_BLUE_OVER_RED * red)
    return np.asarray(neutral & (residual > LEAST_RESIDUAL * np.linalg.norm(od, axis=1)))
