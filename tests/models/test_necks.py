"""Maps of chosen strides, their means and spreads, and a transformer on their places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tumor_ratio.approaches.network import architecture_of
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.ensemble_fit import fit_ensemble
from tumor_ratio.models.model_folder import load_regressor, write_model
from tumor_ratio.models.necks import TokenTransformer, mean_and_spread
from tumor_ratio.models.patch_source import ArrayPatches
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
    PoolingOptions,
)
from tumor_ratio.models.training_options import (
    AugmentationOptions,
    OptimizerOptions,
    TrainingOptions,
)

from .planted import half_planted_patches, planted_patches

SIDE = 32
SPREAD = PoolingOptions("mean_spread", strides=(4, 8))
TOKENS = PoolingOptions("transformer", strides=(8,), width=16, depth=1, heads=2)
MERGED = PoolingOptions("transformer", strides=(8,), merge=2, width=16, depth=1, heads=2)
FLOAT32 = ComputeOptions(device="cpu", precision="float32", threads=1)


def network_with(pooling: PoolingOptions, name: str = "test_resnet"):
    return build_regressor(
        Architecture(name, SIDE, hidden=8, pooling=pooling), BackboneOptions(), seed=0
    ).eval()


def test_means_and_spreads_are_those_of_the_maps_places():
    one, other = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 2, 2)
    found = mean_and_spread([one, other]).numpy()
    expected = [
        value
        for each in (one.numpy(), other.numpy())
        for value in (each.mean(axis=(2, 3)), each.std(axis=(2, 3)))
    ]
    assert np.allclose(found, np.concatenate(expected, axis=1), atol=1e-6)


@pytest.mark.parametrize("pooling", [SPREAD, TOKENS, MERGED])
def test_a_patch_is_answered_whatever_stands_beside_it(pooling):
    network = network_with(pooling)
    images = torch.rand(5, 3, SIDE, SIDE)
    with torch.no_grad():
        together, alone = network(images), torch.cat([network(image[None]) for image in images])
    assert together.shape == (5,)
    assert torch.allclose(together, alone, atol=1e-6)


def test_a_transformer_knows_places_and_its_parts_make_up_the_whole():
    network = network_with(TOKENS)
    torch.nn.init.normal_(network.neck.position)
    images = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert not torch.allclose(network(images), network(images.flip(-1)), atol=1e-4)
        whole, parts = network.with_parts(images, 2)
        assert parts.shape == (2, 2, 2)
        assert torch.allclose(whole, network(images), atol=1e-6)


def test_a_token_holds_its_square_of_places():
    neck = TokenTransformer(3, 4, MERGED)
    neck.blocks = torch.nn.Identity()  # tokens that do not see one another
    maps = torch.rand(1, 3, 4, 4)
    changed = maps.clone()
    changed[..., 3, 1] += 1  # a place of the lower left token
    with torch.no_grad():
        moved = (neck.grid(maps) != neck.grid(changed)).any(dim=1)[0]
    assert moved.tolist() == [[False, False], [True, False]]
    with pytest.raises(ConfigurationError, match="map of 5 x 5 places") as caught:
        TokenTransformer(3, 5, MERGED)
    assert "pooling.merge" in caught.value.remedy


def test_maps_that_a_backbone_lacks_are_named():
    with pytest.raises(ConfigurationError, match="has no map of stride 3") as caught:
        network_with(PoolingOptions("mean_spread", strides=(3,)))
    assert "4, 8, 16" in caught.value.remedy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "mean_spread"}, "takes one or more pooling.strides"),
        ({"name": "transformer", "strides": (8, 16)}, "takes one pooling.strides"),
        ({"strides": (8,)}, "takes no pooling.strides"),
        ({"name": "transformer", "strides": (8,), "width": 30}, "no multiple of 4 heads"),
        ({"name": "transformer", "strides": (8,), "depth": 0}, "depth must be at least 1"),
    ],
)
def test_impossible_poolings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PoolingOptions(**options)


def test_a_name_that_promises_a_transformer_has_one():
    with pytest.raises(ConfigurationError, match="means a transformer"):
        architecture_of("lite0_vit", BackboneOptions(), HeadOptions(), 224)


@pytest.fixture
def weights(tmp_path):
    donor = build_regressor(Architecture("test_resnet", SIDE), BackboneOptions(), seed=9)
    save_file(donor.backbone.state_dict(), tmp_path / "w.safetensors")
    return str(tmp_path / "w.safetensors")


def fit_frozen(weights, folder, pooling, *, copies=2, parts=0, epochs=25):
    backbone = BackboneOptions(
        "test_resnet", weights_path=weights, frozen=True, copies=copies, pooling=pooling
    )
    head = HeadOptions(hidden=32, dropout=0.0, bounded=True, start_at_mean=True)
    augmentation = AugmentationOptions("dihedral" if copies > 1 else "none")
    return fit_ensemble(
        1,
        architecture_of("mine", backbone, head, SIDE),
        backbone,
        head,
        LossOptions("cross_entropy", parts=parts),
        TrainingOptions(
            epochs=epochs,
            batch_size=16,
            optimizer=OptimizerOptions("adamw", learning_rate=0.01),
            augmentation=augmentation,
            compute=FLOAT32,
        ),
        planted_patches(96, seed=1, parts=parts),
        planted_patches(16, seed=2, prefix="v"),
        folder,
        title="frozen",
    )


@pytest.mark.parametrize(("pooling", "parts"), [(SPREAD, 0), (TOKENS, 0), (TOKENS, 2)])
def test_what_lies_above_a_frozen_backbone_learns(weights, tmp_path, pooling, parts):
    predictor, (trained,) = fit_frozen(weights, tmp_path / "m", pooling, parts=parts)
    unseen = planted_patches(40, seed=3)
    error = np.abs(predictor.predict_source(unseen.source) - unseen.ratios).mean()
    assert error < 0.12  # always answering the median errs by 0.25
    best = trained.history[trained.best_epoch - 1]["val_mae"]
    held_out = planted_patches(16, seed=2, prefix="v")
    found = np.abs(predictor.predict_source(held_out.source) - held_out.ratios).mean()
    assert found == pytest.approx(best, abs=2e-3)  # maps are kept in half precision


def test_a_model_folder_rebuilds_the_neck(weights, tmp_path):
    predictor, _ = fit_frozen(weights, tmp_path / "m", TOKENS, epochs=1)
    write_model(tmp_path / "f", predictor.network, predictor.normalisation, {"mpp": 1.0})
    rgb = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE, 3), dtype=np.uint8)
    again = load_regressor(tmp_path / "f", FLOAT32)
    np.testing.assert_allclose(again.predict(rgb), predictor.predict(rgb), atol=1e-6)
    assert again.predict_source(ArrayPatches(rgb[:0])).shape == (0,)


def test_copies_are_drawn_and_the_first_is_the_patch_itself(weights, tmp_path):
    from tumor_ratio.models.frozen_training import features_of

    predictor, _ = fit_frozen(weights, tmp_path / "m", TOKENS, epochs=1)
    patches = half_planted_patches(12, seed=5, side=SIDE)
    found = features_of(
        predictor,
        patches,
        planted_patches(4, seed=6, prefix="v"),
        tmp_path / "features",
        copies=3,
        augmentation=AugmentationOptions("dihedral"),
        seed=1,
    )
    assert found.training.shape[:2] == (3, 12)
    itself = torch.from_numpy(predictor.seen(patches.source))
    assert torch.allclose(found.training[0].float(), itself, rtol=1e-3, atol=1e-3)
    assert np.allclose(found.parts["part_ratio"][0].numpy(), patches.parts.ratios)
    turned = found.parts["part_ratio"][1:].flatten(2).sort(dim=2).values
    plain = found.parts["part_ratio"][:1].flatten(2).sort(dim=2).values
    assert torch.allclose(turned, plain.expand_as(turned))  # parts turn with their patch
    assert not torch.equal(found.parts["part_ratio"][1], found.parts["part_ratio"][0])
