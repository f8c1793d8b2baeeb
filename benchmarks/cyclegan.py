"""CycleGAN at full size: a training step and translation, against plain float32."""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch

from tests.models.plain_cyclegan import PlainSteps
from tumor_ratio.models.cyclegan.cyclegan_training import CycleGanTraining
from tumor_ratio.models.cyclegan.networks import CycleGan
from tumor_ratio.models.cyclegan.options import CycleGanOptions, PreprocessOptions
from tumor_ratio.models.cyclegan.translation import translate
from tumor_ratio.models.cyclegan.unpaired_images import UnpairedImages
from tumor_ratio.models.devices import Compute, ComputeOptions, resolve_compute
from tumor_ratio.models.patch_source import ArrayPatches
from tumor_ratio.models.training import make_optimizer
from tumor_ratio.models.training_options import OptimizerOptions

CROP_PX = 256
TILE_PX = 1536
REPEATS = 3


def cyclegan() -> None:
    """Full-size networks: 64 filters, 9 blocks."""
    training_step()
    translation()


def training_step() -> None:
    """One step on crops of 256 px; networks, losses and images are the same."""
    compute = resolve_compute(ComputeOptions())
    options = CycleGanOptions(images=PreprocessOptions("crop", crop_size=CROP_PX))
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (2, 1, CROP_PX, CROP_PX, 3), dtype=np.uint8)
    images = UnpairedImages(ArrayPatches(rgb[0]), ArrayPatches(rgb[1]), options)
    trainable = CycleGanTraining(CycleGan(options.networks, seed=0), images, options, compute)
    chosen = OptimizerOptions("adamw", learning_rate=options.lr, beta1=options.beta1)
    optimizers = {
        phase: make_optimizer(trainable.parameters(phase), chosen) for phase in trainable.phases
    }
    generator = torch.Generator().manual_seed(0)

    def ours() -> None:
        for phase, optimizer in optimizers.items():
            optimizer.zero_grad(set_to_none=True)
            with compute.autocast():
                losses = trainable.training_step(phase, (rgb[0], rgb[1]), generator)
            losses["loss"].backward()
            optimizer.step()

    plain_steps = PlainSteps(CycleGan(options.networks, seed=0).to(compute.device))
    real = [
        torch.from_numpy(part.transpose(0, 3, 1, 2).copy()).to(compute.device) / 127.5 - 1
        for part in rgb
    ]

    def plain() -> None:
        plain_steps.step(*real)

    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for repeat in range(REPEATS + 1):
        for which, function in (("ours", ours), ("plain", plain)):
            start = time.perf_counter()
            function()
            if compute.device == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first one warms up
                seconds[which].append(time.perf_counter() - start)
    mine, other = (statistics.median(values) for values in seconds.values())
    name = f"CycleGAN step, {CROP_PX} px: {compute.precision}, channels-last, against float32"
    print(f"{name:<58} {other / mine:6.1f} x   ({mine:.3f} s against {other:.3f} s)", flush=True)


def translation() -> None:
    """A tile in blocks, its statistics included, in our precision and in float32."""
    compute = resolve_compute(ComputeOptions())
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (TILE_PX // 8, TILE_PX // 8, 3), dtype=np.uint8)
    rgb = coarse.repeat(8, axis=0).repeat(8, axis=1)
    settings = {compute.precision: compute}
    settings["float32"] = Compute(compute.device, bf16=False, threads=compute.threads)
    for precision, each in settings.items():
        network = each.place(CycleGan(CycleGanOptions().networks, seed=0).G_A)
        translate(network, rgb[:256, :256], each)
        start = time.perf_counter()
        translate(network, rgb, each)
        speed = TILE_PX**2 / 1e6 / (time.perf_counter() - start)
        name = f"translating a tile of {TILE_PX} px in blocks, {precision}"
        print(f"{name:<58} {speed:6.2f} Mpx/s", flush=True)
    if sys.platform != "win32":
        import resource

        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{'peak memory of this process so far':<58} {peak_gb:6.2f} GB", flush=True)
