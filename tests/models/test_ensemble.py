"""Ensembles and views of a patch: means of answers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.devices import ComputeOptions, resolve_compute
from tumor_ratio.models.ensemble_fit import fit_ensemble, together
from tumor_ratio.models.model_folder import has_model, load_regressor, read_card, write_model
from tumor_ratio.models.normalisation import PatchNormalisation
from tumor_ratio.models.predictor import Predictor, views
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_fit import fit_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
)
from tumor_ratio.models.training_options import (
    AugmentationOptions,
    OptimizerOptions,
    TrainingOptions,
)

from .planted import planted_patches

FLOAT32 = ComputeOptions(device="cpu", precision="float32", threads=1)
OPTIONS = TrainingOptions(
    epochs=3,
    batch_size=16,
    optimizer=OptimizerOptions("adamw", learning_rate=1e-3),
    augmentation=AugmentationOptions("dihedral"),
    seed=5,
    compute=FLOAT32,
)
PLAN = (Architecture("test_resnet", 32), BackboneOptions(), HeadOptions(), LossOptions())
RGB = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


class KilledError(Exception):
    """Stands for `kill -9`: nothing in the loop handles it."""


def patches():
    return planted_patches(32, seed=1), planted_patches(12, seed=2, prefix="v")


def fit(size: int, folder: Path, *, on_epoch=None):
    return fit_ensemble(size, *PLAN, OPTIONS, *patches(), folder, title="p", on_epoch=on_epoch)


def networks(predictor: Predictor) -> list:
    return [predictor.network, *predictor.others]


def same(first: Predictor, second: Predictor) -> bool:
    pairs = zip(networks(first), networks(second), strict=True)
    return all(
        torch.equal(value, b.state_dict()[name])
        for a, b in pairs
        for name, value in a.state_dict().items()
    )


def test_an_ensemble_answers_the_mean_of_trainings_by_consecutive_seeds(tmp_path):
    predictor, trained = fit(3, tmp_path / "all")
    alone = []
    for seed in (5, 6, 7):
        options = dataclasses.replace(OPTIONS, seed=seed)
        member, _ = fit_regressor(*PLAN, options, *patches(), tmp_path / str(seed), title="p")
        alone.append(member.predict(RGB))
    np.testing.assert_allclose(predictor.predict(RGB), np.mean(alone, axis=0), atol=1e-7)
    assert np.ptp(alone, axis=0).min() > 1e-4
    assert len(trained) == 3


def test_one_member_is_what_a_single_training_is(tmp_path):
    predictor, (trained,) = fit(1, tmp_path / "one")
    alone, history = fit_regressor(*PLAN, OPTIONS, *patches(), tmp_path / "alone", title="p")
    assert same(predictor, alone)
    assert trained.best_epoch == history.best_epoch
    assert (tmp_path / "one" / "checkpoint.pt").is_file()
    with pytest.raises(ValueError, match="at least one member"):
        fit(0, tmp_path)


def test_a_killed_ensemble_goes_on_bit_equal_and_trains_no_finished_member_again(tmp_path):
    whole, trained = fit(2, tmp_path / "whole")
    told = {}

    def kill_in_the_second(metrics, epoch):
        told[epoch] = metrics
        if epoch == 4:
            raise KilledError

    with pytest.raises(KilledError):
        fit(2, tmp_path / "cut", on_epoch=kill_in_the_second)
    assert [told[epoch]["member"] for epoch in (1, 2, 3, 4)] == [1, 1, 1, 2]
    first = tmp_path / "cut" / "member_01" / "checkpoint.pt"
    before, seen = first.stat().st_mtime_ns, []
    again, history = fit(2, tmp_path / "cut", on_epoch=lambda m, e: seen.append(e))
    assert same(whole, again)
    assert first.stat().st_mtime_ns == before
    assert seen == [1, 2, 3, 4, 5, 6]
    for one, other in zip(trained, history, strict=True):
        for a, b in zip(one.history, other.history, strict=True):
            assert {**a, "seconds": 0} == {**b, "seconds": 0}


def make(seeds: list[int], flips="none", *, bins=()) -> Predictor:
    compute = resolve_compute(FLOAT32)
    architecture = Architecture("test_resnet", 32, bins=bins)
    built = [build_regressor(architecture, BackboneOptions(), seed=seed).eval() for seed in seeds]
    return Predictor(built[0], PatchNormalisation(), compute, tuple(built[1:]), flips)


def test_a_folder_of_an_ensemble_gives_the_same_answers_back(tmp_path):
    three, two = make([0, 1, 2]), make([3, 4])
    for predictor in (three, two):
        card = write_model(
            tmp_path, predictor.network, predictor.normalisation, {}, predictor.others
        )
        assert card["members"] == len(networks(predictor))
        assert has_model(tmp_path)
        again = load_regressor(tmp_path, FLOAT32)
        np.testing.assert_allclose(again.predict(RGB), predictor.predict(RGB), atol=1e-6)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert files == ["model.safetensors", "model_02.safetensors"]  # none left of the three
    (tmp_path / "model_02.safetensors").unlink()
    assert not has_model(tmp_path)
    with pytest.raises(ModelUnavailableError, match=r"no weights at .*model_02"):
        load_regressor(tmp_path, FLOAT32)


def test_a_card_that_speaks_of_no_members_means_one(tmp_path):
    one = make([0])
    write_model(tmp_path, one.network, one.normalisation, {})
    card = read_card(tmp_path)
    del card["members"], card["architecture"]["bins"]  # as cards were before there were any
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert has_model(tmp_path)
    again = load_regressor(tmp_path, FLOAT32)
    np.testing.assert_allclose(again.predict(RGB), one.predict(RGB), atol=1e-6)


def test_members_that_see_colours_differently_do_not_go_together():
    one, other = make([0]), make([1])
    assert len(together([one, other]).others) == 1
    other = dataclasses.replace(other, normalisation=PatchNormalisation(0.5))
    with pytest.raises(ValueError, match="see colours alike"):
        together([one, other])


def test_the_views_of_a_patch_are_all_eight_each_once():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    turned = [torch.rot90(image[0, 0], k) for k in range(4)]
    expected = {tuple(t.flatten().tolist()) for t in (*turned, *(t.flip(1) for t in turned))}
    found = [tuple(view.flatten().tolist()) for view in views(image, "dihedral")]
    assert len(found) == 8
    assert set(found) == expected
    assert [torch.equal(view, image) for view in views(image, "none")] == [True]


def test_flipped_answers_are_their_mean_and_the_same_for_a_turned_patch():
    plain, flipped = make([0, 1]), make([0, 1], "dihedral")
    turned = [np.rot90(RGB, k, axes=(1, 2)) for k in range(4)]
    turned += [view[:, :, ::-1] for view in turned]
    by_hand = np.mean([plain.predict(np.ascontiguousarray(view)) for view in turned], axis=0)
    np.testing.assert_allclose(flipped.predict(RGB), by_hand, atol=1e-6)
    np.testing.assert_allclose(
        flipped.predict(np.ascontiguousarray(turned[5])), flipped.predict(RGB), atol=1e-6
    )
    assert np.abs(plain.predict(RGB) - flipped.predict(RGB)).max() > 1e-5


def test_probabilities_of_bins_are_averaged_alike_and_features_are_of_one_network():
    three = make([0, 1, 2], "dihedral", bins=(0.2, 0.5))
    source = planted_patches(4, seed=0).source
    shares = three.bin_shares(source)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    expected = shares @ three.network.bin_ratios.numpy()
    np.testing.assert_allclose(three.predict_source(source), expected, atol=1e-6)
    np.testing.assert_array_equal(three.seen(source), make([0], bins=(0.2, 0.5)).seen(source))
