"""Which features a project computes: the table in `/FeatureSelections`, old and new."""

from __future__ import annotations

import math

import h5py
import numpy as np

from tumor_ratio.ilastik.errors import Where
from tumor_ratio.ilastik.hdf5_checks import (
    SAVE_AGAIN,
    dataset_of,
    group_of,
    read_array,
    read_texts,
    where_is,
)
from tumor_ratio.imaging.feature_selection import FEATURE_IDS, SCALES, FeatureSelection

MAX_SCALE_PX = 50.0
"""A window of a larger filter would be wider than most tiles."""
MAX_SCALES = 64
TABLE_BYTES = 2**16

OLD_GROUPS = {
    "GaussianSmoothing": 0,
    "LaplacianOfGaussian": 1,
    "GaussianGradientMagnitude": 1,
    "DifferenceOfGaussians": 1,
    "StructureTensorEigenvalues": 3,
    "HessianOfGaussianEigenvalues": 3,
}
"""Rows of ilastik 0.5's table (colour, edge, orientation, texture) that stand for a filter."""
OLD_ORDER = (
    "GaussianSmoothing",
    "LaplacianOfGaussian",
    "StructureTensorEigenvalues",
    "HessianOfGaussianEigenvalues",
    "GaussianGradientMagnitude",
    "DifferenceOfGaussians",
)
CHOOSE = "choose ilastik's own features and train again"


def read_selection(project: h5py.File) -> FeatureSelection | None:
    """The features of a project of ilastik 0.6 or later; None where none were chosen yet.

    Raises
    ------
    IlastikError
        If the table is damaged, or chooses features of a plugin.
    """
    group = group_of(project, "FeatureSelections")
    if group is None:
        return None
    ids, scales, matrix = (
        dataset_of(group, name) for name in ("FeatureIds", "Scales", "SelectionMatrix")
    )
    if ids is None or scales is None or matrix is None:
        return None
    return _selection(
        tuple(read_texts(ids)),
        read_array(scales, TABLE_BYTES).astype(float).ravel(),
        read_array(matrix, TABLE_BYTES).astype(bool),
        where_is(group),
    )


def read_old_selection(project: h5py.File) -> FeatureSelection | None:
    """The features of a project of ilastik 0.5; None where none were chosen yet."""
    group = group_of(project, "Project")
    group = None if group is None else group_of(group, "FeatureSelection")
    table = None if group is None else dataset_of(group, "UserSelection")
    if table is None:
        return None
    where = where_is(table)
    chosen = read_array(table, TABLE_BYTES).astype(bool)
    if chosen.ndim != 2 or chosen.shape[0] != 4 or chosen.shape[1] > len(SCALES):
        raise where.error(f"a table of shape {chosen.shape}, not 4 x 7", SAVE_AGAIN)
    chosen = np.pad(chosen, ((0, 0), (0, len(SCALES) - chosen.shape[1])))
    matrix = chosen[[OLD_GROUPS[name] for name in OLD_ORDER]]
    return _selection(OLD_ORDER, np.array(SCALES), matrix, where)


def _selection(
    ids: tuple[str, ...], scales: np.ndarray, matrix: np.ndarray, where: Where
) -> FeatureSelection | None:
    if matrix.shape != (len(ids), len(scales)) or len(scales) > MAX_SCALES:
        raise where.error(
            f"a table of {matrix.shape} for {len(ids)} features at {len(scales)} scales", SAVE_AGAIN
        )
    if not matrix.any():
        return None
    for scale in scales:
        if not (math.isfinite(scale) and 0 < scale <= MAX_SCALE_PX):
            raise where.error(f"a scale of {scale} px; scales lie in (0, {MAX_SCALE_PX:g}]", CHOOSE)
    unknown = [name for name, row in zip(ids, matrix, strict=True) if row.any()]
    unknown = [name for name in unknown if name not in FEATURE_IDS]
    if unknown:
        raise where.error(
            f"features that are not ilastik's own: {', '.join(unknown)[:200]}", CHOOSE
        )
    known = [k for k, name in enumerate(ids) if name in FEATURE_IDS]
    try:
        return FeatureSelection(
            tuple(ids[k] for k in known),
            tuple(float(scale) for scale in scales),
            tuple(tuple(bool(cell) for cell in matrix[k]) for k in known),
        )
    except ValueError as error:
        raise where.error(str(error), CHOOSE) from None
