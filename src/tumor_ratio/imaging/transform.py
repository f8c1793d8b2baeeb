"""Where a point of the H&E section lies on the neighbouring IHC section, in micrometres.

A point's position is continuous: pixel `i` of a slide covers `[i, i + 1)` pixels, so `xy_um` is
`mpp` times such a position. The affine part moves, turns, mirrors and scales; a smooth displacement
on a coarse grid over the H&E slide is added after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

PointsUm = npt.NDArray[np.float64]
"""(N, 2) float64, columns x and y, micrometres."""

Rows = tuple[tuple[float, ...], ...]

IDENTITY_AFFINE: Rows = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
INVERSE_TOLERANCE_UM = 1e-3
INVERSE_ITERATIONS = 200
_SPLINE_PAD = 12  # a cubic spline's memory of its border is below 1e-6 after 12 nodes


@dataclass(frozen=True)
class Displacement:
    """A smooth shift on a regular grid over the H&E slide, interpolated by cubic splines.

    Parameters
    ----------
    origin_um : x and y of the node in row 0, column 0.
    spacing_um : distance between neighbouring nodes, in x and in y.
    dx_um, dy_um : the shift at the nodes, rows along y; at least 1 x 1, equal shapes.

    Notes
    -----
    The spline passes through the nodes. Beyond the grid the shift of its nearest border holds.
    Plain tuples keep it hashable, comparable and free of surprises in JSON.
    """

    origin_um: tuple[float, float]
    spacing_um: float
    dx_um: Rows
    dy_um: Rows

    def __post_init__(self) -> None:
        shapes = {(len(rows), len(row)) for rows in (self.dx_um, self.dy_um) for row in rows}
        if len(shapes) != 1 or len(self.dx_um) != len(self.dy_um) or 0 in next(iter(shapes)):
            raise ValueError("dx_um and dy_um must be equal, non-empty rectangles")
        if not (self.spacing_um > 0 and np.isfinite([*self.origin_um, self.spacing_um]).all()):
            raise ValueError("the displacement's grid needs a finite origin and a positive spacing")
        if not np.isfinite([self.dx_um, self.dy_um]).all():
            raise ValueError("the displacement has values that are not finite")

    @classmethod
    def from_array(
        cls,
        values_um: npt.ArrayLike,
        spacing_um: float,
        origin_um: tuple[float, float] = (0.0, 0.0),
    ) -> Displacement:
        """Build from `values_um`, (rows, columns, 2): x and y shift at the grid's nodes."""
        values = np.asarray(values_um, dtype=np.float64)
        if values.ndim != 3 or values.shape[2] != 2:
            raise ValueError("values_um must have the shape (rows, columns, 2)")
        return cls(
            (float(origin_um[0]), float(origin_um[1])),
            float(spacing_um),
            _rows(values[..., 0]),
            _rows(values[..., 1]),
        )

    def at(self, xy_um: npt.ArrayLike) -> PointsUm:
        """Shift at the points `xy_um` (N, 2) of the H&E slide; (N, 2), um."""
        nodes = (_points(xy_um) - np.asarray(self.origin_um)) / self.spacing_um
        last = np.array([len(self.dx_um[0]) - 1, len(self.dx_um) - 1], dtype=np.float64)
        yx = (np.clip(nodes, 0.0, last) + _SPLINE_PAD)[:, ::-1].T
        shifts = [
            ndimage.map_coordinates(plane, yx, order=3, mode="nearest", prefilter=False)
            for plane in self._coefficients
        ]
        return np.stack(shifts, axis=1)

    @cached_property
    def _coefficients(self) -> tuple[npt.NDArray[np.float64], ...]:
        planes = (np.asarray(rows, dtype=np.float64) for rows in (self.dx_um, self.dy_um))
        return tuple(
            ndimage.spline_filter(np.pad(plane, _SPLINE_PAD, mode="edge"), order=3)
            for plane in planes
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the cached coefficients out of pickles."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)


@dataclass(frozen=True)
class Transform:
    """H&E to IHC: `ihc_um = affine @ (x, y, 1) + displacement(x, y)`.

    Parameters
    ----------
    affine : 2 x 3, micrometres; its left 2 x 2 part must be invertible.
    displacement : a smooth shift added after the affine part, or None.
    """

    affine: Rows = IDENTITY_AFFINE
    displacement: Displacement | None = None

    def __post_init__(self) -> None:
        matrix = np.asarray(self.affine, dtype=np.float64)
        if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
            raise ValueError("a transform's affine part is a finite 2 x 3 matrix")
        if abs(np.linalg.det(matrix[:, :2])) < 1e-9:
            raise ValueError("a transform's affine part must be invertible")
        object.__setattr__(self, "affine", _rows(matrix))

    @classmethod
    def identity(cls) -> Transform:
        """Return the transform of sections that lie on one another already."""
        return cls()

    @property
    def is_identity(self) -> bool:
        """Whether every point maps to itself."""
        return self.affine == IDENTITY_AFFINE and self.displacement is None

    def forward(self, xy_um: npt.ArrayLike) -> PointsUm:
        """Map H&E points (N, 2) to the IHC section, micrometres."""
        xy = _points(xy_um)
        moved = xy @ self._linear.T + self._offset
        return moved if self.displacement is None else moved + self.displacement.at(xy)

    def inverse(self, xy_um: npt.ArrayLike) -> PointsUm:
        """Map IHC points (N, 2) to the H&E section, to within 0.01 um.

        Raises
        ------
        ValueError
            If the displacement folds the tissue, so that a point has no single origin.
        """
        target = _points(xy_um)
        back = np.linalg.inv(self._linear).T
        origin = (target - self._offset) @ back
        if self.displacement is None or not len(target):
            return origin
        for _ in range(INVERSE_ITERATIONS):
            refined = (target - self._offset - self.displacement.at(origin)) @ back
            change_um = float(np.abs(refined - origin).max())
            origin = refined
            if change_um < INVERSE_TOLERANCE_UM:
                return origin
        raise ValueError("the displacement folds the tissue: it cannot be inverted")

    def to_record(self) -> dict[str, Any]:
        """Describe the transform in plain lists and numbers, for JSON."""
        record: dict[str, Any] = {"affine": [list(row) for row in self.affine]}
        if self.displacement is not None:
            record["displacement"] = {
                "origin_um": list(self.displacement.origin_um),
                "spacing_um": self.displacement.spacing_um,
                "dx_um": [list(row) for row in self.displacement.dx_um],
                "dy_um": [list(row) for row in self.displacement.dy_um],
            }
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Transform:
        """Rebuild what `to_record` described, bit for bit."""
        grid = record.get("displacement")
        displacement = None
        if grid is not None:
            x_um, y_um = grid["origin_um"]
            displacement = Displacement(
                (float(x_um), float(y_um)),
                float(grid["spacing_um"]),
                _rows(grid["dx_um"]),
                _rows(grid["dy_um"]),
            )
        return cls(_rows(record["affine"]), displacement)

    @property
    def _linear(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.affine, dtype=np.float64)[:, :2]

    @property
    def _offset(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.affine, dtype=np.float64)[:, 2]


def _points(xy_um: npt.ArrayLike) -> PointsUm:
    points = np.asarray(xy_um, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points must have the shape (N, 2), not {points.shape}")
    return points


def _rows(values: npt.ArrayLike | Sequence[Sequence[float]]) -> Rows:
    return tuple(tuple(float(value) for value in row) for row in np.asarray(values).tolist())
