import numpy as np
import pytest

from tumor_ratio.imaging.foreign_colour import is_foreign
from tumor_ratio.imaging.stains import H_DAB, StainVectors

DUST, GREEN_PEN = (0.75, 0.80, 0.85), (0.9, 0.3, 0.7)
BLUE = StainVectors((0.83, 0.51, 0.20), H_DAB.second)


def foreign(colours, vectors=H_DAB) -> list[bool]:
    return is_foreign(np.atleast_2d(colours), vectors).tolist()


@pytest.mark.parametrize(("hematoxylin", "dab"), [(0.3, 0.2), (0.1, 0.6), (0.9, 1.5), (0, 1)])
@pytest.mark.parametrize("vectors", [H_DAB, BLUE])
def test_any_mixture_of_the_stains_is_their_own(hematoxylin, dab, vectors):
    assert foreign(np.array([hematoxylin, dab, 0.0]) @ vectors.matrix(), vectors) == [False]


@pytest.mark.parametrize("colour", [DUST, GREEN_PEN])
@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_dust_and_pen_are_foreign(colour, strength):
    assert foreign(strength * np.array(colour)) == [True]


@pytest.mark.parametrize("colour", [(0.45, 0.50, 0.64), (0.40, 0.44, 0.62)])
def test_greyish_brown_is_dab_of_another_hue(colour):
    assert foreign(colour) == [False]


def test_nothing_is_not_foreign():
    assert foreign(np.zeros((2, 3))) == [False, False]
