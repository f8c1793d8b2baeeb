"""Small labelled images of nuclei, to train a nuclei segmenter on: development phantoms only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tumor_ratio.phantom.factors import LABELLING, TRAINING
from tumor_ratio.phantom.fields import tissue_fields
from tumor_ratio.phantom.plan import PhantomSlide, of_section, section_look
from tumor_ratio.phantom.render import section_painter
from tumor_ratio.phantom.sections import cut_section, section_transform
from tumor_ratio.phantom.streams import stream, stream_key
from tumor_ratio.phantom.volume import tissue_volume

FAMILY = "development"
VISIBLE_SHARE = 0.2
"""A nucleus is labelled where it fills at least this share of the section's thickness."""
SMALLEST_UM2 = 7.0
_MARGIN_UM = 24.0


def labelled_tile(
    seed: int, stain: str, size_px: int = 256, mpp: float = 0.5
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """An image of one stain and its nuclei, from a tissue volume of its own.

    Content, stain, blur and noise vary from seed to seed over the training ranges, a little beyond
    them for stain and blur; about one tile in six shows the tissue's edge.

    Parameters
    ----------
    seed : chooses the tile; equal seeds give equal tiles, and no slide shares their streams.
    stain : `he` or `ihc`.
    size_px, mpp : side in pixels, micrometres per pixel.

    Returns
    -------
    rgb : (size_px, size_px, 3) uint8, without JPEG artefacts.
    labels : (size_px, size_px) int32, 0 between nuclei, 1, 2, ... for the visible profiles.

    Raises
    ------
    ValueError
        For any other stain.
    """
    if stain not in ("he", "ihc"):
        raise ValueError(f"stain is 'he' or 'ihc', not {stain!r}")
    plan = _tile_plan(seed, stain, size_px, mpp)
    tissue = tissue_fields(plan)
    volume = tissue_volume(plan, tissue)
    transform = section_transform(plan)
    section = cut_section(plan, tissue, volume, stain, transform)
    painter = section_painter(plan, tissue, section, transform)
    start = round(_MARGIN_UM / mpp)
    rgb, rows = painter.labelled_block(start, start, size_px, size_px, VISIBLE_SHARE)
    numbers, labels = np.unique(rows, return_inverse=True)
    labels = labels.reshape(rows.shape)
    too_small = np.bincount(labels.ravel()) * mpp**2 < SMALLEST_UM2
    kept = ~too_small & (numbers > 0)
    renumbered = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return rgb, renumbered[labels]


def _tile_plan(seed: int, stain: str, size_px: int, mpp: float) -> PhantomSlide:
    name = f"tile/{stain}/{seed}"
    rng = stream(stream_key(FAMILY, seed, name), "tile", "plan")
    factors = {key: float(span.at(np.array(rng.random()))) for key, span in TRAINING.items()}
    looks = {}
    shared: dict[str, Any] = {**of_section("", factors)}
    for section in ("he", "ihc"):
        own = of_section(section, factors)
        own["hematoxylin"] *= rng.uniform(0.75, 1.25)
        own["second"] *= rng.uniform(0.8, 1.2)
        own["blur_um"] *= rng.uniform(0.85, 1.4)
        looks[section] = section_look(section, own, jpeg_quality=100)
    side_px = size_px + 2 * round(_MARGIN_UM / mpp)
    share = rng.random()
    plan = PhantomSlide(
        family=FAMILY,
        seed=seed,
        index=0,
        slide_id=name,
        case_id=name,
        width_px=side_px,
        height_px=side_px,
        mpp=mpp,
        tile_px=256,
        gap_um=4.0,
        burden=float(rng.choice([0.0, 0.2, 0.5, 0.9])),
        tumor_labelling=float(LABELLING.at(np.array(rng.random()))),
        expected_ratio=float("nan"),
        he=looks["he"],
        ihc=looks["ihc"],
        **shared,
    )
    return replace(
        plan,
        tissue_share=0.7 if share < 0.17 else 1.0,
        cellularity=plan.cellularity * rng.uniform(0.7, 1.4),
        nest_um=60.0,
        follicle_share=float(rng.choice([0.0, 0.25])),
        rotation_deg=0.0,
        shift_x_um=0.0,
        shift_y_um=0.0,
        displacement_um=0.0,
    )
