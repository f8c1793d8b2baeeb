from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch

from tumor_ratio.models.cyclegan.blocks import spans
from tumor_ratio.models.cyclegan.networks import CycleGan, Generator
from tumor_ratio.models.cyclegan.norms import instance_norms
from tumor_ratio.models.cyclegan.options import NetworkOptions
from tumor_ratio.models.cyclegan.translation import (
    BlockOptions,
    measure_statistics,
    translate,
    translate_strips,
)
from tumor_ratio.models.devices import Compute

CPU = Compute("cpu", bf16=False, threads=1)
WHOLE = BlockOptions(block_px=4096)
BLOCKS = BlockOptions(block_px=512, overlap_px=64)


@functools.cache
def generator(name: str = "resnet_9blocks", norm: str = "instance", ngf: int = 4) -> Generator:
    options = NetworkOptions(name, ngf=ngf, ndf=1, norm=norm, init_gain=0.1)
    return CPU.place(CycleGan(options, seed=3).G_A).eval()


@functools.cache
def slide(height: int, width: int) -> np.ndarray:
    """Glass on the left, tissue that grows denser to the right, structures of 4 and 32 px."""
    rng = np.random.default_rng(0)
    fine = rng.normal(size=(-(-height // 4), -(-width // 4), 1)).repeat(4, 0).repeat(4, 1)
    coarse = rng.normal(size=(-(-height // 32), -(-width // 32), 3)).repeat(32, 0).repeat(32, 1)
    density = np.clip(np.linspace(-0.3, 1.2, width), 0, 1)[None, :, None]
    varied = 40 * fine[:height, :width] + 30 * coarse[:height, :width]
    return (245 - density * (90 + varied)).clip(0, 255).astype(np.uint8)


def differ(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).mean())


def added_steps(blocks: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Mean step from column to column that blocks add to the whole translation's."""
    error = blocks.astype(float) - whole
    return np.abs(np.diff(error, axis=1)).mean(axis=(0, 2))


def test_a_tile_in_blocks_is_the_tile_whole_and_shows_no_seams():
    rgb = slide(1536, 1536)
    whole = translate(generator(), rgb, CPU, WHOLE)
    blocks = translate(generator(), rgb, CPU, BLOCKS)
    naive = np.concatenate(
        [
            np.concatenate(
                [
                    translate(generator(), rgb[y : y + 512, x : x + 512], CPU)
                    for x in (0, 512, 1024)
                ],
                axis=1,
            )
            for y in (0, 512, 1024)
        ]
    )
    assert whole.std() > 20  # there is something to differ in
    assert differ(blocks, whole) < 0.1  # of 255; 2 are allowed
    assert differ(naive, whole) > 2
    steps, borders = added_steps(blocks, whole), [span.start for span in spans_of(1536)][1:]
    assert max(steps[border - 1] for border in borders) < 0.1
    assert steps.max() < 0.1
    assert min(added_steps(naive, whole)[[511, 1023]]) > 2
    # The same without knowing the whole: steps at borders against steps inside blocks.
    for image, largest in ((blocks, 1.1), (naive, np.inf)):
        found = np.abs(np.diff(image.astype(float), axis=0)).mean(axis=(1, 2))[3::4]
        ratio = found[[127, 255]].max() / np.median(found)
        assert ratio < largest


def spans_of(length: int) -> list:
    return spans(length, BLOCKS.block_px, BLOCKS.overlap_px, multiple_px=4)


def test_a_sample_of_a_large_image_gives_other_statistics_but_no_seams():
    rgb = slide(768, 1024)
    options = BlockOptions(block_px=256, overlap_px=64, crop_px=64, crops_mpx=0.4)
    whole = translate(generator(), rgb, CPU, WHOLE)
    blocks = translate(generator(), rgb, CPU, options)
    naive = np.concatenate(
        [translate(generator(), rgb[:, x : x + 256], CPU) for x in range(0, 1024, 256)], axis=1
    )
    assert differ(blocks, whole) < differ(naive, whole) / 2
    for image, seamless in ((blocks, True), (naive, False)):
        steps = added_steps(image, whole)
        nearby = np.median([np.roll(steps, shift) for shift in range(-20, 21)], axis=0)
        assert ((steps - nearby)[32:-32].max() < 4) == seamless


def test_bf16_stays_near_float32():
    rgb = slide(1024, 1024)[400:528, 600:728]
    found = translate(generator(), rgb, Compute("cpu", bf16=True, threads=1))
    assert differ(found, translate(generator(), rgb, CPU)) < 3


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (61, 90), (130, 200), (64, 257)])
@pytest.mark.parametrize("name", ["resnet_9blocks", "unet_128"])
def test_every_size_comes_back_at_its_size(name, size):
    rgb = slide(256, 300)[: size[0], : size[1]]
    options = BlockOptions(block_px=128, overlap_px=32)
    found = translate(generator(name), rgb, CPU, options)
    assert found.shape == rgb.shape
    assert found.dtype == np.uint8


def test_sides_are_padded_by_reflection():
    rgb = slide(64, 64)[:61, :58]
    padded = np.pad(rgb, ((0, 3), (0, 2), (0, 0)), mode="reflect")
    found = translate(generator(), rgb, CPU)
    assert np.array_equal(found, translate(generator(), padded, CPU)[:61, :58])


def test_reads_stay_inside_the_image_and_strips_come_as_they_are_ready():
    rgb, asked = slide(700, 300), []

    def read(y, x, height, width):
        asked.append((y, x, height, width))
        return rgb[y : y + height, x : x + width]

    options = BlockOptions(block_px=128, overlap_px=32, crop_px=64, crops_mpx=0.05)
    strips = list(translate_strips(generator(), read, 700, 300, CPU, options))
    assert all(
        min(y, x) >= 0 and y + height <= 700 and x + width <= 300 and max(height, width) <= 128
        for y, x, height, width in asked
    )
    assert len(strips) == 7
    assert max(len(strip) for strip in strips) <= 128
    assert np.array_equal(np.concatenate(strips), translate(generator(), rgb, CPU, options))


def test_tiles_with_common_statistics_agree():
    rgb = slide(256, 512)
    statistics = measure_statistics(generator(), rgb[None], CPU)
    halves = [
        translate(generator(), part, CPU, statistics=statistics)
        for part in (rgb[:, :320], rgb[:, 192:])
    ]
    assert differ(halves[0][:, 240:272], halves[1][:, 48:80]) < 0.5
    alone = [translate(generator(), part, CPU) for part in (rgb[:, :320], rgb[:, 192:])]
    assert differ(alone[0][:, 240:272], alone[1][:, 48:80]) > 2


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_other_norms_need_no_statistics(norm):
    rgb = slide(256, 256)
    network = generator(norm=norm)
    assert measure_statistics(network, rgb[None], CPU) == {}
    blocks = translate(network, rgb, CPU, BlockOptions(block_px=128, overlap_px=64))
    assert differ(blocks, translate(network, rgb, CPU)) < 0.5


def test_the_network_is_left_without_statistics_and_the_processs_threads_alone():
    before = torch.get_num_threads()
    translate(generator(), slide(160, 160), CPU, BlockOptions(block_px=128, overlap_px=32))
    assert torch.get_num_threads() == before
    assert all(layer.statistics is None for layer in instance_norms(generator()).values())


def test_gray_and_transparent_tiles_are_translated_as_rgb():
    rgb = slide(64, 64)
    gray = rgb[..., 0]
    same = translate(generator(), np.repeat(gray[..., None], 3, axis=2), CPU)
    assert np.array_equal(translate(generator(), gray, CPU), same)
    opaque = np.dstack([rgb, np.full((64, 64), 255, dtype=np.uint8)])
    assert np.array_equal(translate(generator(), opaque, CPU), translate(generator(), rgb, CPU))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3)), r"must be \(H, W, 3\) uint8, not \(8, 8, 3\) float64"),
        (np.zeros((8, 8, 5), np.uint8), "1, 3 or 4 channels, not 5"),
        (np.zeros((0, 8, 3), np.uint8), r"not \(0, 8, 3\)"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        translate(generator(), image, CPU)


def test_blocks_that_cannot_be_are_refused():
    for values, message in (
        ({"block_px": 32}, "block_px must be at least 64"),
        ({"block_px": 128, "overlap_px": 65}, "half a block, not 65"),
        ({"crops_mpx": 0}, "crops_mpx above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            BlockOptions(**values)
    with pytest.raises(ValueError, match="block_px 192 is no multiple of 128"):
        translate(generator("unet_128"), slide(64, 64), CPU, BlockOptions(192, 64))


@pytest.mark.parametrize("length", [64, 100, 128, 132, 500, 1024])
@pytest.mark.parametrize(("block", "overlap"), [(64, 0), (64, 16), (128, 64)])
def test_spans_cover_a_length_and_their_weights_add_up(length, block, overlap):
    found = spans(length, block, overlap, multiple_px=4)
    total = np.zeros(length)
    for span in found:
        assert span.start % 4 == 0
        assert span.length == min(block, length) == len(span.weights)
        total[span.start : span.end] += span.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert found[-1].end == length
    starts = [span.start for span in found]
    assert all(b - a <= block - overlap for a, b in itertools.pairwise(starts))
