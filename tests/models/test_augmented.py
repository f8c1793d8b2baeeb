"""Random stains, turns, sizes, blur and noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tumor_ratio.imaging.stains import H_E
from tumor_ratio.models.augmentation import augment
from tumor_ratio.models.augmented_optics import add_noise, blur, turn_and_scale
from tumor_ratio.models.augmented_stains import jitter_stains
from tumor_ratio.models.normalisation import PatchNormalisation
from tumor_ratio.models.training_options import AugmentationOptions

DIRECTIONS = torch.as_tensor(H_E.matrix(), dtype=torch.float32)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stained(amounts: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) intensities of (B, H, W, 3) amounts of hematoxylin, eosin and residual."""
    return (255 * 10 ** -(amounts @ DIRECTIONS)).permute(0, 3, 1, 2)


def amounts_of(images: torch.Tensor) -> torch.Tensor:
    density = -torch.log10(images.permute(0, 2, 3, 1) / 255)
    return density @ torch.linalg.inv(DIRECTIONS)


def test_each_stain_gets_a_factor_and_a_shift_of_its_own_within_bounds():
    rng = np.random.default_rng(0)
    planted = torch.from_numpy(rng.uniform(0.5, 0.9, (200, 4, 4, 3)).astype(np.float32))
    planted[..., 2] = (planted[..., 2] - 0.7) / 4  # more would leave the range of intensities
    found = amounts_of(jitter_stains(stained(planted), 0.1, seeded()))
    factors, shifts = [], []
    for before, after in zip(planted.reshape(200, 16, 3), found.reshape(200, 16, 3), strict=True):
        for stain in range(3):
            slope, intercept = np.polyfit(before[:, stain], after[:, stain], 1)
            np.testing.assert_allclose(
                slope * before[:, stain] + intercept, after[:, stain], atol=1e-3
            )
            factors.append(slope)
            shifts.append(intercept)
    factors, shifts = np.reshape(factors, (200, 3)), np.reshape(shifts, (200, 3))
    assert (np.abs(factors - 1) < 0.103).all()
    assert (np.abs(shifts) < 0.103).all()
    assert np.abs(factors - 1).max() > 0.09
    assert np.abs(shifts).max() > 0.09
    for values in (factors, shifts):  # independent of each other, and about even
        assert np.abs(np.corrcoef(values.T) - np.eye(3)).max() < 0.25
        assert values.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.1)


def test_stain_jitter_reaches_a_network_that_sees_each_patch_by_its_own_colours():
    rng = np.random.default_rng(0)
    planted = torch.from_numpy(rng.uniform(0.1, 0.6, (8, 16, 16, 3)).astype(np.float32))
    planted[..., 2] = 0
    images, normalisation = stained(planted), PatchNormalisation()
    before = normalisation.apply(images)
    per_stain = normalisation.apply(jitter_stains(images, 0.2, seeded()))
    per_channel = normalisation.apply(
        augment(images, AugmentationOptions("none", stain_jitter=0.1), seeded())
    )
    assert (per_stain - before).abs().mean() > 3 * (per_channel - before).abs().mean()


def test_a_dot_goes_round_and_outwards_as_far_as_it_is_told():
    images = torch.zeros(300, 3, 65, 65)
    images[:, :, 32 - 2 : 32 + 3, 52 - 2 : 52 + 3] = 255.0  # 20 px right of the centre
    moved = turn_and_scale(images, 30.0, 0.2, seeded())[:, 0]
    weight = moved.sum(dim=(1, 2))
    y, x = torch.meshgrid(torch.arange(65.0) - 32, torch.arange(65.0) - 32, indexing="ij")
    x, y = (moved * x).sum(dim=(1, 2)) / weight, (moved * y).sum(dim=(1, 2)) / weight
    angle, radius = torch.rad2deg(torch.atan2(y, x)), torch.hypot(x, y) / 20
    assert 28 < float(angle.abs().max()) < 30.5
    assert -3 < float(angle.mean()) < 3
    assert 0.795 < float(radius.min()) < 0.82
    assert 1.18 < float(radius.max()) < 1.205


def test_turning_leaves_no_empty_corners():
    images = torch.full((20, 3, 32, 32), 200.0)
    torch.testing.assert_close(turn_and_scale(images, 45.0, 0.3, seeded()), images)


def test_blur_spreads_a_point_by_up_to_its_width_and_keeps_its_sum():
    images = torch.zeros(200, 3, 41, 41)
    images[:, 1, 20, 20] = 100.0
    blurred = blur(images, 2.0, seeded())
    torch.testing.assert_close(blurred.sum(dim=(2, 3)), images.sum(dim=(2, 3)))
    offset = torch.arange(41.0) - 20
    sigma = ((blurred[:, 1].sum(dim=1) * offset**2).sum(dim=1) / 100).sqrt()
    assert 1.85 < float(sigma.max()) < 2.01
    assert float(sigma.min()) < 0.3  # below some 0.3 px a point stays one
    assert 0.7 < float(sigma.mean()) < 1.2


def test_blur_leaves_the_other_share_of_the_images_as_it_is():
    images = torch.zeros(400, 3, 25, 25)
    images[:, :, 12, 12] = 100.0
    alike = (blur(images, 3.0, seeded(), share=0.5) == images).flatten(1).all(dim=1)
    # Below some 0.07 of the largest width a point stays a point, too.
    assert float(alike.float().mean()) == pytest.approx(0.5 + 0.5 * 0.04, abs=0.06)
    options = AugmentationOptions("none", blur_px=3.0, blur_share=0.5)
    assert torch.equal(augment(images, options, seeded()), blur(images, 3.0, seeded(), share=0.5))


def test_noise_is_as_strong_as_it_is_told_and_stays_in_range():
    noisy = add_noise(torch.full((300, 3, 32, 32), 128.0), 10.0, seeded())
    strength = noisy.std(dim=(1, 2, 3))
    assert 9.5 < float(strength.max()) < 10.3
    assert float(strength.mean()) == pytest.approx(5, abs=0.5)
    assert abs(float(noisy.mean()) - 128) < 0.1
    white = add_noise(torch.full((4, 3, 8, 8), 255.0), 50.0, seeded())
    assert float(white.max()) == 255


@pytest.mark.parametrize(
    "change",
    [
        {"hed_jitter": 0.05},
        {"rotation_degrees": 10.0},
        {"scale_jitter": 0.1},
        {"blur_px": 1.0},
        {"noise_levels": 5.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_option_alone_changes_images_reproducibly_and_each_its_own_way(change):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.uniform(60, 220, (3, 3, 24, 24)).astype(np.float32))
    images = images[:1].repeat(3, 1, 1, 1)
    options = AugmentationOptions("none", **change)
    assert options.varies
    varied = augment(images, options, seeded())
    assert torch.equal(varied, augment(images, options, seeded()))
    with torch.autocast("cpu", dtype=torch.bfloat16):  # as training steps run
        assert torch.equal(varied, augment(images, options, seeded()))
    assert not torch.allclose(varied[0], images[0])
    assert not torch.allclose(varied[0], varied[1])
    assert varied.shape == images.shape
    assert varied.min() >= 0
    assert varied.max() <= 255.01


def test_nothing_is_drawn_where_everything_is_off():
    generator = seeded()
    state = generator.get_state()
    images = torch.rand(2, 3, 8, 8) * 255
    assert augment(images, AugmentationOptions("none"), generator) is images
    assert torch.equal(generator.get_state(), state)
    assert not AugmentationOptions("none").varies
    assert AugmentationOptions().varies


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hed_jitter": 0.6}, r"hed_jitter must be in \[0, 0.5\], not 0.6"),
        ({"rotation_degrees": 50}, r"rotation_degrees must be in \[0, 45\], not 50"),
        ({"scale_jitter": -0.1}, r"scale_jitter must be in \[0, 0.5\]"),
        ({"blur_px": 6}, r"blur_px must be in \[0, 5\]"),
        ({"blur_share": 0}, r"blur_share must be in \(0, 1\]"),
        ({"noise_levels": -1}, r"noise_levels must be in \[0, 50\]"),
    ],
)
def test_bounds_are_kept(change, message):
    with pytest.raises(ValueError, match=message):
        AugmentationOptions(**change)
