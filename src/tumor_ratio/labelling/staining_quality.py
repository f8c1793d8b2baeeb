"""How far a slide's ratio can be trusted: what its stain, its nuclei and its threshold say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.white_point import has_glass, slide_overview, white_od
from tumor_ratio.labelling.declaration_checks import diameters_um
from tumor_ratio.labelling.params import RatioLabelParams
from tumor_ratio.labelling.table_ref import TableRef
from tumor_ratio.metrics.positivity import h_score, threshold_sensitivity
from tumor_ratio.metrics.ratios import slide_ratio
from tumor_ratio.steps import step

SENSITIVITY_OD = (0.10, 0.15, 0.20, 0.25, 0.30)
"""Thresholds of the DAB density at which a slide's ratio is given."""
FEW_NUCLEI = 50
USUAL_UM = (4.8, 12.0)
"""Least median and largest area-weighted mean diameter, see `diameters_um`."""
MOST_DAB_BETWEEN = 0.12
MOST_CHANGE = 0.15
"""Of the ratio, between the first and the last of `SENSITIVITY_OD`."""


@step(name="assess_staining", version=1)
def judge_staining(pair: SlidePair, nuclei: TableRef, ratio: RatioLabelParams) -> pd.DataFrame:
    """What speaks for and against one slide's ratio.

    Parameters
    ----------
    pair : with an IHC slide.
    nuclei : its `tumor_ratio.schemas.Nuclei`.
    ratio : as the labels are made with.

    Returns
    -------
    pandas.DataFrame
        One row of `tumor_ratio.schemas.StainingQuality`. `trusted` is False where the reason says
        why the ratio means little.

    Raises
    ------
    SlideError
        If the slide has no IHC section, or it cannot be read.
    """
    if pair.ihc is None:
        raise SlideError(pair.slide_id, "has no ihc section", "leave it out of this step")
    table = nuclei.load()
    overview = slide_overview(pair.ihc)
    changes = threshold_sensitivity(table, SENSITIVITY_OD, min_nuclei=ratio.min_nuclei)
    median_um, mean_um = diameters_um(table["area_um2"].to_numpy(dtype=np.float64))
    row = {
        "slide_id": pair.slide_id,
        "n_nuclei": len(table),
        "n_negative": int((~table["positive"]).sum()),
        "median_diameter_um": median_um,
        "mean_diameter_um": mean_um,
        "white_od": float(white_od(overview).mean()),
        "has_glass": has_glass(overview),
        "dab_between_od": float(table["dab_od_between"].median()),
        "h_score": h_score(table),
        "tumor_ratio": slide_ratio(table, min_nuclei=ratio.min_nuclei),
        **{
            f"ratio_at_{round(100 * od):03d}": value
            for od, value in zip(SENSITIVITY_OD, changes["tumor_ratio"], strict=True)
        },
    }
    reasons = doubts(row)
    return pd.DataFrame([{**row, "trusted": not reasons, "reason": "; ".join(reasons)}])


def doubts(row: dict[str, object]) -> list[str]:
    """Why a slide's ratio means little, one phrase each; empty where nothing speaks against it."""
    found = []
    n_nuclei, n_negative = int(str(row["n_nuclei"])), int(str(row["n_negative"]))
    names = ("median_diameter_um", "mean_diameter_um", "dab_between_od")
    median_um, mean_um, between = (float(str(row[name])) for name in names)
    low, high = (float(str(row[name])) for name in ("ratio_at_030", "ratio_at_010"))
    if n_nuclei < FEW_NUCLEI:
        found.append(f"only {n_nuclei} nuclei")
    elif median_um < USUAL_UM[0] or mean_um > USUAL_UM[1]:
        found.append(
            f"nuclei are {median_um:.1f} um wide in the median, {mean_um:.1f} um in the mean: "
            "check the pixel size"
        )
    if n_nuclei >= FEW_NUCLEI and n_negative < FEW_NUCLEI:
        found.append(
            f"only {n_negative} nuclei without DAB, too few to know hematoxylin's colour by"
        )
    if not row["has_glass"]:
        found.append("no glass on it: densities count from pure white")
    if between > MOST_DAB_BETWEEN:
        found.append(f"DAB between the nuclei as well ({between:.2f}): unspecific staining")
    if high - low > MOST_CHANGE:
        found.append(f"the ratio depends on the threshold: {high:.2f} at 0.1, {low:.2f} at 0.3")
    return found
