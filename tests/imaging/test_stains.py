import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tumor_ratio.imaging.nucleus_density import high_per_nucleus, mean_per_nucleus
from tumor_ratio.imaging.stains import (
    H_DAB,
    H_E,
    MAX_OD,
    StainVectors,
    optical_density,
    recompose,
    separate,
)


def mixed(hematoxylin: float, dab: float) -> np.ndarray:
    matrix = H_DAB.matrix()
    od = hematoxylin * matrix[0] + dab * matrix[1]
    return np.rint(256 * np.power(10.0, -od) - 1).clip(0, 255).astype(np.uint8).reshape(1, 1, 3)


def test_optical_density_is_decadic_and_ends_at_black():
    rgb = np.array([[[255, 255, 255], [0, 0, 0], [24, 127, 255]]], dtype=np.uint8)
    od = optical_density(rgb)
    assert od.dtype == np.float32
    np.testing.assert_allclose(od[0, 0], 0, atol=1e-7)
    np.testing.assert_allclose(od[0, 1], MAX_OD, rtol=1e-6)
    np.testing.assert_allclose(od[0, 2], [-np.log10(25 / 256), np.log10(2), 0], atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4)])
def test_optical_density_refuses_other_images(shape):
    with pytest.raises(ValueError, match="uint8"):
        optical_density(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="float64"):
        optical_density(np.zeros((4, 4, 3)))


@given(st.floats(0, 0.9), st.floats(0, 0.8))
def test_planted_stains_are_recovered(hematoxylin, dab):
    found = separate(mixed(hematoxylin, dab))[0, 0]
    np.testing.assert_allclose(found[:2], [hematoxylin, dab], atol=0.03)
    assert abs(found[2]) < 0.03


def test_hematoxylin_alone_holds_no_dab_and_dab_no_hematoxylin():
    assert abs(separate(mixed(0.8, 0))[0, 0, 1]) < 0.02
    assert abs(separate(mixed(0, 0.8))[0, 0, 0]) < 0.02


def test_near_black_pixels_stay_on_the_scale():
    amounts = separate(np.zeros((2, 2, 3), dtype=np.uint8))
    assert np.isfinite(amounts).all()
    assert np.abs(amounts).max() < MAX_OD * np.sqrt(3)


def test_recomposed_hematoxylin_is_what_was_mixed():
    amounts = separate(mixed(0.7, 0.6))
    picture = recompose(amounts[..., 0], H_DAB.first)
    np.testing.assert_allclose(picture.astype(int), mixed(0.7, 0).astype(int), atol=6)
    white = recompose(np.full((3, 2), -0.4, dtype=np.float32), H_DAB.second)
    assert white.shape == (3, 2, 3)
    assert (white == 255).all()


def test_vectors_are_checked():
    with pytest.raises(ValueError, match="zero"):
        StainVectors((0, 0, 0), (1, 0, 0)).matrix()
    with pytest.raises(ValueError, match="parallel"):
        StainVectors((1, 2, 3), (2, 4, 6)).matrix()
    for vectors in (H_DAB, H_E):
        np.testing.assert_allclose(np.linalg.norm(vectors.matrix(), axis=1), 1)


def test_density_of_each_nucleus():
    labels = np.array([[1, 1, 0, 2], [1, 1, 0, 2]], dtype=np.int32)
    amount = np.array([[0.1, 0.2, 9, 1.0], [0.3, 0.4, 9, 3.0]], dtype=np.float32)
    np.testing.assert_allclose(mean_per_nucleus(labels, 3, amount)[:2], [0.25, 2.0], rtol=1e-6)
    np.testing.assert_allclose(
        high_per_nucleus(labels, 3, amount, quantile=1.0)[:2], [0.4, 3.0], rtol=1e-6
    )
    np.testing.assert_allclose(high_per_nucleus(labels, 3, amount, quantile=0.0)[:2], [0.1, 1.0])
    assert np.isnan(mean_per_nucleus(labels, 3, amount)[2])
    assert np.isnan(high_per_nucleus(labels, 3, amount)[2])
