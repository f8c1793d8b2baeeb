from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tumor_ratio.errors import ConfigurationError, TumorRatioError
from tumor_ratio.models.cyclegan.checkpoint_files import write_networks
from tumor_ratio.models.cyclegan.collapse import collapse, spread
from tumor_ratio.models.cyclegan.cycle_noise import with_noise
from tumor_ratio.models.cyclegan.cyclegan_fit import fit_cyclegan
from tumor_ratio.models.cyclegan.cyclegan_training import CycleGanTraining
from tumor_ratio.models.cyclegan.networks import CycleGan
from tumor_ratio.models.cyclegan.options import (
    CycleGanOptions,
    NetworkOptions,
    PreprocessOptions,
)
from tumor_ratio.models.cyclegan.unpaired_images import UnpairedImages
from tumor_ratio.models.devices import Compute, ComputeOptions
from tumor_ratio.models.patch_source import ArrayPatches

from .plain_cyclegan import PlainSteps

FLOAT32 = ComputeOptions(device="cpu", precision="float32", threads=1)
BF16 = ComputeOptions(device="cpu", precision="bf16", threads=1)
CPU = Compute("cpu", bf16=False, threads=1)
LOSSES = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")


class KilledError(Exception):
    """Stands for `kill -9`: nothing in the loop handles it."""


def domain(n: int, *, seed: int, side: int = 40) -> ArrayPatches:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (n, side // 8, side // 8, 3), dtype=np.uint8)
    return ArrayPatches(coarse.repeat(8, axis=1).repeat(8, axis=2))


def options(**changes) -> CycleGanOptions:
    base = CycleGanOptions(
        networks=NetworkOptions(netG="resnet_6blocks", ngf=2, ndf=2),
        images=PreprocessOptions("crop", crop_size=32),
        n_epochs=1,
        n_epochs_decay=1,
        pool_size=2,
        compute=FLOAT32,
    )
    return dataclasses.replace(base, **changes)


def fit(folder: Path, plan: CycleGanOptions, *, a=None, b=None, **arguments):
    a = domain(3, seed=1) if a is None else a
    b = domain(4, seed=2) if b is None else b
    return fit_cyclegan(plan, a, b, folder, title="stains", **arguments)


def equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


class KillingSource:
    """Patches whose n-th reading kills."""

    def __init__(self, source: ArrayPatches, readings: int) -> None:
        self.source, self.left = source, readings

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices):
        self.left -= 1
        if self.left < 0:
            raise KilledError
        return self.source.read(indices)


@pytest.mark.parametrize(
    ("changes", "readings"),
    [
        ({}, 6),
        ({}, 10),
        ({"compute": BF16}, 11),
        ({"average": 0.9, "cycle_noise": 0.2, "lambda_stain": 10.0}, 10),
        ({"gradient_checkpointing": True, "batch_size": 2}, 10),
        ({"networks": NetworkOptions("resnet_6blocks", ngf=2, ndf=2, no_dropout=False)}, 10),
        (
            {
                "networks": NetworkOptions("resnet_6blocks", ngf=2, ndf=2, norm="batch"),
                "collapse_threshold": 0.0,  # running statistics need more than eight steps
            },
            10,
        ),
    ],
    ids=["first epoch", "second epoch", "bf16", "extras", "checkpointing", "dropout", "batch norm"],
)
def test_a_training_killed_at_an_iteration_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path, changes, readings
):
    plan = options(**changes)
    a = domain(4 if plan.paired else 3, seed=1)
    whole, trained = fit(tmp_path / "whole", plan, a=a)
    with pytest.raises(KilledError):
        fit(tmp_path / "cut", plan, a=a, b=KillingSource(domain(4, seed=2), readings))
    torch.rand(7)  # the generators of the process have moved on
    resumed, again = fit(tmp_path / "cut", plan, a=a)
    assert equal(whole, resumed)
    for first, second in zip(trained.history, again.history, strict=True):
        assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_history_has_the_reference_s_losses_and_learning_rates(tmp_path):
    _, trained = fit(tmp_path, options(n_epochs=2))
    assert {f"train_{name}" for name in LOSSES} <= set(trained.history[0])
    rates = [record["learning_rate"] for record in trained.history]
    assert rates == pytest.approx([2e-4, 2e-4, 1e-4])
    assert trained.best_epoch == 3
    assert trained.ended == ""


def test_steps_are_those_of_the_reference(tmp_path):
    """Five steps of the loop against steps written down without it: equal losses and weights."""
    images = PreprocessOptions("crop", crop_size=32, no_flip=True)
    plan = options(images=images, pool_size=0, serial_batches=True, n_epochs=1, n_epochs_decay=0)
    a, b = domain(5, seed=1, side=32), domain(5, seed=2, side=32)
    gan, trained = fit(tmp_path, plan, a=a, b=b)
    plain = CycleGan(plan.networks, seed=0)
    steps = PlainSteps(plain)
    losses = []
    for real in zip(a.rgb, b.rgb, strict=True):
        real_a, real_b = (
            torch.from_numpy(rgb.transpose(2, 0, 1)[None].copy()).float() / 127.5 - 1
            for rgb in real
        )
        losses.append(steps.step(real_a, real_b))
    for name in LOSSES:
        mean = np.mean([step[name] for step in losses])
        assert trained.history[0][f"train_{name}"] == pytest.approx(mean, rel=1e-5), name
    moved = CycleGan(plan.networks, seed=0).state_dict()
    for name, value in plain.state_dict().items():
        if "bias" not in name:  # the gradient of a bias before an instance norm is rounding alone
            torch.testing.assert_close(gan.state_dict()[name], value, atol=1e-6, rtol=0)
            assert (moved[name] - value).abs().max() > 3e-4, name


def test_checkpointing_changes_no_weight(tmp_path):
    kept, _ = fit(tmp_path / "a", options(n_epochs=1, n_epochs_decay=0))
    again, _ = fit(
        tmp_path / "b", options(n_epochs=1, n_epochs_decay=0, gradient_checkpointing=True)
    )
    assert equal(kept, again)


def test_the_metric_chooses_the_epoch_and_is_given_the_generator(tmp_path):
    scores, seen = [0.3, 0.1, 0.2], []

    def metric(generator: torch.nn.Module) -> dict[str, float]:
        assert not generator.training
        seen.append(generator.model[1].weight.clone())
        return {"val_ratio_error": scores[len(seen) - 1], "val_other": 1.0 / len(seen)}

    gan, trained = fit(tmp_path, options(n_epochs=2), metric=metric)
    assert trained.best_epoch == 2
    assert [record["val_ratio_error"] for record in trained.history] == scores
    assert trained.history[1]["val_other"] == 0.5
    assert torch.equal(gan.G_A.model[1].weight, seen[1])


def test_the_networks_of_a_reference_training_are_a_start(tmp_path):
    plan = options(n_epochs=1, n_epochs_decay=0, lr=1e-12)
    given = CycleGan(plan.networks, seed=9)
    write_networks(given, tmp_path / "reference")
    gan, _ = fit(tmp_path / "training", plan, initial=tmp_path / "reference")
    for name, value in given.state_dict().items():
        torch.testing.assert_close(gan.state_dict()[name], value, atol=1e-8, rtol=0)


def panel_of(n: int, side: int = 32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, side, side, generator=generator) * 2 - 1 for _ in range(n)]


def test_spread_tells_a_living_generator_from_a_collapsed_one():
    shown = panel_of(4)
    assert spread(shown, shown) == pytest.approx(1)
    assert spread(shown, [0.3 * image for image in shown]) == pytest.approx(0.3)
    same = [shown[0]] * 4
    assert spread(shown, same) < 0.001
    flat = [image.mean(dim=(2, 3), keepdim=True).expand_as(image) for image in shown]
    assert spread(shown, flat) < 0.001
    white = [torch.ones(1, 3, 32, 32)] * 4
    assert spread(white, same) == 1  # a panel of glass cannot tell
    assert spread(panel_of(1), panel_of(1)) == pytest.approx(1)


def test_a_collapse_has_a_reason_and_a_living_generator_none():
    assert collapse({"val_spread_A": 0.5, "val_spread_B": 0.02}, 0.02) == ""
    reason = collapse({"val_spread_A": 0.5, "val_spread_B": 0.001}, 0.02)
    assert "generator G_B has collapsed" in reason
    assert "vary 0.0010 times as much" in reason
    assert collapse({"val_spread_A": 0.0}, 0.0) == ""


def collapse_from(monkeypatch, epoch: int) -> None:
    real, calls = CycleGanTraining.validate, []

    def validate(self):
        calls.append(1)
        if len(calls) >= epoch:
            with torch.no_grad():
                self.module.G_A.model[-2].weight.zero_()
        return real(self)

    monkeypatch.setattr(CycleGanTraining, "validate", validate)


def test_a_collapse_ends_the_training_with_an_earlier_epoch(tmp_path, monkeypatch, caplog):
    collapse_from(monkeypatch, 2)
    gan, trained = fit(tmp_path, options(n_epochs=5))
    assert len(trained.history) == 2
    assert trained.best_epoch == 1
    assert "G_A has collapsed" in trained.ended
    assert "ends after epoch 2, epoch 1 is kept" in caplog.text
    assert gan.G_A.model[-2].weight.abs().sum() > 0
    _, again = fit(tmp_path, options(n_epochs=5))  # finished: only read
    assert again.ended == trained.ended


def test_a_collapse_before_any_good_epoch_is_an_error(tmp_path, monkeypatch):
    collapse_from(monkeypatch, 1)
    with pytest.raises(TumorRatioError, match=r"stains: no epoch is usable: generator G_A .*lower"):
        fit(tmp_path, options())


@pytest.mark.parametrize("which", ["a", "b"])
def test_an_empty_domain_is_named(tmp_path, which):
    empty = ArrayPatches(np.zeros((0, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(TumorRatioError, match=f"domain {which.upper()} is empty"):
        fit(tmp_path, options(), **{which: empty})


def test_a_crop_that_the_generator_cannot_take_is_refused(tmp_path):
    plan = options(images=PreprocessOptions("crop", crop_size=30))
    with pytest.raises(ConfigurationError, match="multiples of 4 px, and crop_size is 30"):
        fit(tmp_path, plan)
    unet = options(networks=NetworkOptions("unet_128", ngf=2, ndf=2))
    with pytest.raises(ConfigurationError, match="multiples of 128 px, and crop_size is 32"):
        fit(tmp_path, unet)


def test_a_tile_smaller_than_the_crop_is_named(tmp_path):
    with pytest.raises(TumorRatioError, match=r"domain B is 24 x 24 px, smaller than the crop"):
        fit(tmp_path, options(), b=domain(2, seed=3, side=24))


def marked(n: int) -> ArrayPatches:
    values = np.arange(n, dtype=np.uint8)[:, None, None, None]
    return ArrayPatches(np.broadcast_to(values, (n, 8, 8, 3)))


def drawn(plan: CycleGanOptions, n_a: int, n_b: int, seed: int = 0) -> list[tuple[list, list]]:
    images = UnpairedImages(marked(n_a), marked(n_b), plan)
    batches = list(images.batches(np.random.default_rng(seed)))
    assert len(batches) == images.n_batches()
    return [tuple(domain[:, 0, 0, 0].tolist() for domain in batch) for batch in batches]


def test_every_image_of_the_larger_domain_comes_once_an_epoch():
    plan = options(images=PreprocessOptions("crop", crop_size=8))
    for n_a, n_b, larger in ((7, 3, 0), (3, 7, 1)):
        batches = drawn(plan, n_a, n_b)
        assert sorted(batch[larger][0] for batch in batches) == list(range(7))
        assert {batch[1 - larger][0] for batch in batches} <= set(range(3))
    assert drawn(plan, 7, 3) == drawn(plan, 7, 3)
    assert drawn(plan, 7, 3) != drawn(plan, 7, 3, seed=1)


def test_serial_batches_swapped_directions_and_bounded_data_sets():
    images = PreprocessOptions("crop", crop_size=8)
    serial = options(images=images, serial_batches=True, batch_size=2)
    assert drawn(serial, 4, 3) == [([0, 1], [0, 1]), ([2, 3], [2, 0])]
    swapped = dataclasses.replace(serial, direction="BtoA")
    assert drawn(swapped, 4, 3) == [([0, 1], [0, 1]), ([2, 0], [2, 3])]
    bounded = dataclasses.replace(serial, max_dataset_size=2)
    assert drawn(bounded, 4, 3) == [([0, 1], [0, 1])]


def test_the_average_of_weights_is_judged_and_kept(tmp_path):
    seen = []

    def metric(generator: torch.nn.Module) -> dict[str, float]:
        seen.append(generator.model[1].weight.clone())
        return {"val_ratio_error": -float(len(seen))}  # the last epoch is the best

    plan = options(n_epochs=2, n_epochs_decay=0, average=0.5)
    averaged, _ = fit(tmp_path / "average", plan, metric=metric)
    plain, _ = fit(tmp_path / "plain", options(n_epochs=2, n_epochs_decay=0))
    assert torch.equal(averaged.G_A.model[1].weight, seen[-1])
    assert not torch.equal(averaged.G_A.model[1].weight, plain.G_A.model[1].weight)
    assert equal(averaged.G_B, plain.G_B), "the average has no part in the training"
    assert not hasattr(averaged, "average")


def test_a_running_average_is_what_the_formula_says():
    gan = CycleGan(options().networks, seed=0)
    first = [weight.clone() for weight in gan.G_A.parameters()]
    gan.start_average()
    with torch.no_grad():
        for weight in gan.G_A.parameters():
            weight += 1
    gan.update_average(0.75)
    for start, mean in zip(first, gan.average.parameters(), strict=True):
        torch.testing.assert_close(mean, 0.1 * start + 0.9 * (start + 1))
    for _ in range(100):
        gan.update_average(0.75)
    gan.update_average(0.0)
    assert equal(gan.average, gan.G_A)


def test_noise_between_the_halves_has_the_deviation_asked_for():
    images = torch.zeros(2, 3, 128, 128)
    assert with_noise(images, 0.0) is images
    torch.manual_seed(0)
    noise = with_noise(images, 0.3)
    assert 0.2 < float(noise.std()) < 0.32
    assert abs(float(noise.mean())) < 0.05
    coarse = torch.nn.functional.avg_pool2d(noise, 16)
    assert float(coarse.std()) > 0.05, "shades of whole nuclei are drowned, too"
