from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tumor_ratio.imaging.row_blocks import RowBlocks


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def in_strips(rgb: np.ndarray, *heights: int) -> list[np.ndarray]:
    assert sum(heights) == len(rgb)
    return np.split(rgb, np.cumsum(heights)[:-1])


@pytest.mark.parametrize("seed", range(20))
def test_blocks_of_any_grid_are_those_of_the_whole_image(seed):
    rng = np.random.default_rng(seed)
    heights = rng.integers(1, 30, rng.integers(1, 12))
    width, rows, columns = rng.integers(1, 40, 3)
    rgb = picture(heights.sum(), width, seed)
    blocks = RowBlocks(iter(in_strips(rgb, *heights)))
    for y in range(0, len(rgb), rows):
        for x in range(0, width, columns):
            height, across = min(rows, len(rgb) - y), min(columns, width - x)
            found = blocks.read(x, y, across, height)
            assert found.dtype == np.uint8
            assert np.array_equal(found, rgb[y : y + height, x : x + across])


def test_blocks_may_overlap_and_may_leave_rows_out():
    rgb = picture(60, 8)
    blocks = RowBlocks(in_strips(rgb, 7, 13, 1, 19, 20))
    for y, height in ((0, 10), (4, 30), (4, 2), (33, 5), (55, 5)):
        assert np.array_equal(blocks.read(2, y, 5, height), rgb[y : y + height, 2:7])


def test_a_block_above_the_last_one_is_refused():
    blocks = RowBlocks(in_strips(picture(40, 8), 10, 30))
    blocks.read(0, 12, 8, 4)
    with pytest.raises(ValueError, match="rows from 11 on have been given and are gone"):
        blocks.read(0, 11, 8, 1)


def test_a_block_beyond_the_last_strip_is_refused():
    for strips in ([], in_strips(picture(40, 8), 10, 30)):
        with pytest.raises(ValueError, match="beyond the last strip"):
            RowBlocks(strips).read(0, 30, 8, 11)


def test_a_refusal_leaves_the_place_in_the_image():
    rgb = picture(40, 8)
    blocks = RowBlocks(in_strips(rgb, 10, 10, 10, 10))
    blocks.read(0, 0, 8, 4)
    with pytest.raises(ValueError, match="beyond the last strip"):
        blocks.read(0, 35, 8, 11)
    assert np.array_equal(blocks.read(0, 36, 8, 4), rgb[36:])


def test_no_strip_is_made_before_it_is_needed():
    made = []

    def strips():
        for index in range(4):
            made.append(index)
            yield picture(10, 8)

    blocks = RowBlocks(strips())
    assert made == []
    blocks.read(0, 0, 8, 10)
    assert made == [0]
    blocks.read(0, 12, 8, 8)
    assert made == [0, 1]


def test_memory_holds_a_strip_and_a_block_and_not_the_image():
    width, strip_px, block_px, n = 1000, 64, 50, 60
    strips = (np.full((strip_px, width, 3), index, dtype=np.uint8) for index in range(n))
    blocks = RowBlocks(strips)
    tracemalloc.start()
    try:
        for y in range(0, strip_px * n - block_px + 1, block_px):
            assert blocks.read(0, y, width, block_px)[0, 0, 0] == y // strip_px
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * (strip_px + block_px) * width * 3
