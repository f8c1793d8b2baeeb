import numpy as np

from tumor_ratio.imaging.outlines import UNIT_UM, pack_outlines, unpack_outlines


def test_outlines_come_back_to_an_eighth_of_a_micrometre(rng):
    offset, radii = rng.uniform(-4, 4, (5, 2)), rng.uniform(1, 20, (5, 32))
    centroids = rng.uniform(0, 1e5, (5, 2))
    packed = pack_outlines(offset, radii)
    assert {len(value) for value in packed} == {34}
    angle = 2 * np.pi * np.arange(32) / 32
    rays = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for polygon, o, r, c in zip(
        unpack_outlines(packed, centroids), offset, radii, centroids, strict=True
    ):
        np.testing.assert_allclose(polygon, c + o + r[:, None] * rays, atol=UNIT_UM)


def test_what_is_too_large_is_cut_to_the_largest():
    polygon = unpack_outlines(pack_outlines(np.array([[99.0, 0]]), np.full((1, 4), 99.0)), [[0, 0]])
    assert np.abs(polygon[0]).max() == 127 * UNIT_UM + 255 * UNIT_UM


def test_no_nucleus_has_no_outline():
    assert pack_outlines(np.zeros((0, 2)), np.zeros((0, 32))) == []
    assert unpack_outlines([], np.zeros((0, 2))) == []
