"""Files of one predicted slide that people open: maps, an overlay, shapes for QuPath, a page."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from tumor_ratio.atomic import write_text, written_whole
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.overlay_file import slide_below, write_overlay
from tumor_ratio.inference.summary import SlideSummary
from tumor_ratio.inference.survey import SlideSurvey
from tumor_ratio.reporting.focus_outline import (
    FocusOutline,
    close_up_rings,
    close_up_window,
    focus_outlines,
)
from tumor_ratio.reporting.geojson import write_collection
from tumor_ratio.reporting.heat_map import draw_map, painted_map, write_map
from tumor_ratio.reporting.heat_overlay import map_overlay
from tumor_ratio.reporting.html_report import Picture, render_report
from tumor_ratio.reporting.images import figure_photo_uri, photo_uri
from tumor_ratio.reporting.outlined_picture import outlined_picture
from tumor_ratio.reporting.region_geojson import cell_features, focus_features, region_features
from tumor_ratio.reporting.slide_page import SlidePictures, slide_page

PAGE: Final = "index.html"
HEAT_MAP: Final = "heat_map.png"
INTERVAL_MAP: Final = "interval_width.png"
OVERLAY: Final = "heat_map.tif"
SHAPES: Final = "regions.geojson"
SMALL_MAP: Final = "small_map.jpg"

CLOSE_UPS: Final = 6
CLOSE_UP_PX: Final = 320
SMALL_PX: Final = 360


@dataclass(frozen=True)
class FileOptions:
    """What is written of a slide.

    Parameters
    ----------
    overlay : the map as a pyramidal TIFF.
    overlay_mpp : its micrometres a pixel.
    shapes : regions and foci as GeoJSON. Overlapping regions are written as the cells they make.
    """

    overlay: bool = True
    overlay_mpp: float = 4.0
    shapes: bool = True


def write_slide_files(
    slide: Slide,
    survey: SlideSurvey,
    summary: SlideSummary,
    folder: Path,
    options: FileOptions | None = None,
) -> list[Path]:
    """Write everything that is to be looked at of one slide.

    Parameters
    ----------
    slide, survey : the slide and its overview.
    summary : of `summarise_slide`.
    folder : made if absent. Files of an earlier prediction are replaced or removed.
    options : what is written.

    Returns
    -------
    list of Path
        The files, the page first.

    Raises
    ------
    SlideError
        If the slide cannot be read where the overlay shows it.
    DiskFullError
        If there is no room.
    """
    wanted = options or FileOptions()
    record, stamps = summary.record, summary.record["stamps"]
    labels = summary.foci.labels
    foci = focus_outlines(record["ki67_rich_foci"]["foci"])
    folder.mkdir(parents=True, exist_ok=True)
    for name in (PAGE, HEAT_MAP, INTERVAL_MAP, OVERLAY, SHAPES, SMALL_MAP):
        (folder / name).unlink(missing_ok=True)

    heat = draw_map(summary.field, survey.rgb, survey.px, stamps=stamps, labels=labels)
    write_map(folder / HEAT_MAP, heat, stamps)
    made = [folder / HEAT_MAP]
    width: Figure | None = None
    if np.isfinite(summary.field.lower).any():
        width = draw_map(
            summary.field, survey.rgb, survey.px, "width", stamps=stamps, labels=labels
        )
        write_map(folder / INTERVAL_MAP, width, stamps)
        made.append(folder / INTERVAL_MAP)
    if wanted.overlay:
        overlay = map_overlay(
            summary.field,
            (slide.width_px, slide.height_px),
            stamps=stamps,
            mpp=max(wanted.overlay_mpp, slide.mpp),
            labels=labels,
            below=slide_below(slide, max(wanted.overlay_mpp, slide.mpp)),
        )
        write_overlay(folder / OVERLAY, overlay)
        made.append(folder / OVERLAY)
    if wanted.shapes:
        overlapping = record["cell_um"] < record["region_um"] * (1 - 1e-9)
        tiles = (
            cell_features(summary.field)
            if overlapping
            else region_features(summary.regions, slide.mpp)
        )
        write_collection(folder / SHAPES, chain(tiles, focus_features(foci)), stamps)
        made.append(folder / SHAPES)
    pictures = SlidePictures(
        heat_map=figure_photo_uri(heat),
        interval_map=figure_photo_uri(width) if width else "",
        close_ups=close_ups(slide, foci),
    )
    with written_whole(folder / SMALL_MAP) as unfinished:
        Image.fromarray(small_map(survey, summary)).save(unfinished, format="JPEG", quality=85)
    write_text(folder / PAGE, render_report(slide_page(record, pictures)))
    return [folder / PAGE, *made, folder / SMALL_MAP]


def small_map(survey: SlideSurvey, summary: SlideSummary) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: the map without words, for the page of a cohort."""
    painted, _ = painted_map(summary.field, survey.rgb, survey.px, labels=summary.foci.labels)
    factor = SMALL_PX / max(painted.shape[:2])
    height, width = (max(1, round(side * factor)) for side in painted.shape[:2])
    small = Image.fromarray(painted).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small)


def close_ups(slide: Slide, foci: list[FocusOutline]) -> list[Picture]:
    """The largest foci on H&E, outlined; those that cannot be read are left out."""
    pictures = []
    for focus in foci[:CLOSE_UPS]:
        x_px, y_px, side = close_up_window(focus)
        try:
            rgb = slide.read(x_px, y_px, CLOSE_UP_PX, side * slide.mpp / CLOSE_UP_PX)
        except SlideError:
            continue
        rings = close_up_rings(focus, CLOSE_UP_PX)
        outlined = outlined_picture(rgb, rings, np.ones(len(rings), dtype=bool))
        caption = f"focus {focus.focus_id}, {focus.equivalent_diameter_um:.0f} µm across"
        pictures.append(Picture(photo_uri(outlined), caption))
    return pictures
