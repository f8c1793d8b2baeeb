"""With the stain loss, both images of a step are of the same place."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tumor_ratio.errors import TumorRatioError
from tumor_ratio.models.cyclegan.cyclegan_training import CycleGanTraining
from tumor_ratio.models.cyclegan.networks import CycleGan
from tumor_ratio.models.cyclegan.options import (
    CycleGanOptions,
    NetworkOptions,
    PreprocessOptions,
)
from tumor_ratio.models.cyclegan.stain_loss import stain_loss
from tumor_ratio.models.cyclegan.unpaired_images import UnpairedImages
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.patch_source import ArrayPatches, in_batches

CPU = Compute("cpu", bf16=False, threads=1)
CROP = PreprocessOptions("crop", crop_size=32)


def placed(n: int, side: int = 48) -> ArrayPatches:
    """Images whose pixels say which image, row and column they are."""
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(side), np.arange(side), indexing="ij"), -1)
    return ArrayPatches(grid.astype(np.uint8))


def options(**changes) -> CycleGanOptions:
    networks = NetworkOptions("resnet_6blocks", ngf=2, ndf=2)
    return dataclasses.replace(CycleGanOptions(networks=networks, images=CROP), **changes)


def epoch(plan: CycleGanOptions, n_a: int, n_b: int, seed: int = 0) -> list:
    images = UnpairedImages(placed(n_a), placed(n_b), plan)
    batches = list(images.batches(np.random.default_rng(seed)))
    assert len(batches) == images.n_batches()
    return batches


def numbers(image: np.ndarray) -> int:
    return int(image[0, 0, 0])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"serial_batches": True},
        {"batch_size": 3},
        {"max_dataset_size": 4},
        {"images": PreprocessOptions("resize_and_crop", load_size=40, crop_size=32)},
        {"images": PreprocessOptions("none")},
    ],
    ids=["drawn", "serial", "batches", "bounded", "resized", "whole"],
)
def test_with_the_stain_loss_both_images_are_of_one_place_crop_and_mirroring(changes):
    plan = options(lambda_stain=1.0, **changes)
    pairs = [pair for a, b in epoch(plan, 7, 7) for pair in zip(a, b, strict=True)]
    for a, b in pairs:
        assert np.array_equal(a, b)
    expected = list(range(plan.max_dataset_size or 7))
    drawn = [numbers(a) for a, _ in pairs]
    assert sorted(drawn) == expected
    assert (drawn == expected) == plan.serial_batches


def test_crops_and_mirroring_still_vary_between_places_and_epochs():
    plan = options(lambda_stain=1.0)
    images = [a[0] for a, _ in epoch(plan, 30, 30)]
    corners = {(int(i[..., 1].min()), int(i[..., 2].min())) for i in images}
    mirrored = sum(i[0, 0, 2] > i[0, -1, 2] for i in images)
    assert len(corners) > 20
    assert 5 < mirrored < 25
    again, other = epoch(plan, 30, 30), epoch(plan, 30, 30, seed=1)
    assert all(np.array_equal(i, a[0]) for i, (a, _) in zip(images, again, strict=True))
    assert [numbers(i) for i in images] != [numbers(a[0]) for a, _ in other]


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize(("n_a", "n_b"), [(7, 7), (7, 3), (3, 7)])
def test_without_the_stain_loss_images_and_their_crops_are_drawn_apart(n_a, n_b, serial):
    """The draws written down: a training that was begun keeps its order."""
    plan = options(serial_batches=serial, batch_size=2)
    rng, n = np.random.default_rng(5), 7
    order = np.arange(n) if serial else rng.permutation(n)
    second = order % n_b if serial else rng.integers(n_b, size=n)
    first = order % n_a
    if n_b > n_a and not serial:
        first, second = rng.integers(n_a, size=n), order
    seeds = rng.integers(2**62, size=n)
    images = UnpairedImages(placed(n_a), placed(n_b), plan)
    batches = epoch(plan, n_a, n_b, seed=5)
    for places, (a, b) in zip(in_batches(np.arange(n), 2), batches, strict=True):
        for place, of_a, of_b in zip(places, a, b, strict=True):
            assert np.array_equal(of_a, images.read(0, int(first[place]), int(seeds[place])))
            assert np.array_equal(of_b, images.read(1, int(second[place]), int(seeds[place]) + 1))
    assert any(not np.array_equal(a[..., 1:], b[..., 1:]) for a, b in batches)


def test_domains_of_unequal_length_cannot_be_compared():
    message = r"hold 5 and 4 images, and the stain loss .* same place.*lambda_stain: 0"
    with pytest.raises(TumorRatioError, match=message):
        UnpairedImages(placed(5), placed(4), options(lambda_stain=1.0))
    UnpairedImages(placed(5), placed(4), options())


def test_the_stain_loss_refuses_what_it_cannot_mean():
    with pytest.raises(ValueError, match=r"lambda_stain .* direction must be AtoB"):
        options(lambda_stain=1.0, direction="BtoA")
    with pytest.raises(ValueError, match="lambda_stain must be at least 0, not -1"):
        options(lambda_stain=-1)
    with pytest.raises(ValueError, match="stain_cell_px must be at least 1, not 0"):
        options(stain_cell_px=0)
    assert not options(direction="BtoA").paired
    assert options(lambda_stain=0.1).paired


def generators_step(plan: CycleGanOptions):
    images = UnpairedImages(placed(2), placed(2), plan)
    training = CycleGanTraining(CycleGan(plan.networks, seed=0), images, plan, CPU)
    batch = next(training.batches(np.random.default_rng(0)))
    return training, training.training_step("generators", batch, torch.Generator())


def test_a_step_reports_a_stain_loss_only_where_it_is_asked_for():
    _, without = generators_step(options())
    assert "stain" not in without
    training, found = generators_step(options(lambda_stain=3.0, stain_cell_px=8))
    shown = training._shown
    expected = 3 * stain_loss(shown["fake_B"], shown["real_B"], 8)
    assert expected > 0
    assert found["stain"].item() == pytest.approx(expected.item())
    parts = sum(value.item() for name, value in found.items() if name != "loss")
    assert found["loss"].item() == pytest.approx(parts)
    assert set(found) - set(without) == {"stain"}


def test_the_stain_loss_teaches_the_generator_of_domain_b_alone():
    training, found = generators_step(options(lambda_stain=1.0))
    found["stain"].backward()
    learned = [
        sum(float(w.grad.abs().sum()) for w in network.parameters() if w.grad is not None)
        for network in (training.module.G_A, training.module.G_B)
    ]
    assert learned[0] > 0
    assert learned[1] == 0


def test_the_weight_of_the_stain_loss_rises_over_its_warmup_and_goes_on_after_a_resume():
    plan = options(lambda_stain=3.0, stain_warmup=4)
    training, found = generators_step(plan)
    first = stain_loss(training._shown["fake_B"], training._shown["real_B"], plan.stain_cell_px)
    assert found["stain"].item() == pytest.approx(0.75 * first.item())
    weights = []
    for _ in range(5):
        batch = next(training.batches(np.random.default_rng(0)))
        losses = training.training_step("generators", batch, torch.Generator())
        shown = training._shown
        distance = stain_loss(shown["fake_B"], shown["real_B"], plan.stain_cell_px)
        weights.append(losses["stain"].item() / distance.item())
    assert weights == pytest.approx([1.5, 2.25, 3.0, 3.0, 3.0])
    again, _ = generators_step(plan)
    again.load_extra_state(training.extra_state())
    assert again.extra_state()["steps"] == 6
    with pytest.raises(ValueError, match="stain_warmup must be at least 0, not -1"):
        options(stain_warmup=-1)
