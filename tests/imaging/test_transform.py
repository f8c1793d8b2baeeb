import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumor_ratio.imaging.transform import Displacement, Transform

TURNED = ((0.98, -0.05, 30.0), (0.05, 1.02, -12.0))


def wavy(rng: np.random.Generator, amplitude_um: float = 8.0) -> Displacement:
    return Displacement.from_array(rng.normal(0, amplitude_um, (6, 9, 2)), 150.0, (-50.0, -40.0))


def test_identity_leaves_points_where_they_are(rng) -> None:
    xy = rng.uniform(0, 1000, (20, 2))
    assert Transform.identity().is_identity
    assert np.array_equal(Transform.identity().forward(xy), xy)
    assert np.array_equal(Transform.identity().inverse(xy), xy)


def test_affine_and_displacement_add_up(rng) -> None:
    xy = rng.uniform(0, 900, (50, 2))
    displacement = wavy(rng)
    moved = Transform(TURNED, displacement).forward(xy)
    affine = xy @ np.array([row[:2] for row in TURNED]).T + np.array([30.0, -12.0])
    assert moved == pytest.approx(affine + displacement.at(xy))
    assert not Transform(TURNED, displacement).is_identity


def test_displacement_passes_through_its_nodes(rng) -> None:
    values = rng.normal(0, 5, (4, 5, 2))
    displacement = Displacement.from_array(values, 100.0, (10.0, 20.0))
    nodes = np.array([[10 + 100 * c, 20 + 100 * r] for r in range(4) for c in range(5)])
    assert displacement.at(nodes) == pytest.approx(values.reshape(-1, 2), abs=1e-4)


def test_displacement_reproduces_a_smooth_field() -> None:
    y, x = np.mgrid[0:13, 0:13] * 50.0
    field = 6 * np.stack([np.sin(x / 120), np.cos(y / 150)], axis=-1)
    displacement = Displacement.from_array(field, 50.0)
    xy = np.random.default_rng(0).uniform(150, 450, (200, 2))
    truth = 6 * np.stack([np.sin(xy[:, 0] / 120), np.cos(xy[:, 1] / 150)], axis=-1)
    assert np.abs(displacement.at(xy) - truth).max() < 0.02


def test_beyond_the_grid_the_border_holds(rng) -> None:
    displacement = wavy(rng)
    corner = displacement.at([[-50.0, -40.0]])
    assert displacement.at([[-5000.0, -4000.0]]) == pytest.approx(corner)


@settings(max_examples=25, deadline=None)
@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.8, 1.25),
    mirrored=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_inverse_returns_within_a_hundredth_of_a_micrometre(angle, scale, mirrored, seed) -> None:
    rng = np.random.default_rng(seed)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    flip = -1.0 if mirrored else 1.0
    transform = Transform(((flip * c, -s, 100.0), (flip * s, c, 5.0)), wavy(rng))
    xy = rng.uniform(-100, 1500, (100, 2))
    assert np.abs(transform.inverse(transform.forward(xy)) - xy).max() < 0.01
    assert np.abs(transform.forward(transform.inverse(xy)) - xy).max() < 0.01


def test_folded_tissue_cannot_be_inverted() -> None:
    field = np.zeros((8, 8, 2))
    field[::2, ::2] = 900.0
    transform = Transform(displacement=Displacement.from_array(field, 100.0))
    with pytest.raises(ValueError, match="folds the tissue"):
        transform.inverse(np.random.default_rng(0).uniform(0, 700, (50, 2)))


def test_records_and_pickles_are_exact(rng) -> None:
    transform = Transform(TURNED, wavy(rng))
    transform.forward([[1.0, 2.0]])  # fills the cache, which must not travel
    through_json = Transform.from_record(json.loads(json.dumps(transform.to_record())))
    assert through_json == transform
    assert pickle.loads(pickle.dumps(transform)) == transform
    assert hash(through_json) == hash(transform)
    assert Transform.from_record(Transform(TURNED).to_record()) == Transform(TURNED)


def test_no_points_give_no_points(rng) -> None:
    assert Transform(TURNED, wavy(rng)).inverse(np.empty((0, 2))).shape == (0, 2)


def test_what_is_no_transform_is_refused() -> None:
    with pytest.raises(ValueError, match="must be invertible"):
        Transform(((1.0, 2.0, 0.0), (2.0, 4.0, 0.0)))
    with pytest.raises(ValueError, match="finite 2 x 3"):
        Transform(((1.0, 0.0), (0.0, 1.0)))
    with pytest.raises(ValueError, match=r"shape \(N, 2\)"):
        Transform().forward([1.0, 2.0])
    with pytest.raises(ValueError, match="positive spacing"):
        Displacement.from_array(np.zeros((2, 2, 2)), 0.0)
    with pytest.raises(ValueError, match="equal, non-empty rectangles"):
        Displacement((0.0, 0.0), 1.0, ((1.0,),), ((1.0, 2.0),))
    with pytest.raises(ValueError, match="not finite"):
        Displacement.from_array(np.full((2, 2, 2), np.nan), 10.0)
