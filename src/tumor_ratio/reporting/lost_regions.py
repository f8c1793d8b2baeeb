"""Which regions a comparison on common regions loses, and to whom."""

from __future__ import annotations

import pandas as pd

from tumor_ratio.reporting.html_report import Table


def lost_regions(approaches: pd.DataFrame, n_compared: int) -> pd.DataFrame:
    """Regions that each scored approach lacks, and those that it loses because others lack them.

    Parameters
    ----------
    approaches : `schemas.Approaches`.
    n_compared : labelled test regions that every scored approach predicted.

    Returns
    -------
    DataFrame
        approach, asked, missing, missing_alone, lost_to_others; empty where nothing was lost.
    """
    scored = approaches[approaches["scored"].astype(bool)]
    lost = scored["n_asked"] - n_compared
    table = pd.DataFrame(
        {
            "approach": scored["approach"],
            "asked": scored["n_asked"],
            "missing": scored["n_missing"],
            "missing_alone": scored["n_missing_alone"],
            "lost_to_others": lost - scored["n_missing"],
        }
    )
    return table[lost > 0].reset_index(drop=True)


def lost_regions_note(lost: pd.DataFrame) -> list[str]:
    """What `lost_regions` gives as one sentence; none where nothing was lost."""
    if lost.empty:
        return []
    first = lost.iloc[0]
    total = int(first["missing"] + first["lost_to_others"])
    lacking = "; ".join(
        f"{row.approach} lacks {row.missing} ({row.missing_alone} of them alone) and loses "
        f"{row.lost_to_others} to others"
        for row in lost[lost["missing"] > 0].itertuples()
    )
    others = " Every other approach loses all of them." if (lost["missing"] == 0).any() else ""
    return [
        f"{total} of {first['asked']} admitted test regions with a label are compared for no "
        f"approach, because not every scored one has a ratio there: {lacking}.{others}"
    ]


def lost_regions_table(lost: pd.DataFrame) -> Table:
    """What `lost_regions` gives as a table of the report."""
    header = (
        "approach", "admitted test regions", "without its prediction", "which no other lacks",
        "lost to others", "compared",
    )  # fmt: skip
    rows = [
        (
            str(row["approach"]),
            *(str(row[name]) for name in lost.columns[1:]),
            str(row["asked"] - row["missing"] - row["lost_to_others"]),
        )
        for row in lost.to_dict("records")
    ]
    return Table(header, rows)
