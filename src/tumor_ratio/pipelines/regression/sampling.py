"""Which patches train and which validate; test slides never enter."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from tumor_ratio.errors import ConfigurationError
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
) -> pd.DataFrame:
    """Patches that may be learned from.

    Parameters
    ----------
    patches : `schemas.Regions`.
    pair_quality : `schemas.PairQuality`; only patches of kept tiles are taken.
    ratio_labels : `schemas.RatioLabels`; only patches with a ratio by `label_method` are taken.
    folds : `schemas.Folds`; only training and validation slides of the first fold of `protocol`.

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
    split = _splits(folds, protocol)
    labels = ratio_labels.loc[
        ratio_labels["label_method"] == label_method, ["region_id", "tumor_ratio", "weight"]
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


def _splits(folds: pd.DataFrame, protocol: str) -> dict[str, str]:
    own = folds[(folds["protocol"] == protocol) & (folds["repeat"] == 0) & (folds["fold"] == 0)]
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
