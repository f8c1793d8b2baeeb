"""Which features of a pixel are computed: ilastik's table of filters and scales."""

from __future__ import annotations

from dataclasses import dataclass

SMOOTHING = "GaussianSmoothing"
LAPLACIAN = "LaplacianOfGaussian"
GRADIENT = "GaussianGradientMagnitude"
DIFFERENCE = "DifferenceOfGaussians"
STRUCTURE = "StructureTensorEigenvalues"
HESSIAN = "HessianOfGaussianEigenvalues"

FEATURE_IDS = (SMOOTHING, LAPLACIAN, GRADIENT, DIFFERENCE, STRUCTURE, HESSIAN)
"""ilastik's filters, in the order of its table."""

SCALES = (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
"""ilastik's scales: standard deviations in pixels."""

SMALLEST_STRUCTURE_SCALE = 0.5
"""Below, the window of the structure tensor's derivative holds a single pixel: it has no value."""

_TITLES = {
    SMOOTHING: "Gaussian Smoothing",
    LAPLACIAN: "Laplacian of Gaussian",
    GRADIENT: "Gaussian Gradient Magnitude",
    DIFFERENCE: "Difference of Gaussians",
    STRUCTURE: "Structure Tensor Eigenvalues",
    HESSIAN: "Hessian of Gaussian Eigenvalues",
}


@dataclass(frozen=True)
class FeatureSelection:
    """What an ilastik project's `FeatureSelections` say, computed in 2D.

    Parameters
    ----------
    feature_ids : rows of the table, among `FEATURE_IDS`.
    scales : its columns; standard deviations in pixels, positive.
    matrix : `matrix[row][column]` tells whether that filter is computed at that scale.

    Raises
    ------
    ValueError
        If a filter is unknown or named twice, the matrix has another shape, nothing is selected, a
        scale is not positive, or the structure tensor is asked below `SMALLEST_STRUCTURE_SCALE`.
    """

    feature_ids: tuple[str, ...]
    scales: tuple[float, ...]
    matrix: tuple[tuple[bool, ...], ...]

    def __post_init__(self) -> None:
        unknown = [name for name in self.feature_ids if name not in FEATURE_IDS]
        if unknown:
            raise ValueError(
                f"unknown features {', '.join(unknown)}; there are {', '.join(FEATURE_IDS)}"
            )
        if len(set(self.feature_ids)) < len(self.feature_ids):
            raise ValueError(f"a feature is named twice: {', '.join(self.feature_ids)}")
        shape = (len(self.feature_ids), len(self.scales))
        if len(self.matrix) != shape[0] or any(len(row) != shape[1] for row in self.matrix):
            raise ValueError(f"the matrix must have {shape[0]} rows of {shape[1]} values")
        if not all(scale > 0 for scale in self.scales):
            raise ValueError(f"scales must be positive, got {self.scales}")
        if not self.pairs:
            raise ValueError("no feature is selected")
        small = [s for name, s in self.pairs if name == STRUCTURE and s < SMALLEST_STRUCTURE_SCALE]
        if small:
            raise ValueError(f"{STRUCTURE} has no value at scale {small[0]}; choose a larger one")

    @classmethod
    def default(cls) -> FeatureSelection:
        """All filters at all scales, but at 0.3 px the smoothing alone: all ilastik offers."""
        everywhere = tuple(True for _ in SCALES)
        but_the_first = (False, *everywhere[1:])
        matrix = (everywhere if name == SMOOTHING else but_the_first for name in FEATURE_IDS)
        return cls(FEATURE_IDS, SCALES, tuple(matrix))

    @property
    def pairs(self) -> list[tuple[str, float]]:
        """Selected filters with their scales, in the order of the columns."""
        return [
            (name, scale)
            for name, row in zip(self.feature_ids, self.matrix, strict=True)
            for scale, chosen in zip(self.scales, row, strict=True)
            if chosen
        ]

    def names(self, n_channels: int) -> list[str]:
        """Names of the columns, as ilastik stores them beside a trained forest.

        A filter has a column for each channel, two for eigenvalues (larger, smaller); where these
        are several they are numbered through: `[0]`, `[1]`, ...
        """
        names = []
        for feature_id, scale in self.pairs:
            title = f"{_TITLES[feature_id]} (σ={scale}) in 2D"
            count = n_channels * n_values(feature_id)
            names += [title] if count == 1 else [f"{title} [{index}]" for index in range(count)]
        return names

    def n_features(self, n_channels: int) -> int:
        """Number of columns for an image of so many channels."""
        return n_channels * sum(n_values(feature_id) for feature_id, _ in self.pairs)


def n_values(feature_id: str) -> int:
    """Values that a filter gives for a pixel of one channel: two eigenvalues, or one."""
    return 2 if feature_id in (STRUCTURE, HESSIAN) else 1
