from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from tumor_ratio.models.augmentation import augment, augment_with_maps
from tumor_ratio.models.devices import Compute, ComputeOptions
from tumor_ratio.models.losses import regression_loss
from tumor_ratio.models.patch_source import ArrayPatches, in_batches, read_ahead
from tumor_ratio.models.regressor_options import HeadOptions, LossOptions
from tumor_ratio.models.schedules import learning_rate_factor
from tumor_ratio.models.training_options import (
    AugmentationOptions,
    OptimizerOptions,
    TrainingOptions,
)
from tumor_ratio.models.validation import validation_metrics

from .planted import planted_patches


def test_dihedral_gives_all_eight_and_only_those():
    image = torch.arange(9.0).reshape(1, 1, 3, 3).expand(400, 3, 3, 3)
    generator = torch.Generator().manual_seed(0)
    varied = augment(image, AugmentationOptions("dihedral"), generator)[:, 0]
    turned = [torch.rot90(image[0, 0], k) for k in range(4)]
    expected = {tuple(t.flatten().tolist()) for t in (*turned, *(t.flip(1) for t in turned))}
    assert {tuple(v.flatten().tolist()) for v in varied} == expected


def test_maps_are_turned_with_their_images():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(64, 2, 2, generator=generator)
    images = maps[:, None].repeat_interleave(4, 2).repeat_interleave(4, 3).expand(-1, 3, -1, -1)
    options = AugmentationOptions("dihedral")
    turned, turned_maps = augment_with_maps(images, (maps,), options, generator)
    assert torch.equal(turned[:, 0, ::4, ::4], turned_maps)
    assert not torch.equal(turned_maps, maps)


def test_the_studys_flip_is_horizontal_for_half_of_the_images():
    image = torch.arange(4.0).reshape(1, 1, 2, 2).expand(1000, 3, 2, 2)
    varied = augment(image, AugmentationOptions("horizontal"), torch.Generator().manual_seed(1))
    flipped = (varied == image.flip(3)).all(dim=(1, 2, 3))
    kept = (varied == image).all(dim=(1, 2, 3))
    assert torch.all(flipped ^ kept)
    assert 0.4 < flipped.float().mean() < 0.6


def test_stain_jitter_scales_densities_and_leaves_white_and_bounds():
    images = torch.full((64, 3, 4, 4), 128.0)
    images[:, :, 0, 0] = 255.0
    options = AugmentationOptions("none", stain_jitter=0.1)
    varied = augment(images, options, torch.Generator().manual_seed(2))
    assert torch.all(varied[:, :, 0, 0] == 255)
    density = torch.log10(255 / varied[:, :, 1, 1]) / np.log10(255 / 128)
    assert abs(float(density.mean()) - 1) < 0.03
    assert 0.07 < float(density.std()) < 0.13
    bright = AugmentationOptions("none", brightness_jitter=0.3)
    varied = augment(images, bright, torch.Generator().manual_seed(3))
    assert float(varied.min()) >= 0
    assert float(varied.max()) <= 255


def test_losses_are_those_of_the_textbook():
    predicted, target = torch.tensor([0.50, 0.02]), torch.tensor([0.0, 0.0])
    weight = torch.tensor([1.0, 3.0])
    by_hand = [0.5 - 0.025, 0.02**2 / (2 * 0.05)]
    study = regression_loss(predicted, target, weight, LossOptions())
    assert float(study) == pytest.approx(np.mean(by_hand))
    weighted = regression_loss(predicted, target, weight, LossOptions(weighted=True))
    assert float(weighted) == pytest.approx((by_hand[0] + 3 * by_hand[1]) / 4)
    assert float(regression_loss(predicted, target, weight, LossOptions("l1"))) == pytest.approx(
        0.26
    )
    squared = regression_loss(predicted, target, weight, LossOptions("mse"))
    assert float(squared) == pytest.approx((0.25 + 0.0004) / 2)
    share = regression_loss(
        torch.tensor([0.25]), torch.tensor([0.5]), None, LossOptions("cross_entropy")
    )
    assert float(share) == pytest.approx(-0.5 * np.log(0.25 * 0.75))
    nothing = regression_loss(predicted, target, weight * 0, LossOptions(weighted=True))
    assert float(nothing) == 0


def test_the_likelihood_of_a_share_is_finite_and_least_at_the_share():
    target = torch.tensor([0.3])
    shares = torch.linspace(0, 1, 101)
    losses = [
        float(regression_loss(s[None], target, None, LossOptions("cross_entropy"))) for s in shares
    ]
    assert np.isfinite(losses).all()
    assert int(np.argmin(losses)) == 30


@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle"])
@pytest.mark.parametrize("n_steps", [1, 10, 1000])
def test_learning_rates_stay_in_bounds(schedule, n_steps):
    factors = [learning_rate_factor(schedule, step, n_steps) for step in range(n_steps)]
    assert all(0 < factor <= 1 for factor in factors)


def test_learning_rates_take_their_course():
    assert {learning_rate_factor("constant", step, 50) for step in range(50)} == {1.0}
    cosine = [learning_rate_factor("cosine", step, 50) for step in range(50)]
    assert cosine == sorted(cosine, reverse=True)
    onecycle = [learning_rate_factor("onecycle", step, 100) for step in range(100)]
    assert onecycle[0] < 0.05
    assert int(np.argmax(onecycle)) in (29, 30)
    assert onecycle[-1] < 0.001


def test_batches_are_as_few_and_as_equal_as_can_be():
    parts = in_batches(np.arange(65), 64)
    assert [len(part) for part in parts] == [33, 32]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(65))
    assert in_batches(np.arange(0), 64) == []


class Slow(ArrayPatches):
    """Takes the longer, the smaller the first number."""

    def read(self, indices):
        time.sleep(0.002 * (10 - int(indices[0])))
        return super().read(indices)


@pytest.mark.parametrize("threads", [1, 3])
def test_reading_ahead_keeps_the_order_and_stops_when_its_reader_does(threads):
    source = Slow(np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3))
    batches = in_batches(np.array([3, 1, 4, 0, 5, 9, 2, 6]), 2)
    order = []
    for indices, rgb in read_ahead(source, batches, threads):
        np.testing.assert_array_equal(rgb[:, 0, 0, 0], indices)
        order += indices.tolist()
    assert order == [3, 1, 4, 0, 5, 9, 2, 6]
    reading = read_ahead(source, batches, threads)
    next(reading)
    assert [t for t in threading.enumerate() if t.name.startswith("patches")]
    reading.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("patches")]


def test_several_threads_read_at_once():
    meeting = threading.Barrier(3, timeout=10)

    class Meeting(ArrayPatches):
        def read(self, indices):
            meeting.wait()
            return super().read(indices)

    batches = in_batches(np.arange(6), 2)
    found = list(read_ahead(Meeting(np.zeros((6, 2, 2, 3), dtype=np.uint8)), batches, 3))
    assert len(found) == 3


def test_a_gpu_has_patches_read_by_all_cores_but_one_and_a_cpu_by_one(monkeypatch):
    for cores, beside_gpu in ((1, 1), (2, 1), (12, 11), (96, 16)):
        monkeypatch.setattr("tumor_ratio.models.devices.own_threads", lambda cores=cores: cores)
        assert Compute("cuda", bf16=True, threads=cores).readers == beside_gpu
        assert Compute("cpu", bf16=True, threads=cores).readers == 1


def test_an_error_while_reading_ahead_reaches_the_caller():
    class Broken(ArrayPatches):
        def read(self, indices):
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(
            read_ahead(Broken(np.zeros((4, 2, 2, 3), dtype=np.uint8)), in_batches(np.arange(4), 2))
        )


def test_validation_errors_weigh_slides_and_not_patches():
    patches = planted_patches(4, seed=0)
    object.__setattr__(patches, "slides", np.array(["a", "a", "a", "b"]))
    predicted = patches.ratios + np.array([0.1, 0.1, 0.1, 0.5], dtype=np.float32)
    metrics = validation_metrics(predicted, patches)
    assert metrics["val_mae"] == pytest.approx(0.3, abs=1e-6)
    assert metrics["val_mse"] == pytest.approx((0.01 + 0.25) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OptimizerOptions(learning_rate=0), "learning_rate must be above 0"),
        (lambda: OptimizerOptions(momentum=1), r"momentum must be in \[0, 1\)"),
        (lambda: OptimizerOptions(beta1=1), r"beta1 must be in \[0, 1\)"),
        (lambda: OptimizerOptions(weight_decay=-1), "weight_decay must be at least 0"),
        (lambda: OptimizerOptions(clip_norm=0), "clip_norm must be above 0"),
        (lambda: TrainingOptions(epochs=0), "epochs must be at least 1"),
        (lambda: TrainingOptions(patience=0), "patience must be at least 1"),
        (lambda: TrainingOptions(seed=-1), "seed must be at least 0"),
        (lambda: AugmentationOptions(stain_jitter=2), r"stain_jitter must be in \[0, 0.5\]"),
        (lambda: HeadOptions(dropout=1), r"dropout must be in \[0, 1\)"),
        (lambda: HeadOptions(hidden=0), "hidden must be at least 1"),
        (lambda: LossOptions(beta=0), "beta must be above 0"),
        (lambda: ComputeOptions(threads=0), "threads must be at least 1"),
    ],
)
def test_options_are_bounded(make, message):
    with pytest.raises(ValueError, match=message):
        make()
