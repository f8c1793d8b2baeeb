import pytest

from tumor_ratio.cohort.manifest import PlannedPair
from tumor_ratio.cohort.opening import open_planned_pair
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError


def test_both_slides_are_opened_with_the_rows_pixel_sizes(make_images) -> None:
    he_path, ihc_path = make_images()
    planned = PlannedPair("s1", "c1", he_path, ihc_path, None, 0.5, {"organ": "lung"})
    pair = SlidePair.from_record(open_planned_pair(planned))
    assert (pair.he.mpp, pair.ihc.mpp) == (pytest.approx(1.0), 0.5)
    assert (pair.slide_id, pair.case_id, pair.data_kind) == ("s1", "c1", "real")
    assert pair.meta == {"organ": "lung"}
    assert pair.transform.is_identity


def test_a_missing_side_stays_missing(make_images) -> None:
    _, ihc_path = make_images()
    pair = SlidePair.from_record(open_planned_pair(PlannedPair("s1", "c1", None, ihc_path)))
    assert pair.he is None


def test_a_missing_file_costs_the_slide(make_images, tmp_path) -> None:
    he_path, _ = make_images()
    planned = PlannedPair("s1", "c1", he_path, tmp_path / "none.tif")
    with pytest.raises(SlideError, match=r"slide s1: .*none.tif: no such file; correct the path"):
        open_planned_pair(planned)
