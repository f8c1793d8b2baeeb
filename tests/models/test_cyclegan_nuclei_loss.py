"""Nuclei stay where they are; how dark they are does not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.models.test_cyclegan_pairing import generators_step, options
from tumor_ratio.imaging.stains import H_DAB, H_E
from tumor_ratio.models.cyclegan.nuclei_loss import nuclear_pattern, nuclei_loss

SIDE = 32


def stained(matrix: np.ndarray, nuclei: np.ndarray, counterstain: np.ndarray) -> torch.Tensor:
    """(1, 3, H, W) in [-1, 1] of two stains' densities."""
    od = nuclei[..., None] * matrix[0] + counterstain[..., None] * matrix[1]
    rgb = 256 * 10.0**-od - 1
    return torch.from_numpy(rgb.transpose(2, 0, 1)[None] / 127.5 - 1).float()


def places(seed: int = 0) -> np.ndarray:
    """Nuclei of 4 x 4 px somewhere."""
    corners = np.random.default_rng(seed).random((SIDE // 4, SIDE // 4)) < 0.2
    return corners.repeat(4, 0).repeat(4, 1).astype(float)


def test_the_other_stain_of_the_same_nuclei_costs_little_and_moved_or_inverted_ones_much():
    nuclei, flat = places(), np.full((SIDE, SIDE), 0.15)
    he = stained(H_E.matrix(), 0.8 * nuclei, flat)
    ihc = stained(H_DAB.matrix(), 0.4 * nuclei, 0.3 * nuclei)
    moved = stained(H_DAB.matrix(), 0.4 * np.roll(nuclei, 8, axis=1), 0 * flat)
    inverted = stained(H_DAB.matrix(), 0.4 * (1 - nuclei), 0 * flat)
    kept = nuclei_loss(he, ihc).item()
    assert kept < 0.35
    assert nuclei_loss(he, moved).item() > 3 * kept
    assert nuclei_loss(he, inverted).item() > 3 * kept
    assert nuclei_loss(he, he).item() == 0


def test_patterns_do_not_depend_on_how_much_stain_there_is_and_glass_has_none():
    nuclei, none = places(), np.zeros((SIDE, SIDE))
    weak, strong = (stained(H_E.matrix(), k * nuclei, none) for k in (0.6, 1.2))
    torch.testing.assert_close(nuclear_pattern(weak), nuclear_pattern(strong), rtol=0.1, atol=0.05)
    assert nuclear_pattern(strong).mean().item() == pytest.approx(1, abs=0.15)
    assert nuclear_pattern(torch.ones(1, 3, SIDE, SIDE)).abs().max().item() < 0.02
    assert torch.isfinite(nuclear_pattern(-torch.ones(1, 3, SIDE, SIDE))).all()


def test_a_step_teaches_both_generators_by_it_where_it_is_asked_for():
    training, found = generators_step(options(lambda_nuclei=2.0))
    shown = training._shown
    expected = 2 * (
        nuclei_loss(shown["real_A"], shown["fake_B"])
        + nuclei_loss(shown["real_B"], shown["fake_A"])
    )
    assert found["nuclei"].item() == pytest.approx(expected.item())
    found["nuclei"].backward()
    for network in (training.module.G_A, training.module.G_B):
        assert sum(float(w.grad.abs().sum()) for w in network.parameters()) > 0
    assert "nuclei" not in generators_step(options())[1]
    with pytest.raises(ValueError, match="lambda_nuclei must be at least 0, not -1"):
        options(lambda_nuclei=-1)


def plain_pattern(image: np.ndarray) -> np.ndarray:
    """Of one (3, H, W) image in [-1, 1], cell by cell."""
    od = -np.log10((np.clip((image[0] + 1) * 127.5, 0, 255) + 1) / 256)
    rows, columns = (range(0, side, 2) for side in od.shape)
    cells = np.array([[od[y : y + 2, x : x + 2].mean() for x in columns] for y in rows])
    return cells / (cells.mean() + 0.02)


def test_patterns_are_those_of_a_plain_computation_of_each_image_apart():
    images = np.random.default_rng(1).uniform(-1, 1, (2, 3, 7, 9))
    images[1] = 0.9 + images[1] / 10  # another strength, and incomplete cells in both
    images[0, 0, 0, :2] = -1.1, 1.1  # what reduced precision may make of -1 and 1
    found = nuclear_pattern(torch.from_numpy(images).float())
    expected = np.stack([plain_pattern(image) for image in images])
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4)
    other = torch.from_numpy(images[::-1].copy()).float()
    distance = nuclei_loss(torch.from_numpy(images).float(), other).item()
    assert distance == pytest.approx(np.abs(expected - expected[::-1]).mean(), rel=1e-4)


def test_patterns_are_as_precise_of_reduced_precision():
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    half = image.to(torch.bfloat16)
    assert nuclear_pattern(half).dtype == torch.float32
    torch.testing.assert_close(nuclear_pattern(half), nuclear_pattern(half.float()))
