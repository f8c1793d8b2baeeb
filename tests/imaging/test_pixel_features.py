"""Features against what their definitions give for images whose derivatives are known.

The definitions are those of vigra's filters as ilastik uses them: kernels are sampled and cut off
(after 3.5 standard deviations where an image is smoothed first, after 2 in the filter itself), then
normalised so that constants, ramps and parabolas come out exactly; waves come out as the discrete
kernels' response, a few percent beside that of an uncut Gaussian.
"""

import math

import numpy as np
import pytest
from scipy import ndimage

from tumor_ratio.imaging.derivative_kernels import half_kernel
from tumor_ratio.imaging.feature_selection import (
    DIFFERENCE,
    FEATURE_IDS,
    GRADIENT,
    HESSIAN,
    LAPLACIAN,
    SCALES,
    SMOOTHING,
    STRUCTURE,
    FeatureSelection,
)
from tumor_ratio.imaging.pixel_features import pixel_features

SIDE = 128
MIDDLE = SIDE // 2
INNER = slice(45, -45)
"""Where no filter reaches the border: it looks 38 px around at scale 10."""


def only(feature_id: str, *scales: float) -> FeatureSelection:
    return FeatureSelection((feature_id,), scales, ((True,) * len(scales),))


def of_plane(plane: np.ndarray, feature_id: str, scale: float, **options: int) -> np.ndarray:
    """(H, W, values)"""
    image = plane.astype(np.float32)[..., None]
    return pixel_features(image, only(feature_id, scale), **options)


def grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    return y - MIDDLE, x - MIDDLE


def whole(half: np.ndarray, *, odd: bool = False) -> np.ndarray:
    return np.concatenate([-half[:0:-1] if odd else half[:0:-1], half]).astype(np.float64)


def presmoothing(scale: float) -> np.ndarray:
    return whole(half_kernel(0, math.sqrt(scale**2 - 1) if scale > 1 else scale, 3.5))


def kernel(order: int, scale: float) -> np.ndarray:
    return whole(half_kernel(order, scale, 2.0), odd=order == 1)


def response(weights: np.ndarray, frequency: float) -> complex:
    """What a correlation multiplies exp(i frequency x) by."""
    offsets = np.arange(len(weights)) - len(weights) // 2
    return complex((weights * np.exp(1j * frequency * offsets)).sum())


@pytest.mark.parametrize("scale", SCALES)
def test_an_impulse_becomes_the_two_kernels_after_each_other(scale) -> None:
    plane = np.zeros((SIDE, SIDE))
    plane[MIDDLE, MIDDLE] = 1
    line = np.zeros(SIDE)
    line[MIDDLE] = 1
    for weights in (presmoothing(scale), kernel(0, min(scale, 1.0))):
        line = ndimage.correlate1d(line, weights, mode="mirror")
    found = of_plane(plane, SMOOTHING, scale)[..., 0]
    assert found == pytest.approx(np.outer(line, line), abs=1e-7)
    # Smoothing twice adds variances; what is cut off makes the result a little narrower.
    total = scale if scale > 1 else math.sqrt(2) * scale
    variance = (line * (np.arange(SIDE) - MIDDLE) ** 2).sum()
    if scale >= 1:
        assert math.sqrt(variance) == pytest.approx(total, rel=0.08)


@pytest.mark.parametrize("scale", SCALES)
def test_a_constant_has_no_derivatives(scale) -> None:
    plane = np.full((40, 40), 200.0)
    assert of_plane(plane, SMOOTHING, scale) == pytest.approx(200, rel=1e-5)
    for feature_id in set(FEATURE_IDS) - {SMOOTHING}:
        if feature_id != STRUCTURE or scale >= 0.5:
            assert of_plane(plane, feature_id, scale) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("scale", [0.7, 1.6, 10.0])
def test_a_ramp_has_its_slope_and_no_curvature(scale) -> None:
    y, x = grid()
    plane = 0.6 * x - 0.8 * y
    assert of_plane(plane, SMOOTHING, scale)[INNER, INNER, 0] == pytest.approx(
        plane[INNER, INNER], abs=1e-3
    )
    assert of_plane(plane, GRADIENT, scale)[INNER, INNER] == pytest.approx(1, abs=1e-4)
    assert of_plane(plane, LAPLACIAN, scale)[INNER, INNER] == pytest.approx(0, abs=1e-4)
    assert of_plane(plane, DIFFERENCE, scale)[INNER, INNER] == pytest.approx(0, abs=1e-4)
    found = of_plane(plane, STRUCTURE, scale)[INNER, INNER]
    assert found[..., 0] == pytest.approx(1, abs=1e-4)  # the squared slope, along it
    assert found[..., 1] == pytest.approx(0, abs=1e-4)  # nothing across it


@pytest.mark.parametrize("scale", [0.7, 3.5])
def test_a_paraboloid_has_its_second_derivatives(scale) -> None:
    y, x = grid()
    plane = 0.01 * (3 * x * x + 2 * x * y - y * y)
    assert of_plane(plane, LAPLACIAN, scale)[INNER, INNER] == pytest.approx(0.04, abs=1e-4)
    larger, smaller = np.moveaxis(of_plane(plane, HESSIAN, scale)[INNER, INNER], -1, 0)
    expected = np.linalg.eigvalsh([[-0.02, 0.02], [0.02, 0.06]])
    assert larger == pytest.approx(expected[1], abs=1e-4)
    assert smaller == pytest.approx(expected[0], abs=1e-4)


@pytest.mark.parametrize("scale", [0.7, 1.0, 3.5, 10.0])
def test_a_wave_keeps_its_shape(scale) -> None:
    frequency = min(0.5, 1 / scale)
    _, x = grid()
    wave = np.exp(1j * frequency * x)
    t = min(scale, 1.0)
    passed = response(presmoothing(scale), frequency).real
    level, slope, bend = (passed * response(kernel(order, t), frequency) for order in (0, 1, 2))
    narrow = passed * response(kernel(0, 0.66 * t), frequency)
    for feature_id, expected in (
        (SMOOTHING, (level * wave).real),
        (DIFFERENCE, ((level - narrow) * wave).real),
        (LAPLACIAN, (bend * wave).real),
        (GRADIENT, abs((slope * wave).real)),
    ):
        found = of_plane(wave.real, feature_id, scale)[INNER, INNER, 0]
        assert found == pytest.approx(expected[INNER, INNER], abs=2e-6), feature_id
    found = of_plane(wave.real, HESSIAN, scale)[INNER, INNER]
    assert found[..., 0] == pytest.approx(np.maximum((bend * wave).real, 0)[INNER, INNER], abs=2e-6)
    assert found[..., 1] == pytest.approx(np.minimum((bend * wave).real, 0)[INNER, INNER], abs=2e-6)
    if scale >= 1:  # beside an uncut Gaussian's response
        damped = math.exp(-0.5 * (scale if scale > 1 else math.sqrt(2)) ** 2 * frequency**2)
        assert abs(level) == pytest.approx(damped, abs=0.04)


@pytest.mark.parametrize("scale", [0.7, 1.0, 5.0])
@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2])
def test_the_structure_tensor_averages_squared_derivatives_at_half_its_scale(scale, angle) -> None:
    frequency = 0.3
    y, x = grid()
    plane = np.cos(frequency * (math.cos(angle) * x + math.sin(angle) * y))
    t = min(scale, 1.0)
    for axis in (0, 1):
        plane = ndimage.correlate1d(plane, presmoothing(scale), axis=axis, mode="mirror")
    slopes = []
    for along in (0, 1):
        slope = ndimage.correlate1d(plane, kernel(1, t / 2), axis=along, mode="mirror")
        slopes.append(ndimage.correlate1d(slope, kernel(0, t / 2), axis=1 - along, mode="mirror"))
    tensor = np.empty((SIDE, SIDE, 2, 2))
    for i in (0, 1):
        for j in (0, 1):
            product = slopes[i] * slopes[j]
            for axis in (0, 1):
                product = ndimage.correlate1d(product, kernel(0, t), axis=axis, mode="mirror")
            tensor[..., i, j] = product
    expected = np.linalg.eigvalsh(tensor)[..., ::-1]
    grey = np.cos(frequency * (math.cos(angle) * x + math.sin(angle) * y))
    found = of_plane(grey, STRUCTURE, scale)
    assert found == pytest.approx(expected, abs=1e-6)  # at the border, too


def test_beyond_the_border_lies_the_mirror_image(rng) -> None:
    image = rng.random((20, 30, 2)).astype(np.float32)
    selection = FeatureSelection.default()
    around = np.pad(image, ((19, 19), (29, 29), (0, 0)), mode="reflect")
    found = pixel_features(image, selection)
    inside = pixel_features(around, selection)[19:-19, 29:-29]
    even = [not name.startswith("Structure") for name in selection.names(2)]
    # The structure tensor's products are mirrored, not the pixels: see the test above.
    assert found[..., even] == pytest.approx(inside[..., even], abs=1e-4)


@pytest.mark.parametrize("block_px", [1, 17, 32, 100])
def test_blocks_make_the_whole_image_to_the_last_bit(rng, block_px) -> None:
    shape = (9, 21, 3) if block_px == 1 else (70, 150, 3)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    selection = FeatureSelection.default()
    expected = pixel_features(image, selection, block_px=1000, threads=1)
    found = pixel_features(image, selection, block_px=block_px, threads=2)
    np.testing.assert_array_equal(found, expected)


def test_a_part_of_an_image_has_the_features_it_has_in_the_whole(rng) -> None:
    image = rng.integers(0, 256, (150, 170, 1), dtype=np.uint8)
    selection = FeatureSelection.default()
    expected = pixel_features(image, selection)
    found = pixel_features(image[10:140, 20:165], selection)
    np.testing.assert_array_equal(found[40:-40, 40:-40], expected[50:100, 60:125])


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 1), (2, 3, 1), (7, 5, 3)])
def test_an_image_smaller_than_the_filters_is_mirrored_again_and_again(rng, shape) -> None:
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    found = pixel_features(image, FeatureSelection.default())
    assert np.isfinite(found).all()
    line = image[0, :, 0].astype(np.float64)
    if shape[0] == 1 and shape[1] > 1:
        for weights in (presmoothing(10.0), kernel(0, 1.0)):
            line = ndimage.correlate1d(line, weights, mode="mirror")
        assert found[0, :, SCALES.index(10.0)] == pytest.approx(line, abs=1e-3)


def test_bytes_and_floats_give_the_same_and_channels_do_not_mix(rng) -> None:
    image = rng.integers(0, 256, (25, 33, 3), dtype=np.uint8)
    selection = FeatureSelection.default()
    found = pixel_features(image, selection)
    np.testing.assert_array_equal(pixel_features(image.astype(np.float32), selection), found)
    second = pixel_features(np.ascontiguousarray(image[..., 1:2]), selection)
    columns, column = [], 0
    for feature_id, _ in selection.pairs:
        count = 2 if feature_id in (STRUCTURE, HESSIAN) else 1
        columns += range(column + count, column + 2 * count)
        column += 3 * count
    np.testing.assert_array_equal(found[..., columns], second)


def test_columns_come_filter_by_filter_then_by_scale_then_by_channel() -> None:
    selection = FeatureSelection((SMOOTHING, HESSIAN), (0.7, 1.6), ((True, True), (False, True)))
    assert selection.names(1) == [
        "Gaussian Smoothing (σ=0.7) in 2D",
        "Gaussian Smoothing (σ=1.6) in 2D",
        "Hessian of Gaussian Eigenvalues (σ=1.6) in 2D [0]",
        "Hessian of Gaussian Eigenvalues (σ=1.6) in 2D [1]",
    ]
    assert selection.names(2)[-4:] == [
        f"Hessian of Gaussian Eigenvalues (σ=1.6) in 2D [{index}]" for index in range(4)
    ]
    y, x = grid()
    bowls = np.stack([x * x, -(y * y)], axis=-1).astype(np.float32)
    found = pixel_features(bowls, selection)[MIDDLE, MIDDLE]
    assert len(found) == selection.n_features(2) == 8
    assert found[4:] == pytest.approx([2, 0, 0, -2], abs=1e-3)
    assert found[0] < found[2]  # a wider bowl is smoothed to more at its bottom


def test_the_default_is_all_that_ilastik_offers() -> None:
    selection = FeatureSelection.default()
    assert selection.n_features(1) == 49
    assert selection.n_features(3) == len(selection.names(3)) == 147
    assert [pair for pair in selection.pairs if pair[1] == 0.3] == [(SMOOTHING, 0.3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((SMOOTHING,), (1.0,), ((False,),)), "no feature is selected"),
        (((SMOOTHING,), (1.0, 2.0), ((True,),)), "1 rows of 2 values"),
        (((SMOOTHING,), (-1.0,), ((True,),)), "scales must be positive"),
        (((SMOOTHING,), (math.nan,), ((True,),)), "scales must be positive"),
        ((("Sobel",), (1.0,), ((True,),)), "unknown features Sobel; there are Gaussian"),
        (((SMOOTHING,) * 2, (1.0,), ((True,),) * 2), "named twice"),
        (((STRUCTURE,), (0.3,), ((True,),)), "no value at scale 0.3"),
    ],
)
def test_a_selection_that_means_nothing_is_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureSelection(*arguments)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), "expected an .H, W, C. image"),
        (np.zeros((0, 4, 3), np.uint8), "expected an .H, W, C. image"),
        (np.zeros((4, 4, 3), np.float64), "uint8 or float32 pixels, got float64"),
        (np.zeros((4, 4, 3), np.uint16), "uint8 or float32 pixels, got uint16"),
    ],
)
def test_what_is_no_image_is_refused(image, message) -> None:
    with pytest.raises(ValueError, match=message):
        pixel_features(image, FeatureSelection.default())


def test_a_block_without_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="block_px must be positive"):
        pixel_features(np.zeros((4, 4, 1), np.uint8), FeatureSelection.default(), block_px=0)


def test_a_kernel_of_one_pixel_is_no_derivative() -> None:
    with pytest.raises(ValueError, match="too small for a derivative"):
        half_kernel(1, 0.2, 2.0)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("sigma_px", [0.7, 1.0, 4.0])
def test_kernels_are_normalised_on_powers_of_x(order, sigma_px) -> None:
    weights = whole(half_kernel(order, sigma_px, 3.0), odd=order == 1)
    x = np.arange(len(weights)) - len(weights) // 2
    powers = [float((weights * x**power).sum()) for power in range(3)]
    assert powers[order] == pytest.approx(math.factorial(order), rel=1e-6)
    assert powers[:order] == pytest.approx([0] * order, abs=1e-6)
