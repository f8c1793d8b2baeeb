"""True ratios of a phantom's regions, from the nuclei that its sections cut."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.phantom.truth import truth_nuclei
from tumor_ratio.steps import step


@step(name="measure_truths", version=1)
def measure_slide_truths(
    truth_dir: Path, frame_mpp: float, regions: pd.DataFrame, surroundings: float
) -> pd.DataFrame:
    """True ratios of one phantom pair's regions on both sections.

    Parameters
    ----------
    truth_dir : the pair's sidecar folder.
    frame_mpp : micrometres per level-0 pixel of the frame.
    regions : `schemas.Regions` of the pair.
    surroundings : side of the wider square, in sides of the region.

    Returns
    -------
    DataFrame
        `schemas.RegionTruths`; NaN only where a region holds no nucleus at all.
    """
    he, ihc = (truth_nuclei(truth_dir, section) for section in ("he", "ihc"))
    own_he = region_ratios(regions, he, frame_mpp, min_nuclei=1)
    own_ihc = region_ratios(regions, ihc, frame_mpp, min_nuclei=1)
    around = region_ratios(widened(regions, frame_mpp, surroundings), he, frame_mpp, min_nuclei=1)
    return pd.DataFrame(
        {
            "region_id": regions["region_id"].to_numpy(),
            "slide_id": regions["slide_id"].to_numpy(),
            "he_true": own_he["tumor_ratio"].to_numpy(),
            "he_n_nuclei": own_he["n_nuclei"].to_numpy(),
            "he_nuclei_um2": own_he["nuclei_um2"].to_numpy(),
            "he_true_around": around["tumor_ratio"].to_numpy(),
            "he_n_around": around["n_nuclei"].to_numpy(),
            "ihc_true": own_ihc["tumor_ratio"].to_numpy(),
            "ihc_n_nuclei": own_ihc["n_nuclei"].to_numpy(),
            "ihc_nuclei_um2": own_ihc["nuclei_um2"].to_numpy(),
        }
    )


def widened(regions: pd.DataFrame, frame_mpp: float, factor: float) -> pd.DataFrame:
    """Squares with the regions' centres (to a level-0 pixel) and `factor` times their side."""
    size_px = (regions["size_px"] * factor).round().astype("int64")
    margin_px = (size_px - regions["size_px"]) * regions["mpp"] / frame_mpp / 2
    return regions.assign(
        x_px=(regions["x_px"] - margin_px).round().astype("int64"),
        y_px=(regions["y_px"] - margin_px).round().astype("int64"),
        size_px=size_px,
    )
