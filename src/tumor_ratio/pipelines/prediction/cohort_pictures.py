"""What the page of all slides shows of each: a small map that leads to the slide's own page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from tumor_ratio.inference.slide_files import PAGE, SMALL_MAP
from tumor_ratio.reporting.cohort_page import CohortExtras

REPEATED = ("approach", "model", "training_data", "domain_warning", "stamp")


def cohort_extras(
    records: Sequence[Mapping[str, Any]],
    animals: pd.DataFrame,
    groups: pd.DataFrame,
    n_skipped: int,
) -> CohortExtras:
    """Small maps, links, and the tables of animals and groups where the manifest names them.

    Parameters
    ----------
    records : of `summarise_new_slide`; their products lie in a folder a slide, side by side in a
        folder beside the cohort's page.
    animals, groups : of all slides; shown without the columns that every row repeats.
    n_skipped : files that were passed over.
    """
    thumbnails, pages = {}, {}
    for record in records:
        slide_id = str(record["slide_id"])
        for product in map(Path, record["products"]):
            if product.name == SMALL_MAP:
                encoded = base64.b64encode(product.read_bytes()).decode("ascii")
                thumbnails[slide_id] = f"data:image/jpeg;base64,{encoded}"
            elif product.name == PAGE:
                pages[slide_id] = quote("/".join(product.parts[-3:]))
    named = {
        name: any((record.get("meta") or {}).get(name) for record in records)
        for name in ("animal_id", "group")
    }
    return CohortExtras(
        thumbnails,
        pages,
        animals=animals.drop(columns=list(REPEATED), errors="ignore")
        if any(named.values())
        else None,
        groups=groups.drop(columns=list(REPEATED), errors="ignore") if named["group"] else None,
        n_skipped=n_skipped,
    )
