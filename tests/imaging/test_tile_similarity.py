import threading

import numpy as np
import pytest

from tumor_ratio.imaging.similarity import ssim_rgb
from tumor_ratio.imaging.tile_similarity import STRIP_BLOCKS, ssim_of_squares

HEIGHT, WIDTH = 300, 420


@pytest.fixture
def images(rng):
    first = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    noise = rng.normal(0, 20, first.shape)
    return first, np.clip(first * 0.7 + noise, 0, 255).astype(np.uint8)


class Reads:
    """Reads of an image pair, with a count of how often each pixel was read."""

    def __init__(self, images) -> None:
        self.images = images
        self.count = np.zeros((HEIGHT, WIDTH), int)
        self.lock = threading.Lock()

    def __call__(self, x: int, y: int, width: int, height: int):
        where = np.s_[y : y + height, x : x + width]
        with self.lock:
            self.count[where] += 1
        first, second = (image[where] for image in self.images)
        assert first.shape[:2] == (height, width)
        return first, second


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("block_px", [(1, 1), (16, 50), (50, 16), (1000, 1000)])
@pytest.mark.parametrize("side", [7, 8, 90])
def test_each_square_gets_its_own_ssim(images, rng, block_px, side, threads) -> None:
    corners = np.stack([rng.integers(0, n - side + 1, 9) for n in (WIDTH, HEIGHT)], axis=1)
    reads = Reads(images)
    found = ssim_of_squares(reads, corners, side, block_px=block_px, threads=threads)
    first, second = images
    expected = [
        ssim_rgb(first[y : y + side, x : x + side], second[y : y + side, x : x + side])
        for x, y in corners
    ]
    assert found == pytest.approx(expected, abs=1e-10)
    twice = np.flatnonzero((reads.count > 1).any(axis=0))
    strips = -(-WIDTH // (STRIP_BLOCKS * block_px[0]))
    assert len(twice) <= 6 * strips  # the reach of a window, at the strips' seams
    alone = ssim_of_squares(Reads(images), corners, side, block_px=block_px)
    assert found.tobytes() == alone.tobytes()


def test_pixels_far_from_squares_are_not_read(images) -> None:
    reads = Reads(images)
    ssim_of_squares(reads, np.array([[10, 20], [300, 200]]), 50, block_px=(64, 64))
    assert not reads.count[:, 60:300].any()
    assert reads.count[20:70, 10:60].all()


def test_no_squares_and_squares_that_are_too_small(images) -> None:
    assert ssim_of_squares(Reads(images), np.empty((0, 2), int), 50).shape == (0,)
    with pytest.raises(ValueError, match="at least 7 px"):
        ssim_of_squares(Reads(images), np.array([[0, 0]]), 6)
