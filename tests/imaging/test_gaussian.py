import numpy as np
import pytest
from scipy import ndimage

from tumor_ratio.imaging.gaussian import gaussian_blur, gaussian_kernel


@pytest.mark.parametrize("mode", ["nearest", "reflect"])
@pytest.mark.parametrize("sigma_px", [0.3, 2.0, 7.5])
@pytest.mark.parametrize("shape", [(40, 61), (40, 61, 3), (1, 1), (5, 3, 4)])
def test_the_blur_is_scipys(rng, shape, sigma_px, mode) -> None:
    values = rng.random(shape).astype(np.float32)
    expected = ndimage.gaussian_filter(values, (sigma_px, sigma_px, 0)[: len(shape)], mode=mode)
    found = gaussian_blur(values, sigma_px, mode=mode)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-6)


def test_bytes_and_slices_of_a_larger_image_are_blurred_as_floats_are(rng) -> None:
    image = rng.integers(0, 256, (30, 40, 4), dtype=np.uint8)
    found = gaussian_blur(image[..., :3], 1.5)
    assert found == pytest.approx(gaussian_blur(image[..., :3].astype(np.float32), 1.5))


def test_the_weights_of_a_kernel_add_up_to_one() -> None:
    assert gaussian_kernel(3.0).sum() == pytest.approx(1, abs=1e-6)
    assert len(gaussian_kernel(3.0)) == 25


@pytest.mark.parametrize("sigma_px", [0.0, -1.0, np.nan])
def test_a_blur_without_a_width_is_refused(sigma_px) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        gaussian_blur(np.zeros((4, 4)), sigma_px)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 2, 2, 2)])
def test_what_is_no_image_is_refused(shape) -> None:
    with pytest.raises(ValueError, match="expected"):
        gaussian_blur(np.zeros(shape), 1.0)
