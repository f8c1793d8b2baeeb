import numpy as np
import pytest
from scipy import ndimage

from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.transform import Displacement, Transform
from tumor_ratio.imaging.warping import read_mapped


@pytest.fixture
def slide(smooth_rgb, write_pyramid):
    rgb = smooth_rgb(700, 600)
    return rgb, open_slide(write_pyramid(rgb), slide_id="s1")


def test_the_identity_gives_the_slides_own_pixels(slide) -> None:
    rgb, wsi = slide
    read = read_mapped(wsi, Transform.identity(), (40 * wsi.mpp, 30 * wsi.mpp), 100, wsi.mpp)
    assert np.array_equal(read, rgb[30:130, 40:140])


@pytest.mark.parametrize("mirrored", [1.0, -1.0])
def test_pixels_come_from_where_the_transform_says(slide, rng, mirrored) -> None:
    rgb, wsi = slide
    offset = 10.0 if mirrored > 0 else 300.0
    bend = Displacement.from_array(rng.normal(0, 4, (6, 6, 2)), 80.0)
    transform = Transform(((mirrored * 0.97, 0.06, offset), (-0.05, 1.03, 20.0)), bend)
    read = read_mapped(wsi, transform, (50.0, 60.0), 200, 0.5).astype(float)
    steps = (np.arange(200) + 0.5) * 0.5
    xy = np.stack(np.meshgrid(50 + steps, 60 + steps), axis=-1).reshape(-1, 2)
    at = transform.forward(xy) / wsi.mpp - 0.5
    truth = np.stack(
        [ndimage.map_coordinates(rgb[..., c].astype(float), at.T[::-1], order=1) for c in range(3)],
        axis=-1,
    ).reshape(200, 200, 3)
    assert np.abs(read - truth).mean() < 1.0
    assert np.abs(read - truth).max() < 8.0


def test_large_squares_have_no_seams(slide) -> None:
    _, wsi = slide
    from tumor_ratio.imaging import warping

    transform = Transform(((1.0, 0.02, 3.3), (-0.02, 1.0, 4.4)))
    whole = read_mapped(wsi, transform, (10.0, 10.0), 256, 0.6)
    strip, warping.STRIP_PX = warping.STRIP_PX, 64
    try:
        pieces = read_mapped(wsi, transform, (10.0, 10.0), 256, 0.6)
    finally:
        warping.STRIP_PX = strip
    assert np.abs(whole.astype(int) - pieces).max() <= 2


def test_beyond_the_slide_is_white(slide) -> None:
    _, wsi = slide
    far = Transform(((1.0, 0.0, 5000.0), (0.0, 1.0, 0.0)))
    assert (read_mapped(wsi, far, (0.0, 0.0), 50, 0.5) == 255).all()


def test_pixel_sizes_of_the_two_slides_may_differ(smooth_rgb, write_pyramid) -> None:
    wsi = open_slide(write_pyramid(smooth_rgb(400, 400), mpp=0.4), slide_id="s1")
    shifted = Transform(((1.0, 0.0, 8.0), (0.0, 1.0, 0.0)))
    mapped = read_mapped(wsi, shifted, (20.0, 20.0), 60, 0.8)
    direct = wsi.read(28.0 / 0.4, 20.0 / 0.4, 60, 0.8)
    assert np.abs(mapped.astype(int) - direct).mean() < 1
