from __future__ import annotations

import numpy as np
import pytest

from tumor_ratio.reporting.synthetic_mark import (
    INK,
    LEAST_BAND_PX,
    PAPER,
    mark_band,
    marked,
)

GAP_PX = 16
SIZES = [(16, 16), (40, 40), (5, 90), (300, 3), (64, 63), (200, 300), (256, 256)]


def inked(rgb: np.ndarray) -> np.ndarray:
    """Where there is anything but paper."""
    return (rgb != PAPER).any(axis=-1)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_only_a_copys_lower_edge_is_marked(height, width):
    rgb = np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)
    before = rgb.copy()
    found = marked(rgb)
    assert np.array_equal(rgb, before)
    assert (found.shape, found.dtype) == (rgb.shape, np.uint8)
    changed = (found != rgb).any(axis=(1, 2))
    assert changed[-1]
    assert not changed[:-LEAST_BAND_PX].any()
    words = found[changed & ~inked(found)[:, 0]]
    assert inked(words).any(), "the mark is blank"
    assert np.array_equal(marked(found), found)


@pytest.mark.parametrize("width", [63, 64, 100, 203, 204, 512])
def test_the_words_are_whole_where_they_fit(width):
    found = marked(np.zeros((100, width, 3), dtype=np.uint8))
    label = found[found.any(axis=(1, 2))]
    label = label[:, label.any(axis=(0, 2))]
    ink = inked(label)
    edges = ink[0].any(), ink[-1].any(), ink[:, 0].any(), ink[:, -1].any()
    assert not any(edges), "letters are cut"
    darkest = label.astype(int).sum(axis=2).min()
    assert sum(INK) <= darkest < sum(PAPER) - 200
    assert label.shape[1] > 0.8 * min(width, 203)


@pytest.mark.parametrize(
    ("width", "height", "words_px"),
    [
        (1000, 800, 40),
        (500, 10, 24),
        (37, 600, 24),
        (4000, 5000, 200),
        (850, 9000, 100),
        (1, 1, 24),
    ],
)
def test_a_band_is_white_and_then_words_over_the_whole_width(width, height, words_px):
    band = mark_band(width, height, gap_px=GAP_PX)
    assert band.shape == (GAP_PX + words_px, width, 3)
    assert band.dtype == np.uint8
    assert (band[:GAP_PX] == 255).all()
    words = band[GAP_PX:]
    assert not (words == 255).all(axis=2).any()
    bare = ~inked(words).any(axis=0)
    gaps = np.diff(np.flatnonzero(~np.concatenate([[False], bare, [False]])))
    assert gaps.max() <= words_px + 1, "part of the width is blank"


def test_the_words_of_a_band_fill_a_good_part_of_its_height():
    rows = np.flatnonzero(inked(mark_band(2000, 5000, gap_px=GAP_PX)[GAP_PX:]).any(axis=1))
    assert rows[-1] - rows[0] >= 0.45 * 200
    assert 0 < rows[0] < rows[-1] < 199


def test_a_band_stays_readable_when_it_shrinks_with_its_slide():
    band = mark_band(4096, 4096, gap_px=GAP_PX)[GAP_PX:]
    small = band[: len(band) // 8 * 8].reshape(-1, 8, 512, 8, 3).mean(axis=(1, 3))
    contrast = small.sum(axis=2).max(axis=0) - small.sum(axis=2).min(axis=0)
    assert (contrast > 100).mean() > 0.5
