from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from tumor_ratio.reporting.cohort_page import CohortExtras, cohort_page
from tumor_ratio.reporting.figures.rich_area_curve import draw_rich_area
from tumor_ratio.reporting.html_report import Picture, render_report
from tumor_ratio.reporting.images import photo_uri
from tumor_ratio.reporting.slide_page import SlidePictures, slide_page
from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_TRAINING, stamps_for
from tumor_ratio.reporting.without_paths import without_paths

URI = photo_uri(np.full((4, 4, 3), 200, dtype=np.uint8))
PICTURES = SlidePictures(URI, URI, URI, [Picture(URI, "focus 2, the largest")])
EMPTY = CohortExtras()
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Text by element, and every address; fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data + " "


def record(**changes):
    base = {
        "slide_id": "mouse 7",
        "organ_mm2": 14.0,
        "stained_mm2": 11.0,
        "scored_mm2": 9.9,
        "left_out": {"blurred": 0.06, "pen": 0.04, "white": 0.0},
        "tumor_ratio": 0.204,
        "tumor_ratio_calibrated": 0.231,
        "lower": 0.15,
        "upper": 0.33,
        "interval": "",
        "n_regions": 412,
        "n_left_out": 35,
        "n_answered_by_median": 0,
        "region_um": 112.0,
        "cell_um": 56.0,
        "tau": 0.35,
        "tau_reason": "",
        "area_reason": "",
        "ki67_rich_area_mm2": 0.512,
        "ki67_rich_share_of_tissue": 0.0465,
        "ki67_rich_share_of_organ": 0.0366,
        "curve": curve((0.0, 9.9), (0.35, 0.512), (1.0, 0.0)),
        "ki67_rich_foci": {"number": 0, "per_mm2": 0.0, "foci": []},
        "smallest_detectable_um": 126.4,
        "tumor_area_mm2": None,
        "tumor_area_lower_mm2": None,
        "tumor_area_upper_mm2": None,
        "tumor_nuclear_share": None,
        "tumor_area_basis": "",
        "tumor_area_reason": "the labelling of tumor is not known",
        "domain_warnings": [],
        "approach": "resnet18",
        "model": "3f0c9a11d2be77a0",
        "training_data": "phantom",
        "stamps": list(stamps_for("phantom")),
    }
    return {**base, **changes}


def curve(*points):
    return [{"tau": tau, "mm2": mm2} for tau, mm2 in points]


def with_foci(*foci):
    return {"number": len(foci), "per_mm2": 0.14, "foci": list(foci)}


def focus(number: int, area_um2: float, **flags: bool):
    return {
        "focus_id": number,
        "area_um2": area_um2,
        "equivalent_diameter_um": 120.0,
        "mean_ratio": 0.5,
        "max_ratio": 0.8,
        "touches_excluded": False,
        "touches_edge": False,
        "polygons": [[[[0, 0], [9, 0], [9, 9], [0, 0]]]],
        **flags,
    }


def slide_html(foci=(), pictures=PICTURES, **changes) -> Page:
    given = {"ki67_rich_foci": with_foci(*foci), **changes}
    return Page(render_report(slide_page(record(**given), pictures)))


def test_a_slides_page_says_what_was_found_and_carries_its_stamps():
    page = slide_html([focus(1, 9000.0), focus(2, 2.5e5, touches_excluded=True)])
    for words in (
        "Predicted tumor ratio 0.23, interval 0.15 to 0.33.", "0.512 mm²", "4.7%", "3.7%",
        "90.0%", "blurred 6.0% pen 4.0%", "regions left out 35", "into tissue left out", "0.25 mm²",
        "9000 µm²", "resnet18", "3f0c9a11d2be77a0", "synthetic slides (phantoms)",
        "Tumor area: not given. The labelling of tumor is not known.", "from 126 µm on",
        "focus 2, the largest",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.text.index("0.25 mm²") < page.text.index("9000 µm²"), "the largest comes first"
    assert "too little tissue" not in page.text, "a reason that left nothing out"
    for stamp in (RESEARCH_USE, SYNTHETIC_TRAINING):
        assert page.text.count(stamp) == 2
        assert page.text.index(stamp) < page.text.index("Predicted tumor ratio")


TUMOR = {
    "tumor_area_mm2": 1.234,
    "tumor_area_lower_mm2": 0.9,
    "tumor_area_upper_mm2": 1.8,
    "tumor_nuclear_share": 0.125,
    "tumor_area_basis": "labelling by area as given: 0.5 (0.4 to 0.6) of tumor nuclei",
    "tumor_area_reason": "",
}
ON_TOP = "The range is that of the given labelling only: the prediction’s own error comes on top."


def test_a_tumor_area_says_what_it_rests_on():
    page = slide_html(**TUMOR).text
    area = "Tumor area: 1.23 mm² (0.9 to 1.8 for the given labelling)."
    assert page.count(area) == 2  # at the top, and where its reasons stand
    assert f"{area} Labelling by area as given: 0.5 (0.4 to 0.6) of tumor nuclei." in page
    assert "Of the area of nuclei, 12.5% is tumor." in page
    assert ON_TOP in page
    assert "Assumed: within a cell, tumor has as much area of nuclei per mm²" in page
    assert "Tumor area: not given" not in page
    wrong = slide_html(**{**TUMOR, "tumor_area_reason": "the ratio over tissue is above 0.5"}).text
    assert "The ratio over tissue is above 0.5." in wrong


def test_a_tumor_area_without_labellings_has_no_range():
    unknown = {"tumor_area_lower_mm2": None, "tumor_area_upper_mm2": None}
    page = slide_html(**{**TUMOR, **unknown}).text
    assert "Tumor area: 1.23 mm². Labelling" in page
    assert ON_TOP not in page
    assert "for the given labelling" not in page


def test_a_cohorts_page_lists_tumor_areas_where_there_are_any():
    none = pd.DataFrame(columns=["slide_id", "step", "error", "message"])
    wrong = record(slide_id="mouse 8", **{**TUMOR, "tumor_area_reason": "too high"})
    records = [record(**TUMOR), wrong, record(slide_id="mouse 9")]
    page = Page(render_report(cohort_page(records, none, EMPTY))).text
    area = f"1.23 mm² (0.9 to 1.8 for the given labelling) {TUMOR['tumor_area_basis']}"
    assert f"mouse 7 {area} - 12.5%" in page
    assert f"mouse 8 {area} too high 12.5%" in page
    assert "mouse 9 -" not in page
    assert page.count(ON_TOP) == 1
    without = Page(render_report(cohort_page([record()], none, EMPTY))).text
    assert "umor area" not in without


def test_a_page_is_self_contained_and_shows_no_place_of_a_file():
    page = slide_html(
        domain_warnings=["differs from /data/Doe, Jane/s 1.svs: darker"],
        model="/home/jane/models/r18",
        interval="see C:\\slides\\s1.ndpi",
        lower=None,
    )
    assert page.addresses
    assert all(each.startswith(("data:image/", "#")) for each in page.addresses)
    for part in ("Doe", "Jane", "jane", "ndpi", "svs"):
        assert part not in page.text
    assert "differs from (file): darker" in page.text


def test_regions_that_the_median_answers_are_told_where_there_are_any():
    assert "median" not in slide_html().text
    page = slide_html(n_answered_by_median=37)
    assert (
        "Answered with the training slides' median, since too few nuclei show: 37 of 412 regions "
        "with a ratio." in page.text
    )


def test_a_withheld_interval_a_warning_and_no_ratio_are_said_aloud():
    page = slide_html(
        lower=None, upper=None, interval="too few calibration slides", domain_warnings=["no H&E"]
    )
    assert "Predicted tumor ratio 0.23. Interval withheld: too few calibration slides." in page.text
    assert "This model may not be valid for this slide no H&E" in page.text
    none = slide_html(
        pictures=SlidePictures(),
        tumor_ratio=None,
        tumor_ratio_calibrated=None,
        lower=None,
        upper=None,
        stained_mm2=0.0,
        ki67_rich_area_mm2=None,
        ki67_rich_foci={"number": 0, "per_mm2": None, "foci": []},
        left_out={},
        curve=curve((0.0, None)),
    )
    assert "This slide has no ratio" in none.text
    assert "nan" not in none.text.lower()
    assert "No tissue was left out" in none.text


def test_without_tau_there_are_no_foci_and_the_page_says_why():
    page = slide_html(
        tau=None,
        tau_reason="fewer than three training slides",
        ki67_rich_area_mm2=None,
        ki67_rich_foci={"number": None, "per_mm2": None, "foci": []},
        curve=[],
    )
    assert page.text.count("No Ki-67-rich area and no foci: fewer than three training slides.") == 2
    assert "nan" not in page.text.lower()
    assert "No focus was found" not in page.text
    assert "Area for every tau" not in page.text


def test_names_are_escaped_and_a_long_list_of_foci_is_cut_aloud():
    name = "<script>alert(1)</script>"
    html = render_report(slide_page(record(slide_id=name), PICTURES))
    assert name not in html
    page = slide_html([focus(n, 1e6 - n) for n in range(1, 31)])
    assert "The 20 largest of 30 foci." in page.text


@pytest.mark.parametrize(
    ("changes", "said"), [({"stamps": []}, "no stamp"), ({"tau": ...}, "lacks 'tau'")]
)
def test_a_record_without_what_it_must_have_is_refused(changes, said):
    broken = {name: value for name, value in record(**changes).items() if value is not ...}
    with pytest.raises(ValueError, match=said):
        slide_page(broken, PICTURES)


def test_a_cohorts_page_lists_slides_animals_warnings_and_failures():
    records = [
        record(),
        record(
            slide_id="mouse 8", lower=None, upper=None, interval="stained otherwise",
            domain_warnings=["stained otherwise"], stamps=list(stamps_for("real")),
        ),
        record(slide_id="mouse 9", tumor_ratio_calibrated=None, stained_mm2=0.0),
    ]  # fmt: skip
    failures = pd.DataFrame(
        {
            "slide_id": ["m1"],
            "step": ["open_new_slides"],
            "error": ["SlideError"],
            "message": ["'/data/Doe Jane.svs' is no slide"],
            "remedy": ["leave it out"],
        }
    )
    animals = pd.DataFrame({"animal_id": ["a1"], "group": ["control"], "volume_mm3": [np.nan]})
    extras = CohortExtras({"mouse 7": URI, "mouse 9": URI}, {"mouse 7": "mouse 7.html"}, animals)
    page = Page(render_report(cohort_page(records, failures, extras)))
    for words in (
        "3 slides predicted; 1 slide could not be finished.",
        "The model may not be valid for 1 of them.",
        "mouse 7 0.23 (0.15 to 0.33) 0.512 mm² 4.7% 3.7% 0 11 mm² 90.0% -",
        "mouse 8 0.23 (no interval)",
        "mouse 9 no ratio",
        "mouse 8 interval withheld: stained otherwise",
        "m1 open_new_slides (file) is no slide leave it out",
        "a1 control -",
        "animal id group volume mm3",
    ):
        assert words in page.text, words
    assert page.text.count(SYNTHETIC_TRAINING) == 2
    assert "Doe" not in page.text
    assert page.addresses.count("mouse 7.html") == 2
    others = [each for each in page.addresses if not each.startswith(("data:image/", "#"))]
    assert set(others) == {"mouse 7.html"}


def test_a_cohort_needs_a_slide_and_no_failures_are_no_section():
    none = pd.DataFrame(columns=["slide_id", "step", "error", "message"])
    with pytest.raises(ValueError, match="at least one"):
        cohort_page([], none, CohortExtras())
    page = Page(render_report(cohort_page([record()], none, CohortExtras())))
    assert "1 slide predicted." in page.text
    assert "Not finished" not in page.text
    assert "Animals and groups" not in page.text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cannot read /data/a b/c.svs, 3 of 4", "cannot read (file), 3 of 4"),
        ("cannot read '/data/Jane Doe/scan'", "cannot read (file)"),
        ("in C:\\scans\\x.ndpi: broken", "in (file): broken"),
        ("see s3://bucket/x.tif.", "see (file)."),
        ("data/01_raw/x.tiff is gone", "(file) is gone"),
        ("doe.svs is no slide", "(file) is no slide"),
        ("is under \\\\server\\share\\x", "is under (file)"),
        ("needs ~/models/a and ../b/c", "needs (file) and (file)"),
        (r"regex:(?:\w+) stays", r"regex:(?:\w+) stays"),
        ("0.5 um/px, H&E/IHC and 1 / 2", "0.5 um/px, H&E/IHC and 1 / 2"),
        ("the model has no calibration.json", "the model has no calibration.json"),
        ("3/4 of the slide; and/or", "3/4 of the slide; and/or"),
        ("/slides/Anna Meier 1960.webp: no pixel size", "(file): no pixel size"),
        ("/slides/O'Brien Mary 3.png: the file is empty", "(file): the file is empty"),
        ("'/slides/O'Brien Mary.svs' is no slide", "(file) is no slide"),
        ("Anna Meier.png: cannot be read at level 0", "(file): cannot be read at level 0"),
        ("anna meier.png cannot be read at level 0", "(file) cannot be read at level 0"),
        ("the same slide as Anna O'Brien 2.svs", "the same slide as (file)"),
        ("/home/x/Anna Meier.vsi: bad", "(file): bad"),
        ("a part of data/Anna Meier/Anna Meier.svs", "a part of (file)"),
        ("No such file: '/a long way/to Anna Mei", "No such file: (file)"),  # cut off
        (
            "Level 1 of the slide (Pillow 12.1) is damaged",
            "Level 1 of the slide (Pillow 12.1) is damaged",
        ),
    ],
)
def test_places_of_files_leave_messages_and_units_stay(text, left):
    assert without_paths(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/s/Anna; Meier: a folder, not a file", "(file): a folder, not a file"),
        ("anna meier.odd cannot be read", "(file) cannot be read"),
        ("cannot open /s/maria meier/Slidedat.ini: x", "cannot open (file): x"),
        (
            "/s/anna.svs lies outside /s/anna b, the folder",
            "(file) lies outside (file), the folder",
        ),
        (r"No such file: 'C:\\scans\\maria m.x'", "No such file: '(file)'"),
        ("banana.odd, 7 bytes", "banana.odd, 7 bytes"),
    ],
)
def test_known_files_leave_messages_whatever_their_names_hold(text, left):
    known = {"/s/Anna; Meier", "/s/anna meier.odd", "/s/maria meier.mrxs", "/s/anna b/", "/s/7"}
    assert without_paths(text, known | {"C:\\scans\\maria m.x", "/s/na.odd"}) == left


def test_the_curve_marks_tau_and_says_where_there_is_nothing():
    axes = draw_rich_area([(0.0, 4.0), (0.5, 1.0), (1.0, 0.0)], 0.25).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [4.0, 1.0, 0.0]
    assert re.search(r"tau 0\.25: 2\.5 mm²", axes.texts[0].get_text())
    empty = draw_rich_area([(0.0, np.nan)], 0.25)
    assert "no cell" in empty.texts[0].get_text()


def test_an_interval_is_said_to_be_withheld_once():
    page = render_report(
        slide_page(record(lower=None, upper=None, interval="interval withheld: too few"), PICTURES)
    )
    assert "Interval withheld: too few." in page
