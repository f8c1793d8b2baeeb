import numpy as np
import pytest

from tumor_ratio.imaging.stain_estimation import MAX_TURN_DEG, MIN_NUCLEI, own_hematoxylin
from tumor_ratio.imaging.stains import H_DAB

BLUER = np.array([0.57, 0.69, 0.45]) / np.linalg.norm([0.57, 0.69, 0.45])
DAB = H_DAB.matrix()[1]


def nuclei(rng, hematoxylin, n=400, positive_share=0.3):
    """Mean densities of nuclei: hematoxylin everywhere, DAB in the first of them."""
    amount = rng.uniform(0.3, 0.8, (n, 1))
    dab = np.zeros((n, 1))
    dab[: int(positive_share * n)] = rng.uniform(0.3, 1.2, (int(positive_share * n), 1))
    return amount * hematoxylin + dab * DAB + rng.normal(0, 0.005, (n, 3))


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.8])
def test_the_slides_own_hue_is_found_whatever_the_share_of_positives(rng, share) -> None:
    od = nuclei(rng, BLUER, positive_share=share)
    found = own_hematoxylin(od, H_DAB, max_dab_od=0.2)
    assert found.matrix()[0] == pytest.approx(BLUER, abs=0.01)
    assert found.second == H_DAB.second
    dab = (od @ np.linalg.inv(found.matrix()))[:, 1]
    n = int(share * len(od))
    assert (dab[:n] > 0.2).all()
    assert np.abs(dab[n:]).max() < 0.05
    by_fixed = (od @ np.linalg.inv(H_DAB.matrix()))[n:, 1]
    assert (by_fixed > 0.2).mean() > 0.1  # what the fixed vector takes for positive


def test_few_nuclei_and_other_dyes_leave_the_fixed_vector(rng) -> None:
    few = nuclei(rng, BLUER, n=MIN_NUCLEI - 1, positive_share=0.0)
    assert own_hematoxylin(few, H_DAB, max_dab_od=0.2) is H_DAB
    assert own_hematoxylin(np.empty((0, 3)), H_DAB, max_dab_od=0.2) is H_DAB
    red = np.array([0.1, 0.9, 0.2]) / np.linalg.norm([0.1, 0.9, 0.2])
    assert np.rad2deg(np.arccos(red @ H_DAB.matrix()[0])) > MAX_TURN_DEG
    assert own_hematoxylin(nuclei(rng, red), H_DAB, max_dab_od=0.2) is H_DAB
