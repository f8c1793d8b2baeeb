"""A whole slide through the networks of a plain run: images a second, the networks' share, memory.

Beside it a plain loop: the regions stored as PNG, read and computed in float32, one batch after the
other. It is run on a sample and extrapolated.
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks import full_size
from tumor_ratio.approaches.network import architecture_of
from tumor_ratio.datasets.workers import run_tasks
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.inference.predict_slide import predict_regions
from tumor_ratio.inference.region_grid import RegionGrid
from tumor_ratio.inference.slide_model import SlideModel
from tumor_ratio.inference.spread import spread
from tumor_ratio.inference.survey import survey_slide
from tumor_ratio.models.devices import ComputeOptions, resolve_compute
from tumor_ratio.models.normalisation import PatchNormalisation
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import (
    BackboneOptions,
    HeadOptions,
    PoolingOptions,
)
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom

RUNS = (
    ("resnet18", 0.25),
    ("resnet18", 0.5),
    ("efficientnet_lite0", 0.5),
    ("lite0_vit", 0.5),
)
TOKENS = BackboneOptions(pooling=PoolingOptions("transformer", strides=(16,)))
PATCH_PX = 224
SLIDE_MPP = 0.25
SAMPLE = 48
PLAIN_BATCH = 16


def prediction(side_px: str = "") -> None:
    """Predict a slide of the study's size, or of `side_px`: `make bench ARGS=prediction=4096`."""
    folder = Path(tempfile.gettempdir()) / "tumor-ratio-full-size"
    slide = make_slide(folder, int(side_px) if side_px else None)
    print(f"slide of {slide.width_px} x {slide.height_px} px at {slide.mpp} um/px", flush=True)
    for approach, mpp in RUNS:
        (outcome,) = run_tasks({"slide": (predict, (slide, approach, mpp))}, workers=1)
        if outcome.failed:
            raise SystemExit(outcome.message)
        tell(slide, approach, mpp, outcome.value)


def make_slide(folder: Path, side_px: int | None) -> Slide:
    """A phantom's H&E; made once, found again afterwards."""
    if side_px is None:
        he = full_size.make_pair(folder).he
        assert he is not None
        return he
    place = folder / f"he_{side_px}"
    paths = sorted(place.glob("*he*.tif"))
    if not paths:
        side_um = side_px * SLIDE_MPP
        params = PhantomParams(n_slides=1, width_um=side_um, height_um=side_um, mpp=SLIDE_MPP)
        paths = [Path(render_pair(plan_phantom(params)[0], place).he_path)]
    return open_slide(paths[0], slide_id="bench", mpp=SLIDE_MPP)


@dataclass(frozen=True)
class Timed(Predictor):
    """Knows how long the network was at work."""

    seconds: list[float] = field(default_factory=list)

    def predict(self, rgb: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        start = time.perf_counter()
        answers = super().predict(rgb, batch_size=batch_size)
        self.seconds.append(time.perf_counter() - start)
        return answers


def predict(slide: Slide, approach: str, mpp: float) -> dict[str, Any]:
    """Predict in a worker, whose memory is its own."""
    compute = resolve_compute(ComputeOptions())
    network = compute.place(_network(approach)).eval()
    timed = Timed(network, PatchNormalisation(), compute)
    card = {
        "patch_px": PATCH_PX,
        "mpp": mpp,
        "calibration": {"knots": [0.0, 1.0], "values": [0.0, 1.0]},
    }
    timed.predict(np.zeros((32, PATCH_PX, PATCH_PX, 3), np.uint8))  # compiles, allocates
    timed.seconds.clear()
    grid = RegionGrid(PATCH_PX, mpp, PATCH_PX)
    start = time.perf_counter()
    survey = survey_slide(slide, grid.cell_um)
    surveyed = time.perf_counter() - start
    table = predict_regions(slide, SlideModel(timed, card), survey, grid)
    return {
        "seconds": time.perf_counter() - start,
        "survey": surveyed,
        "network": sum(timed.seconds),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "precision": f"{compute.precision} on {compute.device}, {compute.threads} threads",
        "table": table,
    }


def tell(slide: Slide, approach: str, mpp: float, found: dict[str, Any]) -> None:
    table: pd.DataFrame = found["table"]
    n, seconds = int((table["reason"] == "").sum()), found["seconds"]
    reading = seconds - found["survey"]
    print(
        f"{approach}, {mpp} um/px: {n} regions in {seconds:.1f} s ({n / seconds:.1f} images/s; "
        f"{found['precision']}); overview {found['survey']:.1f} s, then the network works for "
        f"{found['network'] / reading:.0%} of the time; peak memory {found['peak_mb']:.0f} MB",
        flush=True,
    )
    sample = table[table["reason"] == ""].iloc[spread(range(n), SAMPLE)]
    rate = plain_rate(slide, sample, approach, mpp)
    print(
        f"    a plain float32 loop over PNG files: {rate:.1f} images/s on {len(sample)} of them, "
        f"so about {n / rate:.0f} s (extrapolated): ours is {n / seconds / rate:.1f} x as fast",
        flush=True,
    )


def plain_rate(slide: Slide, sample: pd.DataFrame, approach: str, mpp: float) -> float:
    """Images a second of a loop as most write it; writing the files is not counted."""
    device = resolve_compute(ComputeOptions()).device
    network = _network(approach).to(device).eval()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.png" for index in range(len(sample))]
        for path, x_px, y_px in zip(paths, sample["x_px"], sample["y_px"], strict=True):
            Image.fromarray(slide.read(x_px, y_px, PATCH_PX, mpp)).save(path)
        start = time.perf_counter()
        with torch.inference_mode():
            for first in range(0, len(paths), PLAIN_BATCH):
                pixels = [np.asarray(Image.open(p)) for p in paths[first : first + PLAIN_BATCH]]
                batch = np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32) / 255
                network(torch.from_numpy(batch).to(device)).cpu()
        return len(paths) / (time.perf_counter() - start)


def _network(approach: str) -> Any:
    backbone = TOKENS if approach == "lite0_vit" else BackboneOptions()
    architecture = architecture_of(approach, backbone, HeadOptions(), PATCH_PX)
    return build_regressor(architecture, backbone, seed=0)
