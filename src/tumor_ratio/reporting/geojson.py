"""GeoJSON the way QuPath reads it: objects of a slide with their class and measurements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.atomic import written_whole

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
    return "".join(collection_lines(map(_feature, nuclei), stamps))


def collection_lines(features: Iterable[Mapping[str, Any]], stamps: Sequence[str]) -> Iterator[str]:
    """A FeatureCollection piece by piece, so that it need not fit into memory.

    Parameters
    ----------
    features : GeoJSON features, in any number.
    stamps : as in `feature_collection`.

    Raises
    ------
    ValueError
        If a number in a feature is not finite: JSON has none.
    """
    yield f'{{"type":"FeatureCollection","stamps":{json.dumps(list(stamps))},"features":[\n'
    separator = ""
    for feature in features:
        yield separator + json.dumps(feature, separators=(",", ":"), allow_nan=False)
        separator = ",\n"
    yield "\n]}\n"


def write_collection(
    path: Path, features: Iterable[Mapping[str, Any]], stamps: Sequence[str]
) -> None:
    """Write features to a file, one a line; whole or absent.

    Raises
    ------
    DiskFullError
        If there is no room for it.
    """
    with written_whole(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        file.writelines(collection_lines(features, stamps))


def finite(measurements: Mapping[str, float]) -> dict[str, float]:
    """Measurements to four digits; those that are not finite are left out."""
    return {
        name: round(float(value), 4) for name, value in measurements.items() if np.isfinite(value)
    }


def _feature(nucleus: Outlined) -> dict[str, Any]:
    ring = np.round(np.concatenate([nucleus.polygon_px, nucleus.polygon_px[:1]]), 2)
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]},
        "properties": {
            "objectType": "detection",
            "classification": {"name": nucleus.name, "color": list(nucleus.color)},
            "measurements": finite(nucleus.measurements),
        },
    }
