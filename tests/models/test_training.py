from __future__ import annotations

import dataclasses
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tumor_ratio.errors import TumorRatioError
from tumor_ratio.models.checkpoints import (
    CheckpointFolder,
    Progress,
    generator_from_text,
    generator_to_text,
)
from tumor_ratio.models.devices import Compute, ComputeOptions, has_native_bf16
from tumor_ratio.models.patch_source import ArrayPatches, LabelledPatches
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor_fit import fit_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
)
from tumor_ratio.models.training import Trained, train
from tumor_ratio.models.training_options import (
    AugmentationOptions,
    OptimizerOptions,
    TrainingOptions,
)

from .planted import planted_patches

FLOAT32 = ComputeOptions(device="cpu", precision="float32", threads=1)
BF16 = ComputeOptions(device="cpu", precision="bf16", threads=1)


class KilledError(Exception):
    """Stands for `kill -9`: nothing in the loop handles it."""


def fit(
    folder: Path, options: TrainingOptions, *, on_epoch=None, backbone="test_resnet", n=48
) -> tuple[Predictor, Trained]:
    return fit_regressor(
        Architecture(backbone, 32),
        BackboneOptions(),
        HeadOptions(),
        LossOptions(),
        options,
        planted_patches(n, seed=1),
        planted_patches(16, seed=2, prefix="v"),
        folder,
        title="planted",
        on_epoch=on_epoch,
    )


def options(**changes) -> TrainingOptions:
    base = TrainingOptions(
        epochs=4,
        batch_size=16,
        schedule="onecycle",
        optimizer=OptimizerOptions("adamw", learning_rate=1e-3, weight_decay=0.01),
        augmentation=AugmentationOptions("dihedral", stain_jitter=0.02, brightness_jitter=0.01),
        compute=FLOAT32,
    )
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
    ("compute", "backbone"),
    [(FLOAT32, "test_vit"), (BF16, "resnet18")],
    ids=["float32", "bf16"],
)
def test_a_killed_training_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path, compute, backbone
):
    def kill_after_two(metrics, epoch):
        if epoch == 2:
            raise KilledError

    whole, trained = fit(tmp_path / "whole", options(compute=compute), backbone=backbone)
    with pytest.raises(KilledError):
        fit(tmp_path / "cut", options(compute=compute), on_epoch=kill_after_two, backbone=backbone)
    torch.rand(7)  # the generators of the process have moved on
    resumed, again = fit(tmp_path / "cut", options(compute=compute), backbone=backbone)

    assert trained.best_epoch == again.best_epoch
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    for first, second in zip(trained.history, again.history, strict=True):
        assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_a_training_killed_inside_an_epoch_or_while_saving_repeats_that_epoch(
    tmp_path, monkeypatch
):
    whole, _ = fit(tmp_path / "whole", options())
    real_save, calls = torch.save, []

    def save_half(content, stream):
        calls.append(stream)
        if len(calls) == 3:
            stream.write(b"half")
            raise KilledError
        real_save(content, stream)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", save_half)
        with pytest.raises(KilledError):
            fit(tmp_path / "cut", options())
    resumed, _ = fit(tmp_path / "cut", options())
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_a_resume_reports_the_earlier_epochs_and_a_finished_training_is_only_read(tmp_path):
    fit(tmp_path, options())
    seen = []
    before = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    fit(
        tmp_path,
        options(),
        on_epoch=lambda metrics, epoch: seen.append((epoch, metrics["val_mae"])),
    )
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    assert all(math.isfinite(value) for _, value in seen)
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == before


def test_another_thread_count_warns(tmp_path, caplog):
    def kill(metrics, epoch):
        raise KilledError

    with pytest.raises(KilledError):
        fit(tmp_path, options(epochs=2), on_epoch=kill)
    two = dataclasses.replace(FLOAT32, threads=2)
    with caplog.at_level(logging.WARNING):
        fit(tmp_path, options(epochs=2, compute=two))
    assert "resuming with 2 threads what ran with 1" in caplog.text


def test_a_training_leaves_the_processs_own_generator_and_threads_alone(tmp_path):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(tmp_path, options(epochs=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_another_seed_gives_other_weights(tmp_path):
    first, _ = fit(tmp_path / "a", options(epochs=1))
    second, _ = fit(tmp_path / "b", options(epochs=1, seed=1))
    assert not torch.equal(first.network.head[0].weight, second.network.head[0].weight)


def test_the_resnet_learns_what_is_planted(tmp_path):
    plan = options(epochs=10, augmentation=AugmentationOptions())
    predictor, trained = fit(tmp_path, plan, backbone="resnet18", n=160)
    unseen = planted_patches(40, seed=3)
    error = np.abs(predictor.predict_source(unseen.source) - unseen.ratios).mean()
    assert error < 0.08  # always answering the median errs by 0.25
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]


def test_the_study_protocol_reduces_the_loss(tmp_path):
    """SGD at the study's learning rate: slow, but downwards."""
    study = TrainingOptions(epochs=6, batch_size=16, compute=FLOAT32)
    _, trained = fit(tmp_path, study)
    losses = [record["train_loss"] for record in trained.history]
    assert losses[-1] < losses[0]
    assert {record["learning_rate"] for record in trained.history} == {1e-4}


class Line:
    """Learns y = 2 x with one weight; its validation score follows a script."""

    phases = ("fit",)
    monitor = "val_mae"

    def __init__(self, scores, *, loss_scale=1.0):
        self.module = torch.nn.Linear(1, 1, bias=False)
        self.scores, self.loss_scale = list(scores), loss_scale

    def parameters(self, phase):
        return self.module.parameters()

    def n_batches(self):
        return 1

    def batches(self, generator):
        yield torch.ones(4, 1)

    def training_step(self, phase, batch, generator):
        loss = ((self.module(batch) - 2 * batch) ** 2).mean()
        return {"loss": loss * self.loss_scale}

    def validate(self):
        return {"val_mae": self.scores.pop(0)} if self.scores else {}

    def extra_state(self):
        return {}

    def load_extra_state(self, state):
        pass


CPU = Compute("cpu", bf16=False, threads=1)


def test_the_best_validation_epochs_weights_are_kept_and_patience_stops(tmp_path):
    line = Line([0.5, 0.2, 0.3, 0.4, 0.1])
    plan = TrainingOptions(epochs=5, patience=2, optimizer=OptimizerOptions(learning_rate=0.05))
    trained = train(line, plan, CPU, tmp_path, title="line")
    assert trained.best_epoch == 2
    assert len(trained.history) == 4  # two epochs without a better one, then stopped
    assert [file.name for file in tmp_path.glob("best_*")] == ["best_0002.safetensors"]
    kept = load_file(tmp_path / "best_0002.safetensors")["weight"]
    assert torch.equal(line.module.weight, kept)


def test_without_a_monitor_the_last_epoch_is_the_best(tmp_path):
    line = Line([])
    line.monitor = ""
    assert train(line, TrainingOptions(epochs=3), CPU, tmp_path, title="line").best_epoch == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (Line([0.1], loss_scale=math.nan), "line: train_loss is nan at step 1; lower"),
        (Line([math.nan]), "line: val_mae is nan at epoch 1; lower"),
    ],
    ids=["loss", "metric"],
)
def test_numbers_that_are_not_finite_stop_the_training(tmp_path, line, message):
    with pytest.raises(TumorRatioError, match=message):
        train(line, TrainingOptions(epochs=2), CPU, tmp_path, title="line")
    assert not list(tmp_path.iterdir())


class TwoPhases(Line):
    """Two weights with opposed aims, as a generator and a discriminator have."""

    phases = ("up", "down")
    monitor = ""

    def __init__(self):
        super().__init__([])
        self.module = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(torch.zeros(1)) for name in self.phases}
        )

    def parameters(self, phase):
        return [self.module[phase]]

    def training_step(self, phase, batch, generator):
        total = self.module["up"].sum() + self.module["down"].sum()
        return {"loss": -total if phase == "up" else total}


def test_each_phase_moves_only_its_own_parameters(tmp_path):
    pair = TwoPhases()
    plan = TrainingOptions(epochs=1, optimizer=OptimizerOptions(learning_rate=0.5, momentum=0.0))
    trained = train(pair, plan, CPU, tmp_path, title="pair")
    assert pair.module["up"].item() == 0.5
    assert pair.module["down"].item() == -0.5
    assert {"train_up_loss", "train_down_loss"} <= set(trained.history[0])


def test_a_schedule_of_its_own_and_beta1_reach_the_optimizer(tmp_path):
    rates = {0: 1.0, 1: 0.5, 2: 0.25}
    plan = TrainingOptions(epochs=3, optimizer=OptimizerOptions("adamw", 0.1, beta1=0.0))
    line = Line([0.3, 0.2, 0.1])
    with torch.no_grad():
        line.module.weight.zero_()
    trained = train(line, plan, CPU, tmp_path, title="line", schedule=rates.__getitem__)
    assert [record["learning_rate"] for record in trained.history] == [0.1, 0.05, 0.025]
    # Without momentum, Adam's steps of an almost constant gradient are the learning rates.
    assert line.module.weight.item() == pytest.approx(0.175, abs=0.01)


def test_a_reason_to_end_keeps_the_epoch_before_it_and_survives_a_resume(tmp_path):
    def ending(record):
        return "it has gone bad" if record["val_mae"] < 0.05 else ""

    plan = TrainingOptions(epochs=9)
    line = Line([0.3, 0.2, 0.01, 0.1])
    trained = train(line, plan, CPU, tmp_path, title="line", ending=ending)
    assert (len(trained.history), trained.best_epoch) == (3, 2)
    assert trained.ended == "it has gone bad"
    again = train(Line([]), plan, CPU, tmp_path, title="line", ending=ending)
    assert again == trained
    with pytest.raises(TumorRatioError, match="line: no epoch is usable: it has gone bad"):
        train(Line([0.01]), plan, CPU, tmp_path / "other", title="line", ending=ending)


def test_losses_of_phases_keep_their_own_names(tmp_path):
    class Named(TwoPhases):
        def training_step(self, phase, batch, generator):
            losses = super().training_step(phase, batch, generator)
            return {**losses, f"of_{phase}": losses["loss"]}

    trained = train(Named(), TrainingOptions(epochs=1), CPU, tmp_path, title="pair")
    names = {name for name in trained.history[0] if name.startswith("train_")}
    assert names == {"train_up_loss", "train_down_loss", "train_of_up", "train_of_down"}


def test_a_damaged_checkpoint_says_so(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TumorRatioError, match=r"checkpoint\.pt is damaged .*delete its folder"):
        fit(tmp_path, options())


def test_generators_and_progress_survive_the_checkpoint(tmp_path):
    generator = np.random.default_rng(5)
    generator.random(3)
    folder = CheckpointFolder(tmp_path)
    assert folder.load() is None
    history = ({"epoch": 1.0, "val_mae": 0.25},)
    folder.save_best(1, {"w": torch.ones(2)})
    folder.save(Progress(history, 1, 0.25), {"order": generator_to_text(generator)})
    progress, state = folder.load()
    assert progress == Progress(history, 1, 0.25)
    assert generator_from_text(state["order"]).random() == generator.random()
    assert torch.equal(folder.load_best(1)["w"], torch.ones(2))


def test_slides_in_both_parts_are_refused(tmp_path):
    patches = planted_patches(8, seed=0)
    with pytest.raises(ValueError, match="are in training and in validation"):
        fit_regressor(
            Architecture("resnet18", 32),
            BackboneOptions(),
            HeadOptions(),
            LossOptions(),
            options(),
            patches,
            patches,
            tmp_path,
            title="leak",
        )


def test_labelled_patches_refuse_what_cannot_be_learned():
    rgb = ArrayPatches(np.zeros((2, 8, 8, 3), dtype=np.uint8))
    ones, slides = np.ones(2, dtype=np.float32), np.array(["a", "b"])
    with pytest.raises(ValueError, match="differ in number"):
        LabelledPatches(rgb, ones[:1], ones, slides)
    with pytest.raises(ValueError, match="without a ratio"):
        LabelledPatches(rgb, ones * np.nan, ones, slides)
    with pytest.raises(ValueError, match="weights must be finite"):
        LabelledPatches(rgb, ones, -ones, slides)


@pytest.mark.skipif(not has_native_bf16("cpu"), reason="this processor has no bf16")
def test_auto_takes_bf16_where_the_processor_has_it():
    from tumor_ratio.models.devices import resolve_compute

    assert resolve_compute(ComputeOptions(device="cpu")).precision == "bf16"
