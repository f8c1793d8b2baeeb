"""From sections to animals, and from animals to groups: the animal is the unit.

Areas on sections are profiles of what lies in the organ. Their sums over an animal's sections give
a share of the organ, and with systematic sections a volume (Cavalieri); a focus that several
sections cut has a profile on each, so profiles are never called foci here.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

NEEDED = ("slide_id", "animal_id", "group", "organ_mm2", "stained_mm2", "rich_mm2", "focus_mm2")
OPTIONAL = ("block", "section_index", "section_spacing_um", "n_foci")
MEASURES = (
    "focus_share_of_organ",
    "rich_share_of_organ",
    "rich_share_of_tissue",
    "focus_mm3",
    "organ_mm3",
    "profiles_per_mm2",
)
"""What is summed up by group."""

_SAME_SPACING = 1e-6
_ONE_BLOCK = "sections of several blocks: spacing holds within a block"


def animals_table(slides: pd.DataFrame) -> pd.DataFrame:
    """One row an animal.

    Parameters
    ----------
    slides : a row a section: slide_id, animal_id, group, organ_mm2, stained_mm2, rich_mm2 (tissue
        in rich cells), focus_mm2 (outlines of foci); where known block, section_index (counted
        along the block, one step a section that was taken), section_spacing_um (between them) and
        n_foci (profiles on the section). A row without an animal_id is an animal of its own, named
        by its slide. A section with an undefined area makes its animal's sums undefined.

    Returns
    -------
    DataFrame
        Sorted by group and animal: animal_id, group, n_sections, n_undefined (sections without
        organ or focus area), organ_mm2, stained_mm2, rich_mm2, focus_mm2 (sums), the shares as sums
        over sums, focus_mm3 and organ_mm3 by Cavalieri with `volume_reason` where they are NaN,
        n_profiles and profiles_per_mm2 of organ. Undefined is NaN, never 0.

    Raises
    ------
    ValueError
        If a column is missing, a slide is listed twice, or an animal is in two groups.
    """
    rows = _checked(slides)
    found = [
        _animal(str(animal), sections) for animal, sections in rows.groupby("animal_id", sort=True)
    ]
    table = pd.DataFrame(found, columns=_ANIMAL_COLUMNS)
    return table.sort_values(["group", "animal_id"], kind="stable", ignore_index=True)


def groups_table(animals: pd.DataFrame) -> pd.DataFrame:
    """One row a group and measure: tidy, ready for a statistics program.

    Parameters
    ----------
    animals : from `animals_table`.

    Returns
    -------
    DataFrame
        group, measure, n_animals (with a value), n_undefined (animals without), mean, sd (n - 1;
        NaN with one animal), median. No test is made: that is planned with the experiment.
    """
    rows = []
    for group, members in animals.groupby("group", sort=True):
        for measure in MEASURES:
            values = members[measure].to_numpy(dtype=np.float64)
            known = values[np.isfinite(values)]
            rows.append(
                {
                    "group": group,
                    "measure": measure,
                    "n_animals": len(known),
                    "n_undefined": len(values) - len(known),
                    "mean": float(known.mean()) if len(known) else math.nan,
                    "sd": float(known.std(ddof=1)) if len(known) > 1 else math.nan,
                    "median": float(np.median(known)) if len(known) else math.nan,
                }
            )
    columns = ["group", "measure", "n_animals", "n_undefined", "mean", "sd", "median"]
    return pd.DataFrame(rows, columns=columns)


def cavalieri_reason(sections: pd.DataFrame) -> str:
    """Why an animal's sections give no volume; empty where they do.

    Cavalieri's estimator, spacing times the sum of areas, needs sections at a constant distance
    through the whole organ. That they begin at random and reach both ends cannot be seen here.

    Parameters
    ----------
    sections : an animal's rows, with the columns of `animals_table`.
    """
    if len(sections) < 2:
        return "one section has no spacing"
    if sections["block"].nunique(dropna=False) > 1:
        return _ONE_BLOCK
    spacing = sections["section_spacing_um"].to_numpy(dtype=np.float64)
    index = sections["section_index"].to_numpy(dtype=np.float64)
    if not np.isfinite(spacing).all():
        return "section_spacing_um is not given for every section"
    if not (spacing > 0).all() or np.ptp(spacing) > _SAME_SPACING * spacing.max():
        return "section_spacing_um is not one positive number"
    if not np.isfinite(index).all():
        return "section_index is not given for every section"
    if len(set(index)) < len(index):
        return "two sections have the same section_index"
    if not np.array_equal(np.sort(index) - index.min(), np.arange(len(index))):
        return "section_index has gaps: sections are missing"
    return ""


_ANIMAL_COLUMNS = [
    "animal_id",
    "group",
    "n_sections",
    "n_undefined",
    "organ_mm2",
    "stained_mm2",
    "rich_mm2",
    "focus_mm2",
    "focus_share_of_organ",
    "rich_share_of_organ",
    "rich_share_of_tissue",
    "focus_mm3",
    "organ_mm3",
    "volume_reason",
    "n_profiles",
    "profiles_per_mm2",
]


def _animal(animal_id: str, sections: pd.DataFrame) -> dict[str, object]:
    names = ("organ_mm2", "stained_mm2", "rich_mm2", "focus_mm2", "n_foci")
    organ, stained, rich, focus, profiles = (
        float(sections[name].sum(skipna=False)) for name in names
    )
    reason = cavalieri_reason(sections)
    if not reason and math.isnan(organ + focus):
        reason = "a section has no organ or focus area"
    spacing_mm = math.nan if reason else float(sections["section_spacing_um"].iloc[0]) / 1000
    undefined = sections[["organ_mm2", "focus_mm2"]].isna().any(axis=1)
    return {
        "animal_id": animal_id,
        "group": sections["group"].iloc[0],
        "n_sections": len(sections),
        "n_undefined": int(undefined.sum()),
        "organ_mm2": organ,
        "stained_mm2": stained,
        "rich_mm2": rich,
        "focus_mm2": focus,
        "focus_share_of_organ": _share(focus, organ),
        "rich_share_of_organ": _share(rich, organ),
        "rich_share_of_tissue": _share(rich, stained),
        "focus_mm3": spacing_mm * focus,
        "organ_mm3": spacing_mm * organ,
        "volume_reason": reason,
        "n_profiles": profiles,
        "profiles_per_mm2": _share(profiles, organ),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _checked(slides: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in NEEDED if name not in slides]
    if missing:
        raise ValueError(f"slides lack the columns {', '.join(missing)}")
    rows = slides.assign(**{name: np.nan for name in OPTIONAL if name not in slides})
    twice = rows.loc[rows["slide_id"].duplicated(), "slide_id"]
    if len(twice):
        raise ValueError(f"slide {twice.iloc[0]} is listed twice: its areas would count twice")
    unnamed = rows["animal_id"].isna() | (rows["animal_id"].astype(str).str.strip() == "")
    rows["animal_id"] = rows["animal_id"].astype(object).where(~unnamed, rows["slide_id"])
    rows["animal_id"] = rows["animal_id"].astype(str)
    rows["group"] = rows["group"].astype(object).where(rows["group"].notna(), "").astype(str)
    groups = rows.groupby("animal_id")["group"].nunique()
    if (groups > 1).any():
        raise ValueError(f"animal {groups.index[groups > 1][0]} is in two groups")
    return rows
