import numpy as np
import pytest
import tifffile

from tumor_ratio.cohort.manifest import PlannedPair
from tumor_ratio.cohort.opening import OpeningParams, open_planned_pair
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging import tiled_copy
from tumor_ratio.imaging.regions import Region


def test_both_slides_are_opened_with_the_rows_pixel_sizes(make_images) -> None:
    he_path, ihc_path = make_images()
    planned = PlannedPair("s1", "c1", he_path, ihc_path, None, 1.005, {"organ": "lung"})
    pair = SlidePair.from_record(open_planned_pair(planned))
    assert (pair.he.mpp, pair.ihc.mpp) == (pytest.approx(1.0), 1.005)
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


@pytest.mark.parametrize("size", [{"width": 500}, {"height": 300}, {"width": 607}])
def test_sections_of_different_size_are_refused(make_images, size) -> None:
    he_path, _ = make_images("a", width=600, height=400)
    _, ihc_path = make_images("b", **{"width": 600, "height": 400, **size})
    expected = r"slide s1: the sections differ in size: H&E 600 x 400 px .*; register the IHC onto"
    with pytest.raises(SlideError, match=expected):
        open_planned_pair(PlannedPair("s1", "c1", he_path, ihc_path))


def test_sections_on_one_canvas_may_have_other_pixels(make_images) -> None:
    he_path, _ = make_images("a", width=600, height=400)
    _, ihc_path = make_images("b", width=1203, height=800)
    planned = PlannedPair("s1", "c1", he_path, ihc_path, 0.5, 0.25)
    assert open_planned_pair(planned)["ihc"]["width_px"] == 1203


def test_sections_of_different_size_are_one_pair_where_that_is_allowed(make_images) -> None:
    he_path, _ = make_images("a", width=600, height=400)
    _, ihc_path = make_images("b", width=500, height=300)
    planned = PlannedPair("s1", "c1", he_path, ihc_path)
    params = OpeningParams(max_size_difference=0.5)
    pair = SlidePair.from_record(open_planned_pair(planned, params))
    assert (pair.he.width_px, pair.ihc.width_px) == (600, 500)
    edge = pair.read_ihc(Region("s1", "", "tile", 450, 0, 100, 1.0))
    assert (edge[:, 50:] == 255).all()
    assert (edge[:, :49] < 255).any()


def test_files_outside_the_allowed_folder_are_refused(make_images, tmp_path) -> None:
    he_path, ihc_path = make_images()
    planned = PlannedPair("s1", "c1", he_path, ihc_path)
    assert open_planned_pair(planned, OpeningParams(allowed_root=str(tmp_path)))["ihc"] is not None
    (tmp_path / "inside").mkdir()
    refused = r"slide s1: .*s1_.*tif lies outside .*inside.*move the file there, or change"
    with pytest.raises(SlideError, match=refused):
        open_planned_pair(planned, OpeningParams(allowed_root=str(tmp_path / "inside")))


def test_links_and_dots_do_not_lead_out_of_the_allowed_folder(make_images, tmp_path) -> None:
    he_path, _ = make_images()
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.tif").symlink_to(he_path)
    for path in (inside / "link.tif", inside / ".." / he_path.name):
        with pytest.raises(SlideError, match="lies outside"):
            open_planned_pair(
                PlannedPair("s1", "c1", path, None), OpeningParams(allowed_root=str(inside))
            )


def test_a_link_that_leads_back_to_itself(tmp_path) -> None:
    (tmp_path / "a.svs").symlink_to(tmp_path / "b.svs")
    (tmp_path / "b.svs").symlink_to(tmp_path / "a.svs")
    for root in ("", str(tmp_path)):
        with pytest.raises(SlideError, match=r"slide s1: .*leads back to itself; link to the"):
            open_planned_pair(
                PlannedPair("s1", "c1", tmp_path / "a.svs", None), OpeningParams(allowed_root=root)
            )


def test_a_tiled_copy_is_a_product_of_the_step(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tiled_copy, "STRIPPED_LIMIT_PX", 1000)
    path = tmp_path / "strips.tif"
    tifffile.imwrite(path, np.zeros((100, 100, 3), np.uint8), photometric="rgb", rowsperstrip=8)
    record = open_planned_pair(
        PlannedPair("s1", "c1", path, None, 0.5), OpeningParams(pyramids=str(tmp_path / "pyramids"))
    )
    assert record["he"]["source_path"] == str(path)
    assert record["products"] == [record["he"]["path"]]
