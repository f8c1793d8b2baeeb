"""Which patches train and which validate; test slides never enter."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.metrics.folds import FIRST, FoldKey, members_of
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.pipelines.regression.params import SamplingParams

LEARNING_SPLITS = ("train", "validation")


def labelled_patches(
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    label_method: str,
    protocol: str,
    key: FoldKey = FIRST,
) -> pd.DataFrame:
    """Patches that may be learned from.

    Parameters
    ----------
    patches : `schemas.Regions`.
    pair_quality : `schemas.PairQuality`; only patches of kept tiles are taken.
    ratio_labels : `schemas.RatioLabels`; only patches with a ratio by `label_method` are taken.
    folds : `schemas.Folds`; only training and validation slides of the fold `key` of
        `protocol`, by default its first.

    Returns
    -------
    DataFrame
        `schemas.TrainingPatches`

    Raises
    ------
    ConfigurationError
        If the label method or the protocol does not occur, or if no training or no validation
        patch is left; the message counts what went where.
    """
    split = _splits(folds, protocol, key)
    labels = ratio_labels.loc[
        ratio_labels["label_method"] == label_method,
        ["region_id", "tumor_ratio", "weight", "lower", "upper"],
    ]
    if labels.empty:
        known = ", ".join(sorted(ratio_labels["label_method"].unique())) or "none"
        raise ConfigurationError(
            f"no ratio labels by the method '{label_method}'",
            f"set `label_method` to one of those measured: {known}",
        )
    kept = pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"]
    own = patches[patches["tile_id"].isin(kept)].merge(labels, on="region_id")
    own = own[own["tumor_ratio"].notna()]
    own = own.assign(split=own["slide_id"].map(split))
    chosen = own[own["split"].isin(LEARNING_SPLITS)].reset_index(drop=True)
    for name in LEARNING_SPLITS:
        if not (chosen["split"] == name).any():
            raise ConfigurationError(
                f"no {name} patches: of {len(patches)} patches {len(own)} lie in kept tile pairs "
                f"and have a ratio, {len(chosen)} of them on training or validation slides",
                "add slides, or loosen tile_selection, pair_quality or ratio_labels",
            )
    return chosen


def sample_patches(table: pd.DataFrame, params: SamplingParams) -> pd.DataFrame:
    """Draw each slide's quota of patches.

    Parameters
    ----------
    table : from `labelled_patches`.
    params : how many.

    Returns
    -------
    DataFrame
        Rows of `table`, in its order. A slide's draw depends on the seed and on the slide alone,
        not on what other slides there are.
    """
    if table.empty:
        return table
    parts = [
        _sample_slide(rows, params, _generator(params.seed, str(slide_id)))
        for slide_id, rows in table.groupby("slide_id", sort=False)
    ]
    return table.loc[np.sort(np.concatenate(parts))].reset_index(drop=True)


MIN_PART_NUCLEI = 5
"""A part with fewer nuclei teaches nothing. Parts are smaller than any region that a ratio is
reported of, and their ratios are nothing but teaching material, weighted by the nuclei."""


def parts_of_patches(
    patches: pd.DataFrame, nuclei: pd.DataFrame, frame_mpp: float, n: int
) -> pd.DataFrame:
    """Ratios of the n x n parts of a slide's patches.

    Parameters
    ----------
    patches : rows of `schemas.TrainingPatches`, all of one slide.
    nuclei : the slide's IHC nuclei (`schemas.Nuclei`).
    frame_mpp : micrometres per level-0 pixel of the frame that the patches live in.
    n : parts along each side.

    Returns
    -------
    DataFrame
        `schemas.TrainingParts`: patches in their order, parts by row and column.

    Raises
    ------
    ConfigurationError
        If the patches' side is no multiple of n.
    """
    if (patches["size_px"] % n).any():
        raise ConfigurationError(
            f"patches of {patches['size_px'].iloc[0]} px cannot be cut into {n} x {n} parts",
            "set `loss.parts` to a divisor of `patches.size_px`, or to 0",
        )
    parts = patches.loc[patches.index.repeat(n * n)].reset_index(drop=True)
    row, column = (np.tile(index.ravel(), len(patches)) for index in np.indices((n, n)))
    side = parts["size_px"] // n
    step = side * parts["mpp"] / frame_mpp
    squares = parts.assign(
        size_px=side,
        x_px=(parts["x_px"] + column * step).round().astype(int),
        y_px=(parts["y_px"] + row * step).round().astype(int),
    )
    found = region_ratios(squares, nuclei, frame_mpp, min_nuclei=MIN_PART_NUCLEI)
    defined = found["tumor_ratio"].notna()
    return pd.DataFrame(
        {
            "region_id": parts["region_id"],
            "row": row,
            "column": column,
            "tumor_ratio": found["tumor_ratio"].fillna(0.0),
            "weight": found["n_nuclei"].where(defined, 0).astype(float),
        }
    )


def _splits(folds: pd.DataFrame, protocol: str, key: FoldKey) -> dict[str, str]:
    own = members_of(folds, protocol, key)
    if own.empty:
        known = ", ".join(sorted(folds["protocol"].unique()))
        raise ConfigurationError(
            f"no slides are split by the protocol '{protocol}'",
            f"set `protocol` to one of: {known}"
            if known
            else "training needs at least three cases with H&E, IHC and labelled patches",
        )
    return dict(zip(own["slide_id"], own["split"], strict=True))


def _sample_slide(
    rows: pd.DataFrame, params: SamplingParams, generator: np.random.Generator
) -> np.ndarray:
    """Index labels of a slide's drawn rows."""
    if rows["split"].iloc[0] == "validation":
        return _draw(rows.index.to_numpy(), params.validation_per_slide, generator)
    if params.per_bin is None:
        return rows.index.to_numpy()
    edges = params.upper_edges
    bins = np.minimum(np.digitize(rows["tumor_ratio"], edges), len(edges) - 1)
    return np.concatenate(
        [
            _draw(rows.index.to_numpy()[bins == number], quota, generator)
            for number, quota in enumerate(params.per_bin)
        ]
    )


def _draw(labels: np.ndarray, quota: int | None, generator: np.random.Generator) -> np.ndarray:
    if quota is None or len(labels) <= quota:
        return labels
    return generator.choice(labels, quota, replace=False)


def _generator(seed: int, slide_id: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(slide_id.encode())])
