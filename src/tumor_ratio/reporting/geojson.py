"""Outlined nuclei as GeoJSON, the way QuPath reads them: detections with class and measurements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
NEGATIVE: tuple[str, Color] = ("Negative", (112, 112, 225))
POSITIVE: tuple[tuple[str, Color], ...] = (
    ("1+", (255, 215, 0)),
    ("2+", (255, 127, 14)),
    ("3+", (214, 39, 40)),
)
NUCLEUS: tuple[str, Color] = ("Nucleus", (90, 90, 160))


class Outlined(NamedTuple):
    """One nucleus.

    Parameters
    ----------
    polygon_px : (R, 2) vertices in level-0 pixels, not closed.
    name, color : its class.
    measurements : by name; those that are not finite are left out.
    """

    polygon_px: NDArray[np.float64]
    name: str
    color: Color
    measurements: Mapping[str, float]


def feature_collection(nuclei: Iterable[Outlined], stamps: Sequence[str]) -> str:
    """A GeoJSON FeatureCollection; pixels of level 0 stand for the coordinates.

    Parameters
    ----------
    nuclei : in any number.
    stamps : sentences that travel with the file, as the member "stamps".
    """
    head = json.dumps(list(stamps))
    return (
        f'{{"type":"FeatureCollection","stamps":{head},"features":[\n'
        + ",\n".join(_features(nuclei))
        + "\n]}\n"
    )


def _features(nuclei: Iterable[Outlined]) -> Iterator[str]:
    for nucleus in nuclei:
        ring = np.round(np.concatenate([nucleus.polygon_px, nucleus.polygon_px[:1]]), 2)
        measured = {
            name: round(float(value), 4)
            for name, value in nucleus.measurements.items()
            if np.isfinite(value)
        }
        feature = {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]},
            "properties": {
                "objectType": "detection",
                "classification": {"name": nucleus.name, "color": list(nucleus.color)},
                "measurements": measured,
            },
        }
        yield json.dumps(feature, separators=(",", ":"))
