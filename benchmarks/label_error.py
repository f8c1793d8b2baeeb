"""How far measured ratios are from the truth on phantoms made for it, over the range of ratios.

A third number beside speed and memory: it moves with the nuclei network and the threshold.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.models.segmenter import locate_segmenter
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import PhantomSlide, plan_phantom
from tumor_ratio.phantom.truth import truth_nuclei

N_SLIDES, SIDE_UM, MPP, SEED = 24, 640, 0.5, 31
ENOUGH_NUCLEI = 500
BURDENS = (0.3, 0.7, 1.0, 0.0)
EDGES = (0, 0.05, 0.2, 0.4, 0.6, 1)


def label_error() -> None:
    with tempfile.TemporaryDirectory() as folder:
        compared = pd.concat(_compared(plan, Path(folder)) for plan in _plans())
    known = compared[compared["true"].notna()]
    error = known["found"] - known["true"]
    print(
        f"{len(known)} regions of {ENOUGH_NUCLEI} nuclei or more on {N_SLIDES} phantoms (final, "
        f"seed {SEED}; circular: the network learned from phantoms)\n"
        f"  absolute error: median {error.abs().median():.4f}, 95th percentile "
        f"{error.abs().quantile(0.95):.4f}; mean error {error.mean():+.4f}"
    )
    negative = known["n_true_positive"] == 0
    exact = (known.loc[negative, "found"] == 0).sum()
    print(f"  regions without a positive nucleus: exactly 0 in {exact} of {negative.sum()}")
    for low, high in itertools.pairwise(EDGES):
        own = error[(known["true"] > low) & (known["true"] <= high)]
        if len(own):
            largest = own.abs().max()
            print(
                f"  true ratio {low:g} to {high:g}: {len(own):3d} regions, mean error "
                f"{own.mean():+.4f}, largest {largest:.4f}"
            )


def _plans() -> Iterator[PhantomSlide]:
    """Slides whose tumors label from hardly at all to almost wholly, every fourth without Ki-67."""
    params = PhantomParams(
        family="final", n_slides=N_SLIDES, width_um=SIDE_UM, height_um=SIDE_UM, seed=SEED
    )
    labelling = np.linspace(0.05, 0.97, N_SLIDES)
    for index, plan in enumerate(plan_phantom(params)):
        burden = BURDENS[index % len(BURDENS)]
        if burden == 0:
            yield replace(
                plan, burden=0.0, background_labelling=0.0, follicle_share=0.0, gland_share=0.0
            )
        else:
            share = float(labelling[index * 7 % N_SLIDES])
            yield replace(plan, burden=burden, tumor_labelling=share)


def _compared(plan: PhantomSlide, folder: Path) -> pd.DataFrame:
    """Measured and true ratio of a slide's quarters and of its upper left as a whole."""
    path = render_pair(plan, folder).ihc_path
    slide = open_slide(path, slide_id=plan.slide_id, mpp=MPP)
    pair = SlidePair(plan.slide_id, plan.slide_id, None, slide)
    side = round(SIDE_UM / MPP)
    half = side // 2
    quarters = [(x, y, half) for x in (0, half) for y in (0, half)]
    regions = regions_table(
        [
            Region(plan.slide_id, "", "tile", x, y, size, MPP)
            for x, y, size in (*quarters, (0, 0, side))
        ]
    )
    nuclei = segment_slide(pair, regions, "ihc", locate_segmenter("shipped"), SegmentationParams())
    truth = truth_nuclei(folder / "truth" / plan.slide_id, "ihc")
    truth = truth.assign(x_he_px=truth["x_px"], y_he_px=truth["y_px"])
    found = region_ratios(regions, nuclei, MPP)
    true = region_ratios(regions, truth, MPP, min_nuclei=ENOUGH_NUCLEI)
    return pd.DataFrame(
        {
            "found": found["tumor_ratio"],
            "true": true["tumor_ratio"],
            "n_true_positive": true["n_positive"],
        }
    )
