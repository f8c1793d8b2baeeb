"""Outlines of foci along the sides of their cells: exact, and valid polygons in every case."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Ring = NDArray[np.int64]
"""(N, 2) x and y of cell corners; the last repeats the first."""
Polygon = list[Ring]
"""The exterior, then the holes."""

_SIDES = (
    # side of a cell: neighbour across it, and where the side begins and ends (row, column), so that
    # the cell lies to the right of the way on a screen, where rows grow downwards
    ((-1, 0), (0, 0), (0, 1)),
    ((0, 1), (0, 1), (1, 1)),
    ((1, 0), (1, 1), (1, 0)),
    ((0, -1), (1, 0), (0, 0)),
)
Corner = tuple[int, int]


def outline_cells(labels: NDArray[np.integer], focus_id: int) -> list[Polygon]:
    """Outline of one focus.

    Parameters
    ----------
    labels : (R, C) int, `Foci.labels`.
    focus_id : the focus' number there.

    Returns
    -------
    list of Polygon
        Coordinates count cells: cell (r, c) spans x in [c, c + 1], y in [r, r + 1]; times the
        cell's side they are pixels or micrometres. One polygon for every part whose cells share
        sides, since parts that touch at a corner alone are no valid single polygon (a GeoJSON
        MultiPolygon). Exteriors have a positive area by the shoelace formula (RFC 7946's
        right-hand rule), holes a negative one; there are holes only around excluded cells. No
        corner lies on a straight line.

    Raises
    ------
    ValueError
        If no cell has that number.
    """
    own = np.asarray(labels) == focus_id
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    if focus_id <= 0 or not len(rows):
        raise ValueError(f"there is no focus {focus_id}; the largest number is {np.max(labels)}")
    top, left = int(rows[0]), int(columns[0])
    parts, count = ndimage.label(own[top : rows[-1] + 1, left : columns[-1] + 1])
    shift = np.array([left, top])
    return [[ring + shift for ring in _rings(parts == number)] for number in range(1, count + 1)]


def ring_area(ring: Ring) -> float:
    """Signed area by the shoelace formula, in cells; positive for exteriors."""
    x, y = ring[:, 0].astype(np.float64), ring[:, 1].astype(np.float64)
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def _rings(part: NDArray[np.bool_]) -> Polygon:
    """Rings of cells that share sides, the exterior first."""
    ways = _ways(part)
    rings = []
    while ways:
        start = min(ways)
        ring = [start, ways[start].pop()]
        while ring[-1] != start:
            ring.append(_next(ways, ring[-2], ring[-1]))
        for corner in set(ring):
            if not ways[corner]:
                del ways[corner]
        rings.append(_without_straight(ring))
    return sorted(rings, key=ring_area, reverse=True)


def _ways(part: NDArray[np.bool_]) -> dict[Corner, list[Corner]]:
    """From each corner on the border to the one or two next corners."""
    padded = np.pad(part, 1)
    ways: dict[Corner, list[Corner]] = {}
    for (down, right), begin, end in _SIDES:
        beyond = padded[
            1 + down : padded.shape[0] - 1 + down, 1 + right : padded.shape[1] - 1 + right
        ]
        for row, column in np.argwhere(part & ~beyond).tolist():
            ways.setdefault((row + begin[0], column + begin[1]), []).append(
                (row + end[0], column + end[1])
            )
    return ways


def _next(ways: dict[Corner, list[Corner]], before: Corner, here: Corner) -> Corner:
    """Go on along the border; where two parts of it touch, stay with the same outside cell.

    So a hole touches the exterior in a point, which is valid, and no ring touches itself.
    """
    choices = ways[here]
    if len(choices) == 1:
        return choices.pop()
    down, right = here[0] - before[0], here[1] - before[1]
    left_turn = (here[0] - right, here[1] + down)
    choices.remove(left_turn)
    return left_turn


def _without_straight(ring: list[Corner]) -> Ring:
    """Corners as x and y, without those on a straight line, closed."""
    points = np.array(ring[:-1], dtype=np.int64)[:, ::-1]
    step = points - np.roll(points, 1, axis=0)
    turns = (step != np.roll(step, -1, axis=0)).any(axis=1)
    kept = points[turns]
    return np.concatenate([kept, kept[:1]])
