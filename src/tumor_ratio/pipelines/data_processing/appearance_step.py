"""How one slide's H&E looks, as one step."""

from __future__ import annotations

from typing import Any

from tumor_ratio.imaging.appearance import slide_appearance
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.steps import step


@step(name="describe_appearance", version=2)
def describe_slide(slide: Slide) -> dict[str, Any]:
    """Give `Appearance.to_record()` of an H&E slide.

    Raises
    ------
    SlideError
        If it cannot be read.
    """
    return slide_appearance(slide).to_record()
