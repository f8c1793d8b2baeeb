from __future__ import annotations

import numpy as np
import pytest

from tumor_ratio.cohort.frame_readers import SectionInFrame
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.transform import Transform

SHIFTED = Transform(((1.0, 0.0, 24.0), (0.0, 1.0, 0.0)))
PLACES = [(0, 0, 64, 1.0), (100, 60, (128, 96), 1.0), (33.5, 7.25, (50, 80), 2.0)]


@pytest.mark.parametrize("place", PLACES)
def test_a_section_is_read_as_its_pair_reads_it(make_pair, place):
    pair = make_pair(shift_px=24, transform=SHIFTED)
    he, ihc = SectionInFrame(pair, "he").read(*place), SectionInFrame(pair, "ihc").read(*place)
    assert np.array_equal(he, pair.read_he_at(*place))
    assert np.array_equal(ihc, pair.read_ihc_at(*place))
    assert np.array_equal(he, pair.he.read(*place))
    side = place[2] if isinstance(place[2], tuple) else (place[2],) * 2
    assert he.shape == ihc.shape == (side[1], side[0], 3)


def test_the_ihc_section_shows_the_tissue_of_the_frame(make_pair):
    place = (100, 60, (128, 96), 1.0)
    aligned = SectionInFrame(make_pair("s1"), "ihc").read(*place)
    shifted = make_pair("s2", shift_px=24, transform=SHIFTED)
    assert np.abs(aligned.astype(int) - SectionInFrame(shifted, "ihc").read(*place)).mean() < 1
    assert np.abs(aligned.astype(int) - shifted.ihc.read(*place)).mean() > 5


def test_an_ihc_section_alone_is_read_in_its_own_frame(make_pair):
    pair = make_pair(sides="ihc", transform=SHIFTED)
    place = (100, 60, 128, 1.0)
    assert np.array_equal(SectionInFrame(pair, "ihc").read(*place), pair.ihc.read(*place))


@pytest.mark.parametrize(
    ("sides", "section", "message"),
    [
        ("ihc", "he", "slide s1: has no H&E slide; give he_path"),
        ("he", "ihc", "slide s1: has no IHC slide; give ihc_path"),
    ],
)
def test_a_missing_section_is_named(make_pair, sides, section, message):
    with pytest.raises(SlideError, match=message):
        SectionInFrame(make_pair(sides=sides), section).read(0, 0, 64, 1.0)
