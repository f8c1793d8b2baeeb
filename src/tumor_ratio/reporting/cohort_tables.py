"""What went into a comparison and what did not, as tables of the report."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from tumor_ratio.reporting.html_report import Table
from tumor_ratio.reporting.without_paths import without_paths

_MEASURED = r"-?\d+(?:\.\d+)?%? (?=[<>]|under )"

SPLITS = ("train", "validation", "test")


def split_table(patches: pd.DataFrame, kept_tiles: pd.Series, folds: pd.DataFrame) -> Table:
    """Cases, slides and regions by part of the split; slides outside any part last.

    Parameters
    ----------
    patches : `schemas.Regions`.
    kept_tiles : region ids of the kept tiles.
    folds : `schemas.Folds`; the first protocol, repeat and fold counts.
    """
    members = folds.drop_duplicates("slide_id").set_index("slide_id")
    split = patches["slide_id"].map(members["split"]).fillna("in no part")
    selected = patches["tile_id"].isin(kept_tiles)
    rows = []
    for name in (*SPLITS, "in no part"):
        own = patches[split == name]
        listed = members[members["split"] == name]
        slides = len(listed) if name in SPLITS else own["slide_id"].nunique()
        if slides == 0 and name not in SPLITS:
            continue
        cases = str(listed["case_id"].nunique()) if name in SPLITS else "-"
        counts = (slides, len(own), int(selected[split == name].sum()))
        rows.append((name, cases, *map(str, counts)))
    return Table(("part", "cases", "slides", "admitted regions", "selected regions"), rows)


def tile_table(tile_quality: pd.DataFrame, pair_quality: pd.DataFrame) -> Table:
    """Tiles kept, and those left out by reason, the most frequent reason first.

    A tile with several reasons counts under each; the number measured is dropped from a reason, the
    limit stays.

    Parameters
    ----------
    tile_quality : `schemas.TileQuality`; its reason counts for tiles rejected by their images.
    pair_quality : `schemas.PairQuality`; its reason counts for tiles rejected by their nuclei.
    """
    kept = pair_quality["kept"].astype(bool)
    judged = set(pair_quality["region_id"])
    early = tile_quality[~tile_quality["region_id"].isin(judged)]
    reasons = pd.concat([early["reason"], pair_quality.loc[~kept, "reason"]]).astype(str)
    single = reasons[reasons != ""].str.split("; ").explode()
    counts = single.str.replace(_MEASURED, "", regex=True).value_counts()
    rows = [("kept", str(int(kept.sum())))]
    rows += [(str(reason), str(count)) for reason, count in counts.items()]
    return Table(("tiles", "number"), rows)


def failures_table(failures: pd.DataFrame, known: Collection[str] = ()) -> Table:
    """Slides that a step could not finish, with the reason, which names no file.

    Parameters
    ----------
    failures : `schemas.Failures`.
    known : paths of the cohort's files.
    """
    rows = [
        (str(row.slide_id), str(row.step), without_paths(str(row.message), known))
        for row in failures.itertuples()
    ]
    return Table(("slide", "step", "what happened"), rows, text_columns=3)
