"""Which nuclei two segmentations of the same pixels share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class NucleiMatch:
    """Counts of nuclei.

    Parameters
    ----------
    n_first, n_second : nuclei of either segmentation.
    n_both : pairs of one of each.
    """

    n_first: int
    n_second: int
    n_both: int

    @property
    def recall(self) -> float:
        """Share of the first segmentation's nuclei that the second has; NaN without any."""
        return self.n_both / self.n_first if self.n_first else float("nan")

    @property
    def precision(self) -> float:
        """Share of the second segmentation's nuclei that the first has; NaN without any."""
        return self.n_both / self.n_second if self.n_second else float("nan")

    @property
    def f1(self) -> float:
        """2 n_both / (n_first + n_second); NaN where there is no nucleus at all."""
        total = self.n_first + self.n_second
        return 2 * self.n_both / total if total else float("nan")


def match_nuclei(first_um: ArrayLike, second_um: ArrayLike, *, within_um: float) -> NucleiMatch:
    """Pair the nuclei of two segmentations, as many as can be, each at most once.

    Parameters
    ----------
    first_um, second_um : (N, 2) and (M, 2) centroids in one frame.
    within_um : greatest distance of a pair, above 0.
    """
    first, second = (
        np.asarray(points, dtype=np.float64).reshape(-1, 2) for points in (first_um, second_um)
    )
    if not within_um > 0:
        raise ValueError(f"within_um must be above 0, not {within_um}")
    if not len(first) or not len(second):
        return NucleiMatch(len(first), len(second), 0)
    near = cKDTree(first).sparse_distance_matrix(
        cKDTree(second), within_um, output_type="coo_matrix"
    )
    links = csr_array((np.ones(near.nnz, dtype=np.int8), (near.row, near.col)), shape=near.shape)
    pairs = maximum_bipartite_matching(links, perm_type="column")
    return NucleiMatch(len(first), len(second), int((pairs >= 0).sum()))
