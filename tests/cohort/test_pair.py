import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.transform import Displacement, Transform

SHIFTED = Transform(((1.0, 0.0, 24.0), (0.0, 1.0, 0.0)))
REGION = Region("s1", "", "tile", 100, 60, 128, 1.0)


def test_the_frame_is_the_he_slide_where_there_is_one(make_pair) -> None:
    pair = make_pair()
    assert pair.frame == pair.he
    lone = make_pair(sides="ihc")
    assert lone.frame == lone.ihc


def test_the_ihc_is_read_in_the_frame_of_the_he(make_pair) -> None:
    aligned = make_pair("s1").read_ihc(REGION)
    moved = make_pair("s2", shift_px=24, transform=SHIFTED).read_ihc(REGION)
    assert np.abs(aligned.astype(int) - moved).mean() < 1
    unmoved = make_pair("s3", shift_px=24).read_ihc(REGION)
    assert np.abs(aligned.astype(int) - unmoved).mean() > 5


def test_points_come_back_to_the_frame(make_pair, rng) -> None:
    bend = Displacement.from_array(rng.normal(0, 5, (5, 5, 2)), 150.0)
    pair = make_pair(transform=Transform(SHIFTED.affine, bend))
    frame_px = rng.uniform(0, 400, (30, 2))
    ihc_px = pair.transform.forward(frame_px * pair.he.mpp) / pair.ihc.mpp
    assert pair.ihc_to_frame_px(ihc_px) == pytest.approx(frame_px, abs=0.01)
    assert pair.ihc_to_frame_px(np.empty((0, 2))).shape == (0, 2)


def test_an_ihc_slide_alone_is_its_own_frame(make_pair) -> None:
    pair = make_pair(sides="ihc", transform=SHIFTED)
    assert np.array_equal(pair.read_ihc(REGION), pair.ihc.read(100, 60, 128, 1.0))
    assert np.array_equal(pair.ihc_to_frame_px([[3.0, 4.0]]), [[3.0, 4.0]])
    with pytest.raises(SlideError, match="slide s1: has no H&E slide; give he_path"):
        pair.read_he(REGION)


def test_an_he_slide_alone_has_no_ihc(make_pair) -> None:
    pair = make_pair(sides="he")
    assert pair.read_he(REGION).shape == (128, 128, 3)
    with pytest.raises(SlideError, match="has no IHC slide; give ihc_path"):
        pair.read_ihc(REGION)
    with pytest.raises(SlideError, match="has no IHC slide"):
        pair.ihc_to_frame_px([[0.0, 0.0]])


def test_a_pair_of_nothing_is_refused() -> None:
    with pytest.raises(SlideError, match="neither an H&E nor an IHC slide"):
        SlidePair("s1", "c1", None, None)


def test_records_and_pickles_are_exact(make_pair, rng) -> None:
    bend = Displacement.from_array(rng.normal(0, 5, (5, 5, 2)), 150.0)
    full = make_pair(transform=Transform(SHIFTED.affine, bend))
    full = SlidePair(
        **{**vars(full), "meta": {"organ": "lung", "thickness_um": 4.0}, "truth_dir": Path("t")}
    )
    cohort = Cohort((full, make_pair("s2", sides="ihc")), "manifest")
    assert Cohort.from_record(json.loads(json.dumps(cohort.to_record()))) == cohort
    assert pickle.loads(pickle.dumps(cohort)) == cohort
    assert SlidePair.from_record({**full.to_record(), "products": ["x.tif"]}) == full


def test_a_cohort_is_looked_up_by_name(make_pair) -> None:
    cohort = Cohort((make_pair("s1"), make_pair("s2")), "manifest")
    assert [pair.slide_id for pair in cohort] == ["s1", "s2"]
    assert len(cohort) == 2
    assert cohort["s2"].case_id == "case-s2"
    with pytest.raises(KeyError):
        cohort["s3"]
    with pytest.raises(ValueError, match="each slide once"):
        Cohort((cohort["s1"], cohort["s1"]), "manifest")
