from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.errors import TumorRatioError
from tumor_ratio.models.cyclegan.options import PreprocessOptions
from tumor_ratio.models.cyclegan.preprocessing import preprocess, resized
from tumor_ratio.models.cyclegan.rgb_values import as_rgb, from_network, to_network
from tumor_ratio.models.devices import Compute


def picture(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return np.ascontiguousarray(small.repeat(8, 0).repeat(8, 1)[:height, :width])


def run(rgb: np.ndarray, seed: int = 0, **options) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return preprocess(rgb, PreprocessOptions(**options), generator, name="tile t1")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resize_and_crop", (32, 32)),
        ("crop", (32, 32)),
        ("scale_width", (60, 40)),
        ("scale_width_and_crop", (32, 32)),
        ("none", (92, 60)),
    ],
)
def test_each_option_gives_its_size(name, shape):
    found = run(picture(91, 61), preprocess=name, load_size=40, crop_size=32)
    assert found.shape == (*shape, 3)
    assert found.dtype == np.uint8


def test_scaling_is_pillows_bicubic():
    rgb = picture(97, 61)
    for size in ((40, 40), (150, 130)):
        expected = np.array(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BICUBIC))
        difference = np.abs(resized(rgb, *size).astype(int) - expected)
        assert difference.mean() < 0.2
        assert (difference <= 2).mean() > 0.99


def test_a_crop_is_a_part_of_the_image_and_half_are_mirrored():
    rgb = np.arange(20 * 20 * 3, dtype=np.uint16).reshape(20, 20, 3).astype(np.uint8)
    places, mirrored = set(), 0
    for seed in range(200):
        found = run(rgb, seed, preprocess="crop", crop_size=8)
        windows = np.lib.stride_tricks.sliding_window_view(rgb, (8, 8, 3))[:, :, 0]
        straight = np.argwhere((windows == found).all(axis=(2, 3, 4)))
        turned = np.argwhere((windows == found[:, ::-1]).all(axis=(2, 3, 4)))
        assert len(straight) + len(turned) >= 1
        mirrored += len(straight) == 0
        places.add(tuple((turned if len(straight) == 0 else straight)[0]))
    assert 70 < mirrored < 130
    assert len(places) > 80
    kept = [run(rgb, seed, preprocess="none", no_flip=True) for seed in range(9)]
    assert all(np.array_equal(rgb, found) for found in kept)


def test_a_tile_smaller_than_the_crop_is_refused_by_name():
    with pytest.raises(TumorRatioError, match=r"tile t1 is 60 x 90 px, smaller .* of 64 px; lower"):
        run(picture(90, 60), preprocess="crop", crop_size=64)


def test_values_come_back():
    rgb = picture(8, 16)[None]
    values = to_network(rgb, Compute("cpu", bf16=False, threads=1))
    assert values.shape == (1, 3, 8, 16)
    assert values.min() >= -1
    assert values.max() <= 1
    assert np.array_equal(np.rint(from_network(values)), rgb)


def test_gray_and_transparent_images_become_rgb():
    gray = np.array([[10, 20]], dtype=np.uint8)
    for image in (gray, gray[..., None]):
        assert as_rgb(image).tolist() == [[[10] * 3, [20] * 3]]
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], dtype=np.uint8)
    assert as_rgb(rgba).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    for bad in (gray.astype(float), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="an image must"):
            as_rgb(bad)


def test_turns_show_all_eight_views_and_both_stains_alike():
    rgb = picture(32, 32)
    views = {
        run(rgb, seed, preprocess="crop", crop_size=32, turns=True).tobytes() for seed in range(80)
    }
    turned = [np.rot90(side, k) for side in (rgb, rgb[:, ::-1]) for k in range(4)]
    assert views == {np.ascontiguousarray(each).tobytes() for each in turned}
    options = {"preprocess": "crop", "crop_size": 24, "turns": True}
    for seed in range(8):
        he, ihc = (run(each, seed, **options) for each in (rgb, 255 - rgb))
        np.testing.assert_array_equal(he, 255 - ihc)


@pytest.mark.parametrize("wrong", [{"no_flip": True}, {"preprocess": "none"}])
def test_turns_without_flips_or_crops_are_refused(wrong):
    with pytest.raises(ValueError, match="turns needs crops, and no_flip: false"):
        PreprocessOptions(turns=True, **wrong)
