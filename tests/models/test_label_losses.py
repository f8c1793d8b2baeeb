"""Losses that know how a label came about."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

from tumor_ratio.approaches.network import architecture_of
from tumor_ratio.models.bins import balanced_weights, bin_numbers
from tumor_ratio.models.devices import ComputeOptions, resolve_compute
from tumor_ratio.models.losses import beta_binomial_loss, bin_loss, regression_loss
from tumor_ratio.models.model_folder import load_regressor, write_model
from tumor_ratio.models.normalisation import PatchNormalisation
from tumor_ratio.models.patch_source import LabelIntervals, LabelledPatches
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_fit import fit_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
)
from tumor_ratio.models.teaching import Teaching
from tumor_ratio.models.training import Trained
from tumor_ratio.models.training_options import (
    AugmentationOptions,
    OptimizerOptions,
    TrainingOptions,
)
from tumor_ratio.models.validation import bin_accuracy, metrics_of_answers

from .planted import planted_patches

FLOAT32 = ComputeOptions(device="cpu", precision="float32", threads=1)
GRID = torch.linspace(0, 1, 201)


@pytest.mark.parametrize("name", ["cross_entropy", "beta_binomial"])
@pytest.mark.parametrize("logit", [-15.0, -10.0, 10.0, 15.0])
def test_an_answer_far_off_is_drawn_back(name, logit):
    output = torch.tensor([logit], requires_grad=True)
    target, nuclei = torch.tensor([0.4]), torch.tensor([50.0])
    regression_loss(torch.sigmoid(output), target, nuclei, LossOptions(name)).backward()
    pull = torch.sign(output.detach()) * output.grad
    assert pull.item() > (0.3 if name == "cross_entropy" else 1e-6)


# --- beta-binomial


@pytest.mark.parametrize(("k", "n", "rho"), [(0, 30, 0.01), (7, 30, 0.05), (30, 30, 0.3)])
def test_the_likelihood_is_scipys(k, n, rho):
    means = np.array([0.1, 0.4, 0.9])
    s = 1 / rho - 1
    expected = -betabinom.logpmf(k, n, means * s, (1 - means) * s)
    found = beta_binomial_loss(
        torch.tensor(means), torch.full((3,), k / n).double(), torch.full((3,), float(n)), rho
    ).numpy()
    np.testing.assert_allclose(np.diff(found), np.diff(expected), atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_the_likelihood_is_least_at_the_label(share):
    losses = beta_binomial_loss(GRID, torch.full_like(GRID, share), torch.tensor(80.0), 0.01)
    assert torch.isfinite(losses).all()
    # The prior's half counts draw towards the middle, by 0.5 rho (1 - 2 y) at most.
    assert float(GRID[losses.argmin()]) == pytest.approx(share, abs=0.011)


def test_the_planted_mean_is_what_many_uneven_labels_agree_on():
    rng = np.random.default_rng(0)
    n = rng.integers(5, 200, 4000)
    s = 1 / 0.05 - 1
    share = rng.binomial(n, rng.beta(0.15 * s, 0.85 * s, len(n))) / n
    target, weight = torch.tensor(share).float(), torch.tensor(n).float()
    losses = [
        float(
            regression_loss(
                torch.full_like(target, float(m)),
                target,
                weight,
                LossOptions("beta_binomial", correlation=0.05),
            )
        )
        for m in GRID
    ]
    assert float(GRID[int(np.argmin(losses))]) == pytest.approx(0.15, abs=0.006)


def test_without_correlation_it_is_the_cross_entropy_of_every_nucleus():
    predicted, target = torch.tensor([0.2, 0.6]), torch.tensor([0.3, 0.1])
    n = torch.tensor([10.0, 40.0])
    of_each = -(target * predicted.log() + (1 - target) * (1 - predicted).log())
    found = regression_loss(
        predicted.double(), target, n, LossOptions("beta_binomial", correlation=1e-4)
    )
    assert float(found) == pytest.approx(float((of_each * n).sum() / n.sum()), rel=0.01)


def test_correlated_nuclei_let_many_outweigh_few_by_less():
    def pull(n: float, rho: float) -> float:
        predicted = torch.tensor([0.3], requires_grad=True)
        beta_binomial_loss(predicted, torch.tensor([0.5]), torch.tensor([n]), rho).backward()
        return abs(float(predicted.grad))

    assert pull(200, 1e-4) / pull(20, 1e-4) == pytest.approx(10, rel=0.05)
    assert pull(200, 0.1) / pull(20, 0.1) < 2
    nothing = torch.tensor([0.3], requires_grad=True)
    loss = regression_loss(
        nothing, torch.tensor([0.5]), torch.tensor([0.0]), LossOptions("beta_binomial")
    )
    loss.backward()
    assert (float(loss.detach()), float(nothing.grad)) == (0, 0)


# --- interval


def test_within_the_interval_nothing_is_lost_and_beyond_it_the_distance_is():
    predicted = torch.tensor([0.10, 0.25, 0.40, 0.90], requires_grad=True)
    lower, upper = torch.full((4,), 0.2), torch.full((4,), 0.4)
    target, options = torch.full((4,), 0.3), LossOptions("interval")
    loss = regression_loss(predicted, target, None, options, interval=(lower, upper))
    by_hand = [0.1 - 0.025, 0, 0, 0.5 - 0.025]
    assert float(loss.detach()) == pytest.approx(np.mean(by_hand))
    loss.backward()
    np.testing.assert_allclose(predicted.grad * 4, [-1, 0, 0, 1])
    with pytest.raises(ValueError, match="needs the labels' intervals"):
        regression_loss(predicted, target, None, options)


def test_an_interval_of_no_width_is_the_studys_loss():
    rng = torch.Generator().manual_seed(0)
    predicted, target = torch.rand(20, generator=rng), torch.rand(20, generator=rng)
    plain = regression_loss(predicted, target, None, LossOptions())
    narrow = regression_loss(
        predicted, target, None, LossOptions("interval"), interval=(target, target)
    )
    assert torch.equal(plain, narrow)


def test_intervals_the_wrong_way_round_or_too_few_are_refused():
    half = np.full(2, 0.5, dtype=np.float32)
    with pytest.raises(ValueError, match="lower bound must be at most"):
        LabelIntervals(half, half - 0.1)
    with pytest.raises(ValueError, match="lower bound must be at most"):
        LabelIntervals(half * np.nan, half)
    patches = planted_patches(4, seed=0)
    with pytest.raises(ValueError, match="intervals differ in number"):
        dataclasses.replace(patches, intervals=LabelIntervals(half, half))


# --- bins


def test_a_ratio_on_an_edge_belongs_to_the_bin_above_in_labels_and_loss_alike():
    ratios = np.array([0, 0.1999, 0.2, 0.4999, 0.5, 1], dtype=np.float32)
    assert bin_numbers(ratios, (0.2, 0.5)).tolist() == [0, 0, 1, 1, 2, 2]
    scores = torch.eye(3)[torch.tensor([0, 0, 1, 1, 2, 2])] * 50
    loss = bin_loss(
        scores,
        torch.from_numpy(ratios),
        torch.ones(6),
        LossOptions("bin_cross_entropy"),
        edges=(0.2, 0.5),
    )
    assert float(loss) < 1e-6


def test_balanced_weights_make_rare_bins_count_as_much_as_common_ones():
    ratios = np.array([0.1] * 6 + [0.3] * 3 + [0.9])
    weights = balanced_weights(ratios, (0.2, 0.5))
    np.testing.assert_allclose(weights, [10 / 18, 10 / 9, 10 / 3], rtol=1e-6)
    np.testing.assert_allclose(balanced_weights(ratios[:6], (0.2, 0.5)), [1 / 3, 0, 0])
    # A network that knows nothing but the weighted frequencies is best off with equal shares.
    free = torch.zeros(3, requires_grad=True)
    target, equal = torch.from_numpy(ratios).float(), LossOptions("bin_cross_entropy")
    loss = bin_loss(
        free.expand(10, 3),
        target,
        torch.ones(10),
        equal,
        edges=(0.2, 0.5),
        class_weights=torch.from_numpy(weights),
    )
    loss.backward()
    np.testing.assert_allclose(free.grad, 0, atol=1e-6)


def test_a_patchs_weight_counts_in_the_loss_of_bins():
    scores, target = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0.1, 0.1])
    by_hand = [np.log1p(np.exp(-2)), np.log(2)]
    options = LossOptions("bin_cross_entropy", weighted=True)
    found = bin_loss(scores, target, torch.tensor([3.0, 1.0]), options, edges=(0.5,))
    assert float(found) == pytest.approx((3 * by_hand[0] + by_hand[1]) / 4)


def test_a_head_of_bins_answers_the_expectation_of_their_training_means(tmp_path):
    architecture = architecture_of(
        "resnet18_bins", BackboneOptions(), HeadOptions(bins=(0.2, 0.5)), 32
    )
    assert architecture.backbone == "resnet18"
    network = build_regressor(architecture, BackboneOptions(), seed=0).eval()
    np.testing.assert_allclose(network.bin_ratios, [0.1, 0.35, 0.75])  # centres
    network.learn_bin_ratios(np.array([0.02, 0.06, 0.9, 0.6]))
    np.testing.assert_allclose(network.bin_ratios, [0.04, 0.35, 0.75])  # none in the middle
    network.head[-1].weight.data.zero_()
    network.head[-1].bias.data = torch.log(torch.tensor([0.5, 0.3, 0.2]))
    patches = planted_patches(3, seed=0)
    normalisation = PatchNormalisation()
    predictor = Predictor(network, normalisation, resolve_compute(FLOAT32))
    np.testing.assert_allclose(predictor.bin_shares(patches.source), [[0.5, 0.3, 0.2]] * 3)
    ratios = predictor.predict_source(patches.source)
    np.testing.assert_allclose(ratios, 0.5 * 0.04 + 0.3 * 0.35 + 0.2 * 0.75, rtol=1e-6)

    write_model(tmp_path, network, normalisation, {"approach": "resnet18_bins"})
    again = load_regressor(tmp_path, FLOAT32)
    assert again.network.architecture == architecture
    np.testing.assert_array_equal(again.predict_source(patches.source), ratios)


def test_half_precision_of_a_head_does_not_round_the_expectation():
    architecture = Architecture("test_resnet", 32, bins=(0.2, 0.5))
    network = build_regressor(architecture, BackboneOptions(), seed=0).eval()
    features = torch.rand(
        6, network.head[0].in_features, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        shares, answers = network.bin_shares(features), network.answer(features)
    expected = shares.double() @ network.bin_ratios.double()
    np.testing.assert_allclose(answers, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "beta_binomial"])
def test_parts_without_nuclei_teach_nothing_and_others_count_by_theirs(name):
    teaching = Teaching(LossOptions(name, parts=2))
    answers = torch.tensor([[[0.2, 0.4], [0.6, 0.8]]])
    labels = {
        "part_ratio": torch.tensor([[[0.1, 0.5], [0.9, 1.0]]]),
        "part_weight": torch.tensor([[[10.0, 30.0], [0.0, 0.0]]]),
    }
    found = float(teaching.loss_of_parts(answers, labels))
    labels["part_ratio"][0, 1] = 0.0
    assert float(teaching.loss_of_parts(answers, labels)) == found
    p, y, n = np.array([0.2, 0.4]), np.array([0.1, 0.5]), np.array([10, 30])
    entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    by_hand = (entropy * n).sum() / n.sum()
    assert found == pytest.approx(by_hand, rel=1e-5 if name == "cross_entropy" else 0.2)


def test_the_accuracy_of_bins_is_that_of_the_likeliest_one_not_of_the_expectation():
    architecture = Architecture("test_resnet", 32, bins=(0.2, 0.5))
    network = build_regressor(architecture, BackboneOptions(), seed=0)
    ratios = np.array([0.1, 0.1, 0.1, 0.9], dtype=np.float32)
    patches = dataclasses.replace(
        planted_patches(4, seed=0), ratios=ratios, slides=np.array(["a", "a", "a", "b"])
    )
    # Likeliest is the lowest bin, while the expectation 0.31 lies in the second.
    shares = np.array([[0.6, 0.1, 0.3]] * 4, dtype=np.float32)
    metrics = metrics_of_answers(shares, network, patches)
    assert metrics["val_bin_accuracy"] == 0.5  # slides count alike
    expected = 0.6 * 0.1 + 0.1 * 0.35 + 0.3 * 0.75
    mae = ((expected - 0.1) + (0.9 - expected)) / 2
    assert metrics["val_mae"] == pytest.approx(mae, abs=1e-6)
    assert bin_accuracy(np.array([0, 1, 0, 2]), patches, (0.2, 0.5)) == pytest.approx(5 / 6)


# --- every loss learns


def patches_with_intervals(n: int, *, seed: int, prefix: str = "t") -> LabelledPatches:
    patches = planted_patches(n, seed=seed, prefix=prefix)
    lower, upper = (patches.ratios - 0.03).clip(0), (patches.ratios + 0.03).clip(max=1)
    return dataclasses.replace(
        patches,
        weights=np.random.default_rng(seed).uniform(20, 80, n).astype(np.float32),
        intervals=LabelIntervals(lower, upper),
    )


def fit(loss: LossOptions, head: HeadOptions, folder: Path) -> tuple[Predictor, Trained]:
    options = TrainingOptions(
        epochs=8,
        batch_size=16,
        schedule="onecycle",
        optimizer=OptimizerOptions("adamw", learning_rate=5e-3),
        augmentation=AugmentationOptions("none"),
        compute=FLOAT32,
    )
    return fit_regressor(
        architecture_of("mine", BackboneOptions("test_resnet"), head, 32),
        BackboneOptions("test_resnet"),
        head,
        loss,
        options,
        patches_with_intervals(160, seed=1),
        patches_with_intervals(24, seed=2, prefix="v"),
        folder,
        title="planted",
    )


@pytest.mark.parametrize(
    ("loss", "head"),
    [
        (LossOptions("smooth_l1"), HeadOptions()),
        (LossOptions("mse"), HeadOptions()),
        (LossOptions("l1"), HeadOptions()),
        (LossOptions("cross_entropy"), HeadOptions(bounded=True)),
        (LossOptions("beta_binomial"), HeadOptions(bounded=True)),
        (LossOptions("interval"), HeadOptions(bounded=True)),
        (LossOptions("bin_cross_entropy"), HeadOptions(bins=(0.2, 0.5))),
        (
            LossOptions("bin_cross_entropy", class_weights="balanced"),
            HeadOptions(bins=(0.2, 0.4, 0.6, 0.8)),
        ),
    ],
    ids=lambda value: value.name if isinstance(value, LossOptions) else "",
)
def test_a_small_network_learns_what_is_planted_with_every_loss(loss, head, tmp_path):
    predictor, trained = fit(loss, head, tmp_path)
    unseen = planted_patches(40, seed=3)
    error = np.abs(predictor.predict_source(unseen.source) - unseen.ratios).mean()
    assert error < 0.13  # always answering the median errs by 0.25
    if head.bins:
        assert max(record["val_bin_accuracy"] for record in trained.history) > 0.7
    else:
        assert "val_bin_accuracy" not in trained.history[0]
