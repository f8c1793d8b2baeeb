"""Renders a planned slide pair to files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tumor_ratio.atomic import folder_written_whole, remove_unfinished
from tumor_ratio.imaging.pyramid import BLOCK_TILES, write_pyramid
from tumor_ratio.imaging.transform import Transform
from tumor_ratio.phantom.fields import tissue_fields
from tumor_ratio.phantom.plan import PhantomSlide
from tumor_ratio.phantom.render import section_painter
from tumor_ratio.phantom.sections import cut_section, section_transform
from tumor_ratio.phantom.stress_sections import stressed_section, stressed_tissue
from tumor_ratio.phantom.truth import SECTIONS, write_truth
from tumor_ratio.phantom.volume import tissue_volume


@dataclass(frozen=True)
class PhantomFiles:
    """A rendered pair; `transform` maps H&E to IHC micrometres."""

    he_path: Path
    ihc_path: Path
    transform: Transform
    truth_dir: Path


def render_pair(
    plan: PhantomSlide, folder: Path, *, block_tiles: int = BLOCK_TILES
) -> PhantomFiles:
    """Render both sections and their truth.

    Writes `<slide_id>_he.tif`, `<slide_id>_ihc.tif` and, in a folder of its own, the truth. Each
    appears under its name only when whole, so that a killed process leaves no half file behind.

    Parameters
    ----------
    plan : one slide of `plan_phantom`.
    folder : made where it does not exist.
    block_tiles : width of the blocks, in TIFF tiles; no effect on the files.

    Raises
    ------
    DiskFullError
        If there is no room for the files.
    """
    folder = Path(folder)
    truth_dir = folder / "truth" / plan.slide_id
    for place in (folder, truth_dir.parent):
        remove_unfinished(place)
    tissue = tissue_fields(plan)
    volume = tissue_volume(plan, tissue)
    transform = section_transform(plan)
    cut = (cut_section(plan, tissue, volume, name, transform) for name in SECTIONS)
    sections = tuple(stressed_section(plan, tissue, section, transform) for section in cut)

    with folder_written_whole(truth_dir) as unfinished:
        write_truth(unfinished, plan, stressed_tissue(plan, tissue), sections, transform)

    paths = {}
    for section in sections:
        look = plan.he if section.name == "he" else plan.ihc
        paths[section.name] = folder / f"{plan.slide_id}_{section.name}.tif"
        write_pyramid(
            paths[section.name],
            section_painter(plan, tissue, section, transform).block,
            width_px=plan.width_px,
            height_px=plan.height_px,
            mpp=plan.mpp,
            tile_px=plan.tile_px,
            jpeg_quality=look.jpeg_quality,
            block_tiles=block_tiles,
        )
    return PhantomFiles(paths["he"], paths["ihc"], transform, truth_dir)
