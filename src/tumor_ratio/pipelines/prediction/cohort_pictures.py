"""What the page of all slides shows of each: a small map that leads to the slide's own page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tumor_ratio.inference.slide_files import PAGE, SMALL_MAP
from tumor_ratio.reporting.cohort_page import CohortExtras


def cohort_extras(records: Sequence[Mapping[str, Any]]) -> CohortExtras:
    """Small maps and links.

    Parameters
    ----------
    records : of `summarise_new_slide`; their products lie in a folder a slide, side by side in a
        folder beside the cohort's page.
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
    return CohortExtras(thumbnails, pages)
