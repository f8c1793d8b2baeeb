"""Regressors: patches trained on and predicted a second, reading included."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tumor_ratio.approaches.network import architecture_of
from tumor_ratio.imaging.patches import PatchReader
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.models.devices import Compute, ComputeOptions, resolve_compute
from tumor_ratio.models.normalisation import PatchNormalisation
from tumor_ratio.models.patch_source import ArrayPatches, LabelledPatches, PatchSource
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import (
    BackboneOptions,
    HeadOptions,
    LossOptions,
)
from tumor_ratio.models.regressor_training import RegressorTraining
from tumor_ratio.models.training import make_optimizer
from tumor_ratio.models.training_options import OptimizerOptions, TrainingOptions
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom

PATCH_PX = 224
MPP = 0.5
SIDE_UM = 1400
BATCH_SIZE = 16
PATCHES = {"resnet18": (96, 192), "vit_b16": (16, 32)}
"""Patches of a training and of a prediction that are timed; on a GPU sixteen times as many."""
REPEATS = 3


def regression() -> None:
    """ResNet18 and ViT-B/16, ours against a plain float32 loop over patches stored as PNG.

    And ours against itself without reading: how much of the time belongs to the network.
    """
    compute = resolve_compute(ComputeOptions())
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_phantom(PhantomParams(n_slides=1, width_um=SIDE_UM, height_um=SIDE_UM))[0]
        he = open_slide(render_pair(plan, Path(folder)).he_path, slide_id="bench", mpp=MPP)
        for name, numbers in PATCHES.items():
            n_training, n_prediction = (
                n * (16 if compute.device == "cuda" else 1) for n in numbers
            )
            training_speed(name, he, n_training, Path(folder), compute)
            prediction_speed(name, he, n_prediction, Path(folder), compute)


def training_speed(name: str, he: Slide, n: int, folder: Path, compute: Compute) -> None:
    """Steps over all patches of a slide once; nothing is kept in memory."""
    stored = _store(he, n, folder)
    ways: dict[str, Callable[[], None]] = {
        "ours": _steps(name, PatchReader({he.slide_id: he}, _regions(he, n), 0), compute),
        "network": _steps(name, ArrayPatches(_random(n)), compute),
        "plain": _plain_steps(name, stored, compute),
    }
    _tell(f"training {name}", n, ways, compute)


def prediction_speed(name: str, he: Slide, n: int, folder: Path, compute: Compute) -> None:
    """Answers for all patches of a slide."""
    predictor = Predictor(_network(name, compute), PatchNormalisation(), compute)
    reader = PatchReader({he.slide_id: he}, _regions(he, n), 0)
    memory = ArrayPatches(_random(n))
    stored = _store(he, n, folder)
    network = _network(name, compute, plain=True)

    def plain() -> None:
        with torch.inference_mode():
            for images in _png_batches(stored, compute.device):
                network(images).cpu()

    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: predictor.predict_source(reader),
        "network": lambda: predictor.predict_source(memory),
        "plain": plain,
    }
    _tell(f"predicting with {name}", n, ways, compute)


def _steps(name: str, source: PatchSource, compute: Compute) -> Callable[[], None]:
    options = TrainingOptions(batch_size=BATCH_SIZE)
    patches = LabelledPatches(
        source,
        np.full(len(source), 0.2, dtype=np.float32),
        np.ones(len(source), dtype=np.float32),
        np.full(len(source), "bench"),
    )
    trainable = RegressorTraining(
        _network(name, compute),
        patches,
        patches,
        PatchNormalisation(),
        LossOptions(),
        options,
        compute,
    )
    trainable.module.train()
    optimizer = make_optimizer(trainable.parameters("regression"), OptimizerOptions("sgd"))
    generator = torch.Generator().manual_seed(0)

    def steps() -> None:
        for batch in trainable.batches(np.random.default_rng(0)):
            optimizer.zero_grad(set_to_none=True)
            with compute.autocast():
                losses = trainable.training_step("regression", batch, generator)
            losses["loss"].backward()
            optimizer.step()

    return steps


def _plain_steps(name: str, stored: list[Path], compute: Compute) -> Callable[[], None]:
    network = _network(name, compute, plain=True).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    loss = torch.nn.SmoothL1Loss(beta=0.05)

    def steps() -> None:
        for images in _png_batches(stored, compute.device):
            optimizer.zero_grad()
            predicted = network(images)
            loss(predicted, torch.full_like(predicted, 0.2)).backward()
            optimizer.step()

    return steps


def _png_batches(stored: list[Path], device: str) -> Iterator[torch.Tensor]:
    """Patches as most loops read them: files, float32, channels first."""
    for start in range(0, len(stored), BATCH_SIZE):
        pixels = [np.asarray(Image.open(path)) for path in stored[start : start + BATCH_SIZE]]
        batch = np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32) / 255
        yield torch.from_numpy(batch).to(device)


def _network(name: str, compute: Compute, *, plain: bool = False) -> Any:
    """An untrained network; channels-last, unless it is the plain one."""
    backbone = BackboneOptions()
    architecture = architecture_of(name, backbone, HeadOptions(), PATCH_PX)
    network: Any = build_regressor(architecture, backbone, seed=0)
    return (network.to(compute.device) if plain else compute.place(network)).eval()


def _regions(he: Slide, n: int) -> list[Region]:
    """Squares over the slide, in an order without any."""
    side = he.width_px // PATCH_PX - 1
    places = np.random.default_rng(0).permutation(side**2)[np.arange(n) % side**2]
    return [
        Region(
            he.slide_id,
            "tile",
            "patch",
            int(place % side) * PATCH_PX + index % 7,
            int(place // side) * PATCH_PX,
            PATCH_PX,
            MPP,
        )
        for index, place in enumerate(places)
    ]


def _store(he: Slide, n: int, folder: Path) -> list[Path]:
    """The same patches as PNG files."""
    paths = [folder / f"{index}.png" for index in range(n)]
    for region, path in zip(_regions(he, n), paths, strict=True):
        if not path.exists():
            rgb = he.read(region.x_px, region.y_px, PATCH_PX, MPP)
            Image.fromarray(rgb).save(path)
    return paths


def _random(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (n, PATCH_PX, PATCH_PX, 3), dtype=np.uint8)


def _tell(what: str, n: int, ways: dict[str, Callable[[], Any]], compute: Compute) -> None:
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(REPEATS + 1):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            if compute.device == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first one warms up
                seconds[way].append(time.perf_counter() - start)
    rate = {way: n / statistics.median(values) for way, values in seconds.items()}
    name = f"{what}: {compute.precision}, from slides, against float32 from PNG"
    print(
        f"{name:<68} {rate['ours'] / rate['plain']:5.1f} x   "
        f"({rate['ours']:.1f} against {rate['plain']:.1f} images/s; "
        f"{rate['ours'] / rate['network']:.0%} of the network's own rate)",
        flush=True,
    )
