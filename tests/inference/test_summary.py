"""What is said of a slide, on planted fields."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import openslide
import pandas as pd
import pytest
import shapely
from PIL import Image

from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.imaging.tissue_classes import EXCLUSION_REASONS, TissueClasses
from tumor_ratio.inference.domain import DomainWarning, TrainedDomain
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.output_tables import animal_tables, empty_record, slide_table
from tumor_ratio.inference.region_grid import REASONS, RegionGrid, judge_squares, list_regions
from tumor_ratio.inference.slide_files import (
    HEAT_MAP,
    INTERVAL_MAP,
    OVERLAY,
    PAGE,
    SHAPES,
    SMALL_MAP,
    FileOptions,
    write_slide_files,
)
from tumor_ratio.inference.summary import FociOptions, summarise_slide
from tumor_ratio.inference.survey import SlideSurvey, mask_shares
from tumor_ratio.inference.tumor_area import TUMOR_NUMBERS
from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.metrics.tumor_share import Labellings, ShareRange
from tumor_ratio.reporting.html_report import render_report
from tumor_ratio.reporting.slide_page import SlidePictures, slide_page
from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_TRAINING

CELL = 50
GRID = RegionGrid(CELL, 1.0, CELL)
CARD = {"approach": "mine", "fingerprint": "ab" * 32, "training_data": "phantom"}
CALIBRATION = NewSlideCalibration(
    model="ab" * 32,
    approach="mine",
    stamps=(RESEARCH_USE,),
    slides=tuple("abcdefghijkl"),
    n_cases=12,
    n_regions=600,
    rank=12,
    region_quantile=1.0,
    slide_quantile=1.0,
    reason="",
    tau=0.5,
    tau_reason="",
    area_map=MonotoneMap((0.0, 0.4, 1.0), (0.0, 0.6, 1.0)),
    area_reason="",
    domain=TrainedDomain({}),
)


@pytest.fixture
def slide(tmp_path) -> Slide:
    Image.new("RGB", (600, 500), (240, 240, 240)).save(tmp_path / "s.png")
    return open_slide(tmp_path / "s.png", slide_id="s", mpp=1.0)


@pytest.fixture
def survey() -> SlideSurvey:
    """Tissue on columns 1 to 10 and rows 1 to 8, with a lumen, a fold and a pen stroke."""
    stained, pen, fold, unreadable = np.zeros((4, 500, 600), dtype=bool)
    stained[50:450, 50:550] = True
    organ = stained.copy()
    stained[100:150, 100:150] = False  # a lumen
    pen[400:450, 50:100] = True
    pen[:50] = True  # on glass: nothing is lost
    stained &= ~pen
    fold[350:400, 50:100] = True
    unreadable[300:350, 50:100] = True
    stained[50:90, 500:550] = False
    classes = TissueClasses(1.0, stained, organ, pen, fold)
    return SlideSurvey("s", np.zeros((500, 600, 3), np.uint8), 1.0, 1.0, classes, unreadable)


def predicted(slide: Slide, survey: SlideSurvey) -> pd.DataFrame:
    """Ratio 0.1, and 0.4 (0.6 on the scale of areas) on a block of 2 x 3 cells."""
    table = list_regions(slide, survey, GRID)
    rich = table["x_px"].isin([300, 350, 400]) & table["y_px"].isin([200, 250])
    scored = table["reason"] == ""
    ratio = pd.Series(np.where(rich, 0.4, 0.1)).where(scored)
    return table.assign(
        tumor_ratio=ratio,
        tumor_ratio_calibrated=ratio / 2,
        nuclear_um2=pd.Series(np.where(rich, 900.0, 300.0)).where(scored),
        answered_by_median=rich & scored,
    )


def summary(slide, survey, **options):
    calibration = options.pop("calibration", CALIBRATION)
    warnings = options.pop("warnings", [])
    card, labellings = options.pop("card", CARD), options.pop("labellings", None)
    regions = predicted(slide, survey)
    return summarise_slide(
        *(slide, survey, regions, GRID, card, calibration, warnings),
        FociOptions(**options),
        labellings,
    )


def test_reasons_are_the_contracts():
    assert set(REASONS) == set(EXCLUSION_REASONS)


def test_regions_say_why_they_have_no_ratio(slide, survey):
    table = list_regions(slide, survey, GRID)
    at = table.set_index(["x_px", "y_px"])
    assert len(table) == 8 * 10 - 1  # the lumen is glass, and so is the pen outside the organ
    assert (100, 100) not in at.index
    reasons = {(50, 300): "unreadable", (50, 350): "folded", (50, 400): "pen", (500, 50): "white"}
    assert at.loc[at["reason"] != "", "reason"].to_dict() == reasons
    assert at.loc[(500, 50), "tissue"] == pytest.approx(0.2)
    assert at.loc[(50, 350), "tissue"] == 0.0


def test_marks_count_by_their_share(survey):
    corners = np.array([[50.0 - 36, 300.0], [50.0 - 40, 300.0]])  # 0.28 and 0.2 of it unreadable
    squares = judge_squares(survey, corners, 50.0, 0.01)
    assert squares.reason.tolist() == ["unreadable", ""]


@pytest.mark.parametrize("side_px", [8.5, 12.5, 34.0, 100.0])
def test_squares_that_cut_pixels_count_their_parts(survey, side_px):
    """Shares of a whole grid add up to the mask's area; to whole pixels 2 % would be lost."""
    mask = survey.classes.stained
    rows, columns = (math.ceil(side / side_px) for side in mask.shape)
    corners = np.array([(c * side_px, r * side_px) for r in range(rows) for c in range(columns)])
    shares = mask_shares(mask, corners, side_px, 1.0)
    assert shares.sum() * side_px**2 == pytest.approx(mask.sum())
    fine = mask.repeat(2, axis=0).repeat(2, axis=1)
    exact = [fine[int(2 * y) : int(2 * (y + side_px)), int(2 * x) : int(2 * (x + side_px))].sum()
             for x, y in corners]  # fmt: skip
    np.testing.assert_allclose(shares, np.array(exact) / (2 * side_px) ** 2, atol=1e-12)
    outside = np.array([[-2 * side_px, 0.0], [700.0, 0.0], [0.0, 600.0]])
    assert mask_shares(np.ones_like(mask), outside, side_px, 1.0).tolist() == [0, 0, 0]


def test_areas_are_the_planted_ones(slide, survey):
    record = summary(slide, survey).record
    pixels = 400 * 500 - 2500 - 2500 - 2000
    assert record["organ_mm2"] == pytest.approx(0.2)
    assert record["stained_mm2"] == pytest.approx(pixels / 1e6)
    left_out = {"pen": 2500, "folded": 2500, "unreadable": 2500, "white": 500, "blurred": 0}
    whole = pixels + 2500
    assert record["left_out"] == pytest.approx({k: v / whole for k, v in left_out.items()})
    scored = (79 - 4) * 2500
    assert record["scored_mm2"] == pytest.approx(scored / 1e6)
    assert record["ki67_rich_area_mm2"] == pytest.approx(6 * 2500 / 1e6)
    assert record["ki67_rich_share_of_tissue"] == pytest.approx(6 * 2500 / scored)
    assert record["ki67_rich_share_of_organ"] == pytest.approx(6 * 2500 / (200_000 - 8000))
    curve = {point["tau"]: point["mm2"] for point in record["curve"]}
    assert curve[0.6] == pytest.approx(6 * 2500 / 1e6)
    assert curve[0.61] == 0
    assert record["tumor_area_mm2"] is None
    assert "tumor-specific marker" in record["tumor_area_reason"]


LABELLINGS = Labellings(ShareRange(0.25, 0.2, 0.3), ShareRange(0.04, 0.02, 0.05))
BY_TISSUE = (6 * 0.2 + 69 * 0.05) / 75
BY_NUCLEI = (6 * 900 * 0.2 + 69 * 300 * 0.05) / (6 * 900 + 69 * 300)
SCORED = 75 * 2500 / 1e6


def test_a_tumor_area_follows_from_the_labellings(slide, survey):
    record = summary(slide, survey, labellings=LABELLINGS).record
    assert record["tissue_ratio"] == pytest.approx(BY_TISSUE)
    share = (BY_TISSUE - 0.04) / (0.25 - 0.04)
    assert record["tumor_area_mm2"] == pytest.approx(share * SCORED)
    lower, upper = (BY_TISSUE - 0.05) / (0.3 - 0.05), (BY_TISSUE - 0.02) / (0.2 - 0.02)
    assert record["tumor_area_lower_mm2"] == pytest.approx(lower * SCORED)
    assert record["tumor_area_upper_mm2"] == pytest.approx(upper * SCORED)
    assert record["tumor_nuclear_share"] == pytest.approx((BY_NUCLEI - 0.04) / 0.21)
    assert record["tumor_area_basis"].startswith(
        "labelling by area as given: 0.25 (0.2 to 0.3) of tumor nuclei, 0.04 (0.02 to 0.05) of"
    )
    assert record["tumor_area_reason"] == ""


def test_cells_with_more_tissue_weigh_more(slide, survey):
    survey.classes.stained[50:75, 250:300] = False
    regions = predicted(slide, survey).assign(nuclear_um2=100.0)
    here = (regions["x_px"] == 250) & (regions["y_px"] == 50)
    ratio = pd.Series(np.where(here, 0.8, 0.2)).where(regions["reason"] == "")
    regions = regions.assign(tumor_ratio=ratio, tumor_ratio_calibrated=ratio)
    whole = summarise_slide(slide, survey, regions, GRID, CARD, CALIBRATION, [], FociOptions())
    assert whole.record["tissue_ratio"] == pytest.approx((0.5 * 0.8 + 74 * 0.2) / 74.5)


def test_only_the_final_share_is_cut(slide, survey):
    """Cells of 0.2 are over l and cells of 0.05 under b; cut in each cell, 6 of 75 were tumor."""
    noisy = Labellings(ShareRange(0.15, 0.15, 0.15), ShareRange(0.06, 0.06, 0.06))
    record = summary(slide, survey, labellings=noisy).record
    assert record["tumor_area_mm2"] == pytest.approx((BY_TISSUE - 0.06) / 0.09 * SCORED)
    assert record["tumor_area_mm2"] < 6 * 2500 / 1e6
    assert record["tumor_area_reason"] == ""


@pytest.mark.parametrize(
    ("tumor", "other", "area", "said"),
    [
        (0.06, 0.01, SCORED, "the ratio over tissue, 0.062, is above 0.06 of tumor nuclei; the"),
        (
            0.5,
            0.07,
            0.0,
            "the ratio over tissue, 0.062, is below 0.07 of other nuclei: a labelling",
        ),
        (0.5, 0.1, 0.0, "the ratio over nuclei, 0.081, is below 0.1 of other nuclei: a labelling"),
    ],
)
def test_a_share_outside_0_to_1_is_cut_and_said(slide, survey, tumor, other, area, said):
    labellings = Labellings(ShareRange(tumor, tumor, tumor), ShareRange(other, other, other))
    record = summary(slide, survey, labellings=labellings).record
    for name in ("tumor_area_mm2", "tumor_area_lower_mm2", "tumor_area_upper_mm2"):
        assert record[name] == pytest.approx(area)
    assert said in record["tumor_area_reason"]


def with_meaning(*meanings: str) -> dict:
    return {**CARD, "domain": {"marker_meaning": list(meanings)}}


def test_after_a_tumor_specific_marker_the_ratio_is_the_share(slide, survey):
    record = summary(slide, survey, card=with_meaning("tumor")).record
    assert record["tumor_area_mm2"] == pytest.approx(BY_TISSUE * SCORED)
    assert record["tumor_nuclear_share"] == pytest.approx(BY_NUCLEI)
    assert record["tumor_area_lower_mm2"] is None
    assert record["tumor_area_upper_mm2"] is None
    assert "tumor-specific marker" in record["tumor_area_basis"]
    assert record["tumor_area_reason"] == ""
    given = summary(slide, survey, card=with_meaning("tumor"), labellings=LABELLINGS).record
    assert given["tumor_area_mm2"] == pytest.approx((BY_TISSUE - 0.04) / 0.21 * SCORED)


@pytest.mark.parametrize(
    ("meanings", "said"),
    [
        ((), "not declared for all training slides"),
        (("proliferation",), "a marker of proliferation, which is not the tumor"),
        (("proliferation", "tumor"), "mean proliferation and tumor"),
    ],
)
def test_no_other_marker_gives_a_tumor_area(slide, survey, meanings, said):
    record = summary(slide, survey, card=with_meaning(*meanings)).record
    names = ("tumor_area_mm2", "tumor_area_lower_mm2", "tumor_area_upper_mm2")
    assert [record[name] for name in (*names, "tumor_nuclear_share")] == [None] * 4
    assert said in record["tumor_area_reason"]
    assert record["tumor_area_basis"] == ""


def test_without_a_ratio_no_labelling_gives_a_tumor_area(slide, survey):
    nothing = predicted(slide, survey).assign(
        tumor_ratio=np.nan, tumor_ratio_calibrated=np.nan, nuclear_um2=np.nan
    )
    whole = summarise_slide(
        *(slide, survey, nothing, GRID, CARD, CALIBRATION, [], FociOptions()), LABELLINGS
    )
    assert whole.record["tumor_area_mm2"] is None
    assert whole.record["tumor_area_reason"] == "no tissue of this slide has a ratio"


def test_the_tables_carry_the_tumor_area(slide, survey):
    records = {
        "s": summary(slide, survey, labellings=LABELLINGS).record,
        "t": summary(slide, survey).record,
        "u": empty_record("u", CARD),
    }
    table = slide_table(records).set_index("slide_id")
    for name in TUMOR_NUMBERS:
        assert table[name].dtype == "float64"
        assert table[name]["s"] == records["s"][name]
        assert math.isnan(table[name]["u"])
    assert math.isnan(table["tumor_area_mm2"]["t"])
    assert table["tissue_ratio"]["t"] == table["tissue_ratio"]["s"]
    assert table["tumor_area_basis"].tolist() == [records["s"]["tumor_area_basis"], "", ""]
    assert table["tumor_area_reason"].tolist() == ["", records["t"]["tumor_area_reason"], ""]


def test_damage_beyond_the_organ_takes_nothing_off_its_area(slide, survey):
    """Half a slide of glass may be damaged; the rich share of the organ does not grow by it."""
    whole = summary(slide, survey).record
    unreadable = survey.unreadable.copy()
    unreadable[450:] = unreadable[:, 550:] = True
    damaged = summary(slide, dataclasses.replace(survey, unreadable=unreadable)).record
    assert damaged["left_out"]["unreadable"] > 5 * whole["left_out"]["unreadable"]
    for name in ("organ_mm2", "ki67_rich_area_mm2", "ki67_rich_share_of_organ"):
        assert damaged[name] == pytest.approx(whole[name])


def test_where_nothing_could_be_scored_nothing_is_said_to_be_0(slide, survey):
    regions = predicted(slide, survey).assign(reason="blurred")
    for name in ("tumor_ratio", "tumor_ratio_calibrated", "nuclear_um2"):
        regions[name] = np.nan
    for tau in (None, 0.3):
        whole = summarise_slide(
            *(slide, survey, regions, GRID, CARD, CALIBRATION, []), FociOptions(tau=tau)
        )
        record = whole.record
        assert record["scored_mm2"] == 0
        for name in ("tumor_ratio", "lower", "ki67_rich_area_mm2", "ki67_rich_share_of_organ"):
            assert record[name] is None
        assert record["ki67_rich_foci"] == {
            "number": None,
            "per_mm2": None,
            "area_mm2": None,
            "foci": [],
        }
        assert record["interval"] == "interval withheld: the slide has no ratio"
        table = slide_table({"s": record}).iloc[0]
        assert table[["n_foci", "focus_mm2", "lower"]].isna().all()
        animals, _ = animal_tables(slide_table({"s": record}))
        assert animals.iloc[0][["focus_mm2", "focus_share_of_organ"]].isna().all()
        page = " ".join(render_report(slide_page(record, SlidePictures())).split())
        assert "No Ki-67-rich area and no foci: no tissue of it could be scored." in page
        assert "no reason given" not in page


def test_the_ratio_is_weighted_by_nuclear_area(slide, survey):
    record = summary(slide, survey).record
    expected = (6 * 900 * 0.4 + 69 * 300 * 0.1) / (6 * 900 + 69 * 300)
    assert record["tumor_ratio"] == pytest.approx(expected)
    assert record["tumor_ratio_calibrated"] == pytest.approx(expected / 2)
    assert record["nuclear_mm2"] == pytest.approx((6 * 900 + 69 * 300) / 1e6)
    assert (record["n_regions"], record["n_left_out"]) == (75, 4)
    assert record["n_answered_by_median"] == 6


def test_foci_have_outlines_on_the_slide(slide, survey):
    found = summary(slide, survey).record["ki67_rich_foci"]
    assert found["number"] == 1
    assert found["area_mm2"] == pytest.approx(6 * 2500 / 1e6)
    (focus,) = found["foci"]
    assert focus["area_um2"] == 6 * 2500
    assert (focus["x_px"], focus["y_px"]) == (375, 250)
    corners = {tuple(corner) for corner in focus["polygons"][0][0]}
    assert corners == {(300, 200), (450, 200), (450, 300), (300, 300)}
    none = summary(slide, survey, min_area_um2=20_000.0).record
    assert none["ki67_rich_foci"]["number"] == 0
    assert summary(slide, survey, tau=0.7).record["ki67_rich_area_mm2"] == 0


def test_a_focus_beside_tissue_that_was_left_out_says_so_and_never_holds_it(slide, survey):
    """Beside an unreadable and a folded cell, and around another that is blurred."""
    regions = predicted(slide, survey)
    block = regions["x_px"].isin([100, 150, 200]) & regions["y_px"].isin([250, 300, 350])
    middle = (regions["x_px"] == 150) & (regions["y_px"] == 300)
    regions.loc[block, "tumor_ratio"] = 0.4
    regions.loc[middle, "reason"] = "blurred"
    regions.loc[middle, ["tumor_ratio", "tumor_ratio_calibrated", "nuclear_um2"]] = np.nan
    whole = summarise_slide(*(slide, survey, regions, GRID, CARD, CALIBRATION, []), FociOptions())
    foci = {each["x_px"]: each for each in whole.record["ki67_rich_foci"]["foci"]}
    assert foci[375]["touches_excluded"] is False
    assert (foci[175]["n_cells"], foci[175]["touches_excluded"]) == (8, True)
    assert len(foci[175]["polygons"][0]) == 2


def test_intervals_follow_the_calibration_or_say_why_not(slide, survey):
    given = summary(slide, survey)
    record = given.record
    assert record["interval"] == ""
    assert 0 <= record["lower"] < record["tumor_ratio_calibrated"] < record["upper"] <= 1
    bounds = CALIBRATION.slide_interval(
        [record["tumor_ratio_calibrated"]], [record["nuclear_mm2"] * 1e6]
    )
    assert (record["lower"], record["upper"]) == pytest.approx([float(each[0]) for each in bounds])
    has_ratio = np.isfinite(given.field.ratio)
    assert (given.field.lower[has_ratio] < given.field.ratio[has_ratio]).all()
    assert np.isfinite(given.field.upper).sum() == has_ratio.sum()

    unlike = [DomainWarning("appearance", "looks unlike the training slides")]
    withheld = summary(slide, survey, warnings=unlike)
    assert withheld.record["lower"] is None
    assert withheld.record["interval"].endswith("looks unlike the training slides")
    assert withheld.record["domain_warnings"] == ["looks unlike the training slides"]
    assert np.isnan(withheld.field.lower).all()
    anyway = summary(slide, survey, warnings=unlike, intervals_anyway=True)
    assert anyway.record["lower"] == record["lower"]
    assert anyway.record["domain_warnings"] == ["looks unlike the training slides"]

    few = dataclasses.replace(CALIBRATION, n_cases=3, slide_quantile=math.nan)
    few = dataclasses.replace(few, region_quantile=math.nan)
    withheld = summary(slide, survey, calibration=few, intervals_anyway=True)
    assert withheld.record["interval"].startswith("interval withheld: 3 calibration slides")


def test_without_a_calibration_areas_are_unknown_and_not_zero(slide, survey):
    record = summary(slide, survey, calibration=None).record
    assert record["ki67_rich_area_mm2"] is None
    assert record["ki67_rich_foci"] == {
        "number": None,
        "per_mm2": None,
        "area_mm2": None,
        "foci": [],
    }
    assert record["tau"] is None
    assert "not calibrated for new slides" in record["tau_reason"]
    assert record["tumor_ratio"] is not None


def test_the_record_is_stamped_json_without_nan(slide, survey):
    record = summary(slide, survey, calibration=None).record
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["stamps"] == [RESEARCH_USE, SYNTHETIC_TRAINING]


def test_a_slides_files_say_the_same_and_carry_the_stamps(slide, survey, tmp_path):
    whole = summary(slide, survey)
    folder = tmp_path / "files"
    files = write_slide_files(slide, survey, whole, folder)
    assert files[0] == folder / PAGE
    assert all(path.is_file() for path in files)
    shapes = json.loads((folder / SHAPES).read_text())
    assert shapes["stamps"] == [RESEARCH_USE, SYNTHETIC_TRAINING]
    kinds = [each["properties"]["objectType"] for each in shapes["features"]]
    assert kinds.count("tile") == len(whole.regions)
    focus = next(each for each in shapes["features"] if each["properties"]["objectType"] != "tile")
    assert shapely.geometry.shape(focus["geometry"]).bounds == (300.0, 200.0, 450.0, 300.0)
    with openslide.OpenSlide(folder / OVERLAY) as overlay:
        assert SYNTHETIC_TRAINING in overlay.properties["tiff.ImageDescription"]
    for picture in (HEAT_MAP, INTERVAL_MAP):
        with Image.open(folder / picture) as opened:
            assert SYNTHETIC_TRAINING in opened.info["Description"]
    page = (folder / PAGE).read_text()
    assert SYNTHETIC_TRAINING in page
    assert "focus 1, " in page


def test_files_of_an_earlier_prediction_do_not_stay(slide, survey, tmp_path):
    write_slide_files(slide, survey, summary(slide, survey), tmp_path)
    withheld = summary(slide, survey, warnings=[DomainWarning("declared", "species undeclared")])
    only = FileOptions(overlay=False, shapes=False)
    files = write_slide_files(slide, survey, withheld, tmp_path, only)
    assert {path.name for path in files} == {PAGE, HEAT_MAP, SMALL_MAP}
    assert {path.name for path in tmp_path.iterdir()} == {*(path.name for path in files), "s.png"}


def test_overlapping_regions_are_written_as_cells(slide, survey, tmp_path):
    grid = RegionGrid(CELL, 1.0, CELL // 2)
    table = list_regions(slide, survey, grid)
    scored = table["reason"] == ""
    ratio = pd.Series(0.3, index=table.index).where(scored)
    regions = table.assign(
        tumor_ratio=ratio,
        tumor_ratio_calibrated=ratio,
        nuclear_um2=ratio * 1000,
        answered_by_median=False,
    )
    whole = summarise_slide(slide, survey, regions, grid, CARD, CALIBRATION, [], FociOptions())
    write_slide_files(slide, survey, whole, tmp_path / "files", FileOptions(overlay=False))
    shapes = json.loads((tmp_path / "files" / SHAPES).read_text())["features"]
    tiles = [each for each in shapes if each["properties"]["objectType"] == "tile"]
    areas = {shapely.geometry.shape(each["geometry"]).area for each in tiles}
    assert areas == {(CELL / 2) ** 2}
