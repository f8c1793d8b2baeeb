from __future__ import annotations

import numpy as np
import pytest
import torch

from tumor_ratio.imaging.stains import H_DAB, MAX_OD, recompose, separate
from tumor_ratio.models.cyclegan.rgb_values import to_network
from tumor_ratio.models.cyclegan.stain_loss import (
    FAINT_OD,
    SOFTNESS_OD,
    stain_amounts,
    stain_loss,
)
from tumor_ratio.models.devices import Compute

CPU = Compute("cpu", bf16=False, threads=1)
SIDE, CELL = 64, 32
UNSTAINED = SOFTNESS_OD * np.log1p(np.exp(-FAINT_OD / SOFTNESS_OD))
"""What the soft cut leaves of a pixel without DAB."""


def network(rgb: np.ndarray) -> torch.Tensor:
    return to_network(rgb[None], CPU)


def painted(dab: np.ndarray | float, hematoxylin: float = 0.0) -> torch.Tensor:
    """Both stains' colours laid over each other, (1, 3, SIDE, SIDE)."""
    amount = np.broadcast_to(np.float32(dab), (SIDE, SIDE))
    layers = [
        (recompose(density, vector).astype(float) + 1) / 256
        for density, vector in (
            (amount, H_DAB.second),
            (np.full_like(amount, hematoxylin), H_DAB.first),
        )
    ]
    return network(np.rint(layers[0] * layers[1] * 256 - 1).clip(0, 255).astype(np.uint8))


def mean_amount(image: torch.Tensor) -> float:
    return float(stain_amounts(image, CELL).mean())


def test_amounts_are_the_dab_that_was_painted_above_what_is_faint():
    for hematoxylin in (0.0, 0.4):
        for dab in (0.35, 0.6, 0.9):
            found = stain_amounts(painted(dab, hematoxylin), CELL)
            assert found.shape == (1, 1, 2, 2)
            assert found.numpy() == pytest.approx(dab - FAINT_OD, abs=0.02)


def test_amounts_rise_with_dab_and_hardly_with_hematoxylin():
    dab = [mean_amount(painted(amount)) for amount in np.linspace(0, 1.2, 13)]
    assert np.all(np.diff(dab) > 0)
    assert dab[0] == pytest.approx(UNSTAINED, rel=1e-3)
    for hematoxylin in (0.2, 0.5, 1.0):
        assert mean_amount(painted(0, hematoxylin)) == pytest.approx(UNSTAINED, abs=0.002)


def test_amounts_are_those_of_the_area_that_is_stained():
    quarter = np.zeros((SIDE, SIDE))
    quarter[:16, :16] = 0.6  # a quarter of the first cell
    found = stain_amounts(painted(quarter), CELL)[0, 0].numpy()
    full = mean_amount(painted(0.6))
    expected = 0.25 * full + 0.75 * UNSTAINED
    assert found == pytest.approx(np.array([[expected, UNSTAINED], [UNSTAINED] * 2]), rel=1e-3)


@pytest.mark.parametrize("shape", [(64, 64), (70, 50), (33, 97), (20, 12), (1, 1)])
@pytest.mark.parametrize("cell", [1, 7, 32])
def test_amounts_are_those_of_a_plain_computation_also_in_incomplete_cells(shape, cell):
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    stained = SOFTNESS_OD * np.logaddexp(0, (separate(rgb)[..., 1] - FAINT_OD) / SOFTNESS_OD)
    expected = [
        [stained[y : y + cell, x : x + cell].mean() for x in range(0, shape[1], cell)]
        for y in range(0, shape[0], cell)
    ]
    found = stain_amounts(network(rgb), cell)
    assert found[0, 0].numpy() == pytest.approx(np.array(expected), rel=1e-3, abs=1e-6)


def test_images_of_a_batch_are_measured_apart():
    images = torch.cat([painted(0.2), painted(0.8)])
    found = stain_amounts(images, CELL)
    for index in (0, 1):
        assert torch.allclose(found[index], stain_amounts(images[index : index + 1], CELL)[0])


def test_the_loss_is_the_mean_square_at_both_scales_and_0_for_equal_images():
    one, other = painted(0.3, 0.2), painted(0.7, 0.1)
    assert stain_loss(one, one, CELL) == 0
    difference = mean_amount(one) - mean_amount(other)
    assert float(stain_loss(one, other, CELL)) == pytest.approx(2 * difference**2, rel=1e-3)
    assert stain_loss(one, other, CELL) == stain_loss(other, one, CELL)


def spot(y: int, x: int) -> torch.Tensor:
    density = np.zeros((SIDE, SIDE))
    density[y : y + 8, x : x + 8] = 0.8
    return painted(density, 0.1)


def test_a_spot_may_move_inside_its_cell_and_not_out_of_it():
    here = spot(2, 3)
    inside, beyond = (float(stain_loss(here, there, CELL)) for there in (spot(23, 17), spot(2, 40)))
    assert inside < 1e-12
    assert beyond > 1e-4


@pytest.mark.parametrize("value", [1.0, 0.0, -1.0, np.nextafter(np.float32(-1), 0)])
def test_gradients_are_finite_and_reach_unstained_pixels(value):
    fake = torch.full((1, 3, SIDE, SIDE), float(value), requires_grad=True)
    stain_loss(fake, painted(0.6), CELL).backward()
    assert torch.isfinite(fake.grad).all()
    if value > -0.99:  # of black ones, whose DAB is negative or beyond measure, finite is enough
        assert (fake.grad.abs().amax(dim=1) > 1e-8).all()


def test_a_step_against_the_gradient_stains_white_and_bleaches_brown():
    for start, goal in ((painted(0), painted(0.6)), (painted(0.6), painted(0))):
        fake = start.clone().requires_grad_()
        before = stain_loss(fake, goal, CELL)
        before.backward()
        moved = (start - 0.05 * fake.grad / fake.grad.abs().max()).clamp(-1, 1)
        assert stain_loss(moved, goal, CELL) < before
        towards = mean_amount(moved) - mean_amount(start)
        assert np.sign(towards) == np.sign(mean_amount(goal) - mean_amount(start))


def test_reduced_precision_around_it_does_not_reduce_its_own():
    image, goal = painted(0.31, 0.2), painted(0.3, 0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        amounts, loss = stain_amounts(image, CELL), stain_loss(image, goal, CELL)
    assert amounts.dtype == torch.float32
    assert torch.equal(amounts, stain_amounts(image, CELL))
    assert loss == stain_loss(image, goal, CELL)
    assert torch.equal(
        stain_amounts(image.bfloat16().float(), 8), stain_amounts(image.bfloat16(), 8)
    )


def test_the_darkest_pixel_has_the_density_that_the_scale_ends_with():
    black = torch.full((1, 3, 8, 8), -1.0)
    dab = MAX_OD * np.linalg.inv(H_DAB.matrix())[:, 1].sum()
    expected = SOFTNESS_OD * np.logaddexp(0, (dab - FAINT_OD) / SOFTNESS_OD)
    assert stain_amounts(black, 8).item() == pytest.approx(expected, rel=1e-4)
    assert torch.equal(stain_amounts(2 * black, 8), stain_amounts(black, 8))
