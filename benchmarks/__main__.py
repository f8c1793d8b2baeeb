"""`make bench`: ours against the straightforward way, in the same run, as ratios.

Machines are shared and noisy: each pair alternates a few times, the ratio of the medians is
what counts; seconds are printed for orientation only.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.cluster import dask_workers
from benchmarks.conformal import conformal
from benchmarks.cyclegan import cyclegan
from benchmarks.intervals import intervals
from benchmarks.label_error import label_error
from benchmarks.nuclei import nuclei
from benchmarks.pixel_forest import pixel_forest
from benchmarks.prediction import prediction
from benchmarks.regression import regression
from tumor_ratio.imaging.similarity import ssim_rgb
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom

REPEATS = 5


def compare(name: str, ours: Callable[[], object], plain: Callable[[], object]) -> None:
    ours(), plain()  # warm-up: compilation, caches
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(REPEATS):
        for which, function in (("ours", ours), ("plain", plain)):
            start = time.perf_counter()
            function()
            seconds[which].append(time.perf_counter() - start)
    mine, other = (statistics.median(values) for values in seconds.values())
    print(f"{name:<58} {other / mine:6.1f} x   ({mine:.3f} s against {other:.3f} s)", flush=True)


def similarity() -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    he, ihc = (rng.integers(0, 255, (1024, 1024, 3), dtype=np.uint8) for _ in range(2))
    compare(
        "SSIM on RGB, 1 Mpx: running sums against scikit-image",
        lambda: ssim_rgb(he, ihc),
        lambda: structural_similarity(he, ihc, channel_axis=2),
    )


def ratios() -> None:
    import pandas as pd

    from tumor_ratio.metrics.ratios import region_ratios

    rng = np.random.default_rng(0)
    n, side = 20_000, 4000.0
    nuclei = pd.DataFrame(
        {
            "x_he_px": rng.uniform(0, side, n),
            "y_he_px": rng.uniform(0, side, n),
            "area_um2": rng.uniform(20, 90, n),
            "positive": rng.random(n) < 0.2,
        }
    )
    grid = range(0, 3800, 100)
    regions = pd.DataFrame(
        [
            {
                "region_id": f"s_x{x}_y{y}",
                "slide_id": "s",
                "tile_id": "t",
                "kind": "patch",
                "x_px": x,
                "y_px": y,
                "size_px": 200,
                "mpp": 0.5,
            }
            for x in grid
            for y in grid
        ]
    )

    def one_by_one() -> list[float]:
        sums = []
        for region in regions.itertuples():
            inside = nuclei[
                nuclei["x_he_px"].between(region.x_px, region.x_px + 200, inclusive="left")
                & nuclei["y_he_px"].between(region.y_px, region.y_px + 200, inclusive="left")
            ]
            sums.append(inside.loc[inside["positive"], "area_um2"].sum() / inside["area_um2"].sum())
        return sums

    compare(
        f"ratios of {len(regions)} regions, {n} nuclei: index against one by one",
        lambda: region_ratios(regions, nuclei, 0.5),
        one_by_one,
    )


def inference() -> None:
    import torch

    from tumor_ratio.models.devices import ComputeOptions, resolve_compute
    from tumor_ratio.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    import timm

    compute = resolve_compute(ComputeOptions())
    rgb = np.random.default_rng(0).integers(0, 255, (32, 160, 160, 3), dtype=np.uint8)
    for name in ("resnet18", "vit_tiny_patch16_224"):
        options = {"img_size": 160} if name.startswith("vit") else {}
        plain_net = timm.create_model(name, num_classes=1, **options).eval()
        ours_net = compute.place(timm.create_model(name, num_classes=1, **options)).eval()

        def ours(net: torch.nn.Module = ours_net) -> None:
            with torch.inference_mode(), compute.autocast():
                net(compute.images(rgb))

        def plain(net: torch.nn.Module = plain_net) -> None:
            with torch.inference_mode():
                net(torch.from_numpy(np.ascontiguousarray(rgb.transpose(0, 3, 1, 2))).float())

        compare(
            f"{name}, 32 patches of 160 px: {compute.precision}, channels-last, against float32",
            ours,
            plain,
        )


def rendering() -> None:
    plan = plan_phantom(PhantomParams(n_slides=1, width_um=700, height_um=700))[0]
    with tempfile.TemporaryDirectory() as folder:
        render_pair(plan, Path(folder))
        start = time.perf_counter()
        render_pair(plan, Path(folder))
        seconds = time.perf_counter() - start
    mpx = 2 * plan.width_px * plan.height_px / 1e6
    print(f"{'rendering a phantom pair, one process':<58} {mpx / seconds:6.1f} Mpx/s", flush=True)


def full_size() -> None:
    from benchmarks import full_size as full

    full.main(Path(tempfile.gettempdir()) / "tumor-ratio-full-size")


def kills() -> None:
    """Kill a run or a worker at 20 random moments; end at the first that leaves a trace."""
    from tests.kills import differences, killed_and_continued, moments, undisturbed
    from tests.main_job import Job

    with tempfile.TemporaryDirectory() as folder:
        whole = Job.in_folder(_made(Path(folder) / "whole"))
        work_s = undisturbed(whole)
        print(f"an undisturbed run works for {work_s:.1f} s", flush=True)
        for index, moment in enumerate(moments(20)):
            start = time.perf_counter()
            job = Job.in_folder(_made(Path(folder) / str(index)))
            hit = killed_and_continued(job, moment, work_s, seed=index)
            different = differences(job, whole)
            outcome = f"differ: {different}" if different else "equal tables, no process left"
            seconds = time.perf_counter() - start
            name = f"kill {index + 1}: {moment.victim} at {moment.share:.0%} ({hit})"
            print(f"{name:<58} {outcome} ({seconds:.1f} s)", flush=True)
            if different:
                sys.exit(1)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


ON_REQUEST = {
    "kills": kills,
    "label_error": label_error,
    "intervals": intervals,
    "conformal": conformal,
    "prediction": prediction,
}
"""Take minutes: run only where they are named; `prediction=4096` says a side in pixels."""

BENCHMARKS = {
    "similarity": similarity,
    "ratios": ratios,
    "inference": inference,
    "rendering": rendering,
    "nuclei": nuclei,
    "pixel_forest": pixel_forest,
    "full_size": full_size,
    "dask": dask_workers,
    "cyclegan": cyclegan,
    "regression": regression,
}


def main() -> None:
    chosen = sys.argv[1:] or list(BENCHMARKS)
    known = {**BENCHMARKS, **ON_REQUEST}
    unknown = [name for name in chosen if name.partition("=")[0] not in known]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    for name, _, value in (each.partition("=") for each in chosen):
        known[name](*[value] if value else [])


if __name__ == "__main__":
    main()
