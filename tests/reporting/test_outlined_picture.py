import numpy as np

from tumor_ratio.reporting.outlined_picture import LEAST_SIDE_PX, outlined_picture


def test_outlines_lie_where_the_polygons_are_in_their_colours():
    rgb = np.full((50, 50, 3), 255, np.uint8)
    square = np.array([[10.0, 10.0], [20.0, 10.0], [20.0, 20.0], [10.0, 20.0]])
    drawn = outlined_picture(rgb, [square, square + 25], np.array([True, False])).astype(int)
    factor = drawn.shape[0] // 50
    assert drawn.shape[0] >= LEAST_SIDE_PX
    red, blue = (np.argwhere(difference > 80) for difference in (
        drawn[..., 0] - drawn[..., 2], drawn[..., 2] - drawn[..., 0]))  # fmt: skip
    assert np.abs(red.min(axis=0) / factor - 10).max() < 0.5
    assert np.abs(red.max(axis=0) / factor - 20).max() < 0.5
    assert np.abs(blue.min(axis=0) / factor - 35).max() < 0.5
    assert (drawn[15 * factor, 15 * factor] == 255).all()
    assert (rgb == 255).all()


def test_without_nuclei_and_with_a_large_picture_it_is_a_copy():
    rgb = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)
    drawn = outlined_picture(rgb, [], np.zeros(0, bool))
    assert (drawn == rgb).all()
