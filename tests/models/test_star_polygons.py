import numpy as np
from skimage.draw import polygon

from tumor_ratio.models.star_polygons import CORE_SHARE, draw_stars


def vertices(center, radii):
    angle = 2 * np.pi * np.arange(len(radii)) / len(radii)
    return center[0] + radii * np.sin(angle), center[1] + radii * np.cos(angle)


def test_polygons_cover_the_pixels_that_scikit_image_fills():
    rng = np.random.default_rng(0)
    for _ in range(30):
        center, radii = rng.uniform(-4, 60, 2), rng.uniform(2, 14, 32)
        labels, _ = draw_stars(center[None], radii[None], (50, 60))
        expected = np.zeros((50, 60), bool)
        expected[polygon(*vertices(center, radii), (50, 60))] = True
        # A pixel whose middle lies on the border may go either way.
        assert np.count_nonzero((labels == 1) != expected) <= 1


def test_the_first_polygon_wins_where_two_overlap():
    centers, radii = np.array([[20.0, 20], [20, 26]]), np.full((2, 32), 8.0)
    labels, core = draw_stars(centers, radii, (40, 50))
    assert labels[20, 23] == 1
    assert labels[20, 31] == 2
    assert labels[0, 0] == 0
    assert core[20, 20]
    assert core[20, 30]  # the second's, where the first does not lie over it
    assert not core[20, 27]  # the first's rim lies over the second's core


def test_the_core_is_the_inner_share_of_the_way_to_the_outline():
    labels, core = draw_stars(np.array([[50.0, 50]]), np.full((1, 64), 40.0), (101, 101))
    share = core.sum() / (labels > 0).sum()
    assert abs(share - CORE_SHARE**2) < 0.01
    assert not core[labels == 0].any()


def test_nothing_is_drawn_of_nothing_and_what_lies_outside():
    labels, core = draw_stars(np.zeros((0, 2)), np.zeros((0, 32)), (5, 6))
    assert labels.shape == (5, 6)
    assert not labels.any()
    assert not core.any()
    assert not draw_stars(np.array([[-50.0, 3]]), np.full((1, 32), 4.0), (9, 9))[0].any()
