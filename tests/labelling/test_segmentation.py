"""What a slide's nuclei are measured by: core, colour, and the tissue between them."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tumor_ratio.schemas import Nuclei

from ..models.drawn_nuclei import DAB, HEMATOXYLIN, draw_section
from .ihc_images import ihc_pair, nuclei_of

MPP, SIDE_PX, RADIUS_PX = 0.5, 480, 9
GREY = np.array([1.0, 1.07, 1.13])
"""Densities of dust, as a phantom draws it."""


def places(n_across=10, spacing_px=44):
    offsets = 30 + spacing_px * np.arange(n_across)
    return [(x, y) for y in offsets for x in offsets]


def picture(paint, *, ground=0.0, colour=DAB):
    """Nuclei on a lattice: `paint(index, distance from the centre in radii)` gives densities."""
    density = np.zeros((SIDE_PX, SIDE_PX, 3)) + ground * colour
    density[:, -40:] = 0.01  # glass, not the pure white of what was never scanned
    yy, xx = np.mgrid[:SIDE_PX, :SIDE_PX] + 0.5
    for index, (x, y) in enumerate(places()):
        box = np.s_[y - 14 : y + 15, x - 14 : x + 15]
        away = np.hypot(xx[box] - x, yy[box] - y) / RADIUS_PX
        density[box] += paint(index, away)
    light = 256 * np.power(10.0, -gaussian_filter(density, (0.7, 0.7, 0))) - 1
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def nearest(nuclei, indices):
    """The nucleus found at each of these places; fails where there is none."""
    xy = nuclei[["x_px", "y_px"]].to_numpy()
    found = []
    for index in indices:
        away = np.linalg.norm(xy - places()[index], axis=1)
        assert away.min() < 4, f"no nucleus at place {index}"
        found.append(int(away.argmin()))
    return nuclei.iloc[found]


def blue(away):
    return (away < 1)[..., None] * 0.45 * HEMATOXYLIN


def measured(tmp_path, rgb, **options):
    return Nuclei.validate(nuclei_of(ihc_pair(tmp_path, "drawn", rgb, MPP), **options))


def test_a_nucleus_is_positive_by_its_core(tmp_path):
    """DAB in the inner half only: the whole nucleus' mean lies under the threshold."""

    def paint(index, away):
        inner = (away < 0.6)[..., None] * 0.35 * DAB
        return blue(away) + (inner if index % 4 == 0 else 0)

    nuclei = measured(tmp_path, picture(paint))
    positive = nearest(nuclei, range(0, 100, 4))
    assert positive["dab_od_mean"].max() < 0.2
    assert positive["dab_od_core"].min() > 0.2
    assert positive["positive"].all()
    assert (positive["grade"] == 1).all()
    negative = nearest(nuclei, range(1, 100, 4))
    assert not negative["positive"].any()
    assert negative["dab_od_core"].max() < 0.05


def test_dust_is_no_positive_nucleus(tmp_path):
    def paint(index, away):
        if index % 10 == 3:
            return (away < 1)[..., None] * 0.7 * GREY
        brown = (away < 1)[..., None] * 0.6 * DAB if index % 10 == 5 else 0
        return blue(away) + brown

    nuclei = measured(tmp_path, picture(paint))
    xy = nuclei[["x_px", "y_px"]].to_numpy()
    for index in range(3, 100, 10):
        assert np.linalg.norm(xy - places()[index], axis=1).min() > 6
    assert nearest(nuclei, range(5, 100, 10))["positive"].all()
    assert nuclei["positive"].sum() == 10


@pytest.mark.parametrize("ground", [0.0, 0.15])
def test_dab_between_nuclei_is_that_of_the_tissue_around_them(tmp_path, ground):
    """Not that of the nuclei, however brown they are."""

    def paint(index, away):
        return blue(away) + (away < 1)[..., None] * (0.7 if index % 2 else 0) * DAB

    stroma = 0.15 * HEMATOXYLIN
    rgb = picture(paint, ground=1, colour=stroma + ground * DAB)
    nuclei = measured(tmp_path, rgb, own_hematoxylin=False)
    inner = nearest(nuclei, [row * 10 + column for row in range(2, 8) for column in range(2, 7)])
    assert np.allclose(inner["dab_od_between"], ground, atol=0.03)


def test_a_darker_lamp_changes_no_density(tmp_path):
    section = draw_section(np.random.default_rng(4), side_px=SIDE_PX)
    lamp = np.rint(section.rgb * 0.8).astype(np.uint8)
    bright, dark = (measured(tmp_path / name, rgb) for name, rgb in
                    (("bright", section.rgb), ("dark", lamp)))  # fmt: skip
    assert len(dark) == pytest.approx(len(bright), rel=0.02)
    for column in ("hematoxylin_od", "dab_od_core"):
        assert dark[column].median() == pytest.approx(bright[column].median(), abs=0.02)
    assert dark["positive"].mean() == pytest.approx(bright["positive"].mean(), abs=0.01)
