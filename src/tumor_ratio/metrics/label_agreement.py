"""How far each way to label a region is from the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tumor_ratio.label_methods import NETWORK_METHODS

CIRCULAR = "circular, if the network learned from phantoms as the shipped one did"
SYNTHETIC = "synthetic slides"
EXPERTS = "annotated tiles"


def method_summary(comparison: pd.DataFrame) -> pd.DataFrame:
    """Errors, counts and cost by source and method.

    Parameters
    ----------
    comparison : source ("annotated" or "phantom"), label_method, tumor_ratio, true_ratio,
        n_positive, n_negative, true_positive, true_negative, seconds_per_mpx; one row a region and
        method.

    Returns
    -------
    pandas.DataFrame
        source, label_method, evidence, n_regions (with both ratios), n_undefined, mae, bias,
        largest_error of the ratio; positives and negatives found over true ones, pooled over the
        regions where both are known; seconds_per_mpx (median). In the order of first appearance.
    """
    rows = []
    for (source, method), own in comparison.groupby(["source", "label_method"], sort=False):
        known = own[own["true_ratio"].notna()]
        error = (known["tumor_ratio"] - known["true_ratio"]).dropna()
        rows.append(
            {
                "source": source,
                "label_method": method,
                "evidence": _evidence(str(source), str(method)),
                "n_regions": len(error),
                "n_undefined": len(known) - len(error),
                "mae": error.abs().mean(),
                "bias": error.mean(),
                "largest_error": error.abs().max(),
                "positives_found": _pooled(own, "positive"),
                "negatives_found": _pooled(own, "negative"),
                "seconds_per_mpx": own["seconds_per_mpx"].median(),
            }
        )
    return pd.DataFrame(rows)


def _pooled(own: pd.DataFrame, state: str) -> float:
    both = own[[f"n_{state}", f"true_{state}"]].dropna()
    true = both[f"true_{state}"].sum()
    return float(both[f"n_{state}"].sum() / true) if true > 0 else float(np.nan)


def _evidence(source: str, method: str) -> str:
    if source != "phantom":
        return EXPERTS
    return CIRCULAR if method in NETWORK_METHODS else SYNTHETIC
