"""Nuclei of a 4096 px Ki-67 tile: one pass in blocks against the study's two full passes; and how
time and memory grow with the area."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.labelling.params import SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.models.segmenter import locate_segmenter, model_folder
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom

TILE_PX = 4096
MPP = 0.25
AREAS = (1, 2, 4)
"""Quarters of the tile that are segmented, to see how time and memory grow."""


def nuclei() -> None:
    with tempfile.TemporaryDirectory() as folder:
        side_um = TILE_PX * MPP
        plan = plan_phantom(
            PhantomParams(n_slides=1, width_um=side_um, height_um=side_um, mpp=MPP, seed=3)
        )[0]
        ihc_path = render_pair(plan, Path(folder)).ihc_path
        ours = [_in_process(_ours, ihc_path, 4) for _ in range(3)]
        study = _in_process(_study, ihc_path, 4)
        mine = min(seconds for seconds, _, _ in ours)
        theirs, their_peak, their_count = study
        name = "nuclei of a 4096 px tile, against the study's two passes"
        detail = (
            f"{mine:.1f} s, {ours[0][2]} nuclei, peak {ours[0][1]:.2f} GB, against {theirs:.1f}"
        )
        detail += f" s, {their_count} objects, peak {their_peak:.2f} GB"
        print(f"{name:<58} {theirs / mine:6.1f} x   ({detail})", flush=True)
        for quarters in AREAS:
            seconds, peak, count = _in_process(_ours, ihc_path, quarters)
            name = f"  {quarters} quarter(s) of the tile"
            detail = f"{count} nuclei, peak {peak:.2f} GB"
            print(f"{name:<58} {seconds / quarters:6.2f} s a quarter ({detail})", flush=True)


def _in_process(work, ihc_path: Path, quarters: int) -> tuple[float, float, int]:
    """Seconds, peak GB and count of a fresh process; loading the network is nobody's time."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (ihc_path, quarters))


def _ours(ihc_path: Path, quarters: int) -> tuple[float, float, int]:
    slide = open_slide(ihc_path, slide_id="tile", mpp=MPP)
    pair = SlidePair("tile", "tile", None, slide)
    half = TILE_PX // 2
    corners = [(0, 0), (half, 0), (0, half), (half, half)][:quarters]
    tiles = regions_table([Region("tile", "", "tile", x, y, half, MPP) for x, y in corners])
    model = locate_segmenter("shipped")
    params = SegmentationParams(margin_um=0)
    warm = regions_table([Region("tile", "", "tile", 0, 0, 256, MPP)])
    segment_slide(pair, warm, "ihc", model, params)
    start = time.perf_counter()
    found = segment_slide(pair, tiles, "ihc", model, params)
    return time.perf_counter() - start, _peak_gb(), len(found)


def _study(ihc_path: Path, quarters: int) -> tuple[float, float, int]:
    """`rgb2hed`, one picture a stain, `normalize`, `predict_instances`: at full resolution."""
    import json

    from csbdeep.utils import normalize
    from skimage.color import hed2rgb, rgb2hed
    from stardist.models import Config2D, StarDist2D

    folder = model_folder("shipped")
    network = StarDist2D(Config2D(**json.loads((folder / "config.json").read_text())), basedir=None)
    network.keras_model.load_weights(str(folder / "weights_best.h5"))
    thresholds = json.loads((folder / "thresholds.json").read_text())
    rgb = open_slide(ihc_path, slide_id="tile", mpp=MPP).read(0, 0, TILE_PX, MPP)
    network.predict_instances(np.zeros((256, 256, 3), np.float32), verbose=False)
    start = time.perf_counter()
    hed = rgb2hed(rgb)
    found = 0
    for channel in (0, 2):
        single = np.zeros_like(hed)
        single[..., channel] = hed[..., channel]
        picture = normalize(1 - hed2rgb(single), 1, 99.8, axis=(0, 1, 2)).astype(np.float32)
        labels, _ = network.predict_instances(
            picture,
            n_tiles=(4, 4, 1),
            prob_thresh=thresholds["prob"],
            nms_thresh=thresholds["nms"],
            show_tile_progress=False,
            verbose=False,
        )
        found += int(labels.max())
    return time.perf_counter() - start, _peak_gb(), found


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
