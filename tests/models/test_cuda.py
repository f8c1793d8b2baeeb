"""What a GPU computes is what the CPU computes; skipped where there is none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tumor_ratio.models.cyclegan.cyclegan_training import CycleGanTraining
from tumor_ratio.models.cyclegan.networks import CycleGan
from tumor_ratio.models.cyclegan.options import (
    CycleGanOptions,
    NetworkOptions,
    PreprocessOptions,
)
from tumor_ratio.models.cyclegan.translation import translate
from tumor_ratio.models.cyclegan.unpaired_images import UnpairedImages
from tumor_ratio.models.devices import Compute, ComputeOptions, resolve_compute
from tumor_ratio.models.normalisation import PatchNormalisation
from tumor_ratio.models.patch_source import ArrayPatches
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_fit import fit_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
    PoolingOptions,
)
from tumor_ratio.models.training import make_optimizer
from tumor_ratio.models.training_options import (
    AugmentationOptions,
    OptimizerOptions,
    TrainingOptions,
)

from .planted import half_planted_patches, planted_patches

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")

DEVICES = ("cpu", "cuda")


def compute(device: str, precision: str = "float32") -> Compute:
    return resolve_compute(ComputeOptions(device=device, precision=precision))


def random_rgb(n: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


RESNET18 = Architecture("resnet18", 224)
LITE0 = "tf_efficientnet_lite0"
ARCHITECTURES = (
    RESNET18,
    Architecture(LITE0, 224),
    Architecture(LITE0, 224, pooling=PoolingOptions("transformer", strides=(16,))),
    Architecture(LITE0, 224, pooling=PoolingOptions("mean_spread", strides=(8, 16))),
)


def answers(
    device: str, precision: str = "float32", architecture: Architecture = RESNET18, **options
) -> np.ndarray:
    settled = compute(device, precision)
    network = build_regressor(architecture, BackboneOptions(), seed=0)
    predictor = Predictor(settled.place(network), PatchNormalisation(), settled, **options)
    return predictor.predict(random_rgb(40, 224))


def test_auto_takes_the_gpu():
    assert resolve_compute(ComputeOptions()).device == "cuda"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_float32_is_float32_on_both(architecture):
    found = [answers(device, architecture=architecture) for device in DEVICES]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-5)


def test_bf16_stays_near():
    np.testing.assert_allclose(answers("cuda", "bf16"), answers("cpu"), rtol=0, atol=0.02)


def test_flips_agree():
    flipped = [answers(device, flips="dihedral") for device in DEVICES]
    np.testing.assert_allclose(*flipped, rtol=0, atol=1e-5)


AUGMENTATION = AugmentationOptions(
    "dihedral", hed_jitter=0.1, blur_px=2, blur_share=0.5, noise_levels=2
)
OPTIONS = TrainingOptions(
    epochs=3,
    batch_size=16,
    schedule="onecycle",
    optimizer=OptimizerOptions("adamw", learning_rate=1e-3, weight_decay=0.01),
    augmentation=AUGMENTATION,
    compute=ComputeOptions(device="cuda"),
)


def fit(folder, options: TrainingOptions = OPTIONS, *, parts: bool = False, on_epoch=None):
    taught = half_planted_patches(48, seed=1) if parts else planted_patches(48, seed=1, side=64)
    return fit_regressor(
        Architecture("test_resnet", 64),
        BackboneOptions(),
        HeadOptions(bounded=True, dropout=0.0),
        LossOptions("cross_entropy", parts=2 if parts else 0),
        options,
        taught,
        planted_patches(16, seed=2, side=64, prefix="v"),
        folder,
        title="planted",
        on_epoch=on_epoch,
    )


@pytest.mark.parametrize("parts", [False, True])
def test_a_training_runs_and_augments_on_the_gpu(tmp_path, parts):
    predictor, trained = fit(tmp_path, parts=parts)
    assert next(predictor.network.parameters()).device.type == "cuda"
    assert len(trained.history) == 3


def test_a_killed_training_goes_on(tmp_path):
    def kill(_, epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", on_epoch=kill)
    _, resumed = fit(tmp_path / "killed")
    _, whole = fit(tmp_path / "whole")
    losses = [[each["train_loss"] for each in run.history] for run in (resumed, whole)]
    np.testing.assert_allclose(*losses, rtol=0.02)


def test_cpu_and_gpu_draw_and_learn_alike(tmp_path):
    losses = []
    for device in DEVICES:
        own = ComputeOptions(device=device, precision="float32")
        _, trained = fit(tmp_path / device, dataclasses.replace(OPTIONS, epochs=1, compute=own))
        losses.append(trained.history[0]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


GAN = CycleGanOptions(
    networks=NetworkOptions("resnet_6blocks", ngf=8, ndf=8),
    images=PreprocessOptions("crop", crop_size=64),
)


def gan_losses(device: str, precision: str) -> list[float]:
    settled = compute(device, precision)
    rgb = random_rgb(2, 64)
    images = UnpairedImages(ArrayPatches(rgb[:1]), ArrayPatches(rgb[1:]), GAN)
    trainable = CycleGanTraining(CycleGan(GAN.networks, seed=0), images, GAN, settled)
    optimizers = {
        phase: make_optimizer(trainable.parameters(phase), OptimizerOptions("adamw", 2e-4))
        for phase in trainable.phases
    }
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(3):
        for phase, optimizer in optimizers.items():
            optimizer.zero_grad(set_to_none=True)
            with settled.autocast():
                losses = trainable.training_step(phase, (rgb[:1], rgb[1:]), generator)
            losses["loss"].backward()
            optimizer.step()
            found.append(float(losses["loss"].detach()))
    return found


def test_steps_of_a_cyclegan_agree():
    plain = gan_losses("cpu", "float32")
    np.testing.assert_allclose(gan_losses("cuda", "float32"), plain, rtol=1e-2)
    np.testing.assert_allclose(gan_losses("cuda", "bf16"), plain, rtol=0.1)


@pytest.mark.parametrize(("precision", "levels"), [("float32", 1), ("bf16", 8)])
def test_a_translated_tile_agrees(precision, levels):
    coarse = random_rgb(1, 40)[0]
    rgb = coarse.repeat(16, axis=0).repeat(16, axis=1)
    shown = []
    for settled in (compute("cpu"), compute("cuda", precision)):
        network = settled.place(CycleGan(GAN.networks, seed=0).G_A)
        shown.append(translate(network, rgb, settled).astype(int))
    assert np.abs(shown[0] - shown[1]).max() <= levels
