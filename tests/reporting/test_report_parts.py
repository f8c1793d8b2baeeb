import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tumor_ratio.metrics.sign_flips import MOST_EXACT, N_DRAWS
from tumor_ratio.reporting.answer import answer_of
from tumor_ratio.reporting.cohort_tables import failures_table, tile_table
from tumor_ratio.reporting.definitions import DEFINITIONS
from tumor_ratio.reporting.figures.confusion import draw_confusion
from tumor_ratio.reporting.figures.style import approach_colours
from tumor_ratio.reporting.headline import Headline, headline_metrics, headline_table
from tumor_ratio.reporting.html_report import (
    Block,
    Example,
    Picture,
    Report,
    Section,
    Table,
    render_report,
)
from tumor_ratio.reporting.images import image_uri
from tumor_ratio.reporting.report_tables import primary_table
from tumor_ratio.reporting.results_text import interval, number, p_value, percent, results_text
from tumor_ratio.reporting.stamps import RESEARCH_USE
from tumor_ratio.reporting.study import STUDY_CAVEATS, STUDY_ROWS
from tumor_ratio.reporting.undefined import Figures, undefined_in_views, undefined_notes

HEADLINE = Headline("holdout", "ihc_measured", "selected", "raw")

METRICS = (
    "mae", "mse", "within_0_05", "within_0_1", "within_0_2", "bin_accuracy", "balanced_accuracy",
    "gain_mae", "skill_mae",
)  # fmt: skip


def scores_of(maes: dict[str, float]) -> pd.DataFrame:
    rows = []
    for approach, mae in maes.items():
        for unit in ("region", "slide"):
            for metric in METRICS:
                value = {"mae": mae, "gain_mae": 0.2 - mae, "skill_mae": math.nan}.get(metric, 0.5)
                rows.append(
                    [
                        approach,
                        "x",
                        *HEADLINE[:2],
                        unit,
                        *HEADLINE[2:],
                        metric,
                        value,
                        0.0,
                        1.0,
                        3,
                        9,
                    ]
                )
    return pd.DataFrame(
        rows,
        columns=[
            "approach", "supervision", "protocol", "reference", "unit", "regions", "output",
            "metric", "value", "lower", "upper", "n_slides", "n_regions",
        ],
    )  # fmt: skip


def approaches_of(roles: dict[str, str], reasons: dict[str, str] | None = None) -> pd.DataFrame:
    reasons = reasons or {}
    return pd.DataFrame(
        {
            "approach": list(roles),
            "role": list(roles.values()),
            "supervision": "what it saw",
            "scored": [name not in reasons for name in roles],
            "coverage": 1.0,
            "reason": [reasons.get(name, "") for name in roles],
        }
    )


MAES = {"training_median": 0.2, "net": 0.1, "ridge": 0.15, "oracle": 0.05}
ROLES = {
    "net": "model", "late": "model", "training_median": "baseline", "ridge": "baseline",
    "oracle": "ceiling",
}  # fmt: skip


@pytest.fixture
def approaches():
    return approaches_of(ROLES, {"late": "no predictions: it did not run"})


def test_headline_orders_by_role_and_relates_gains(approaches):
    table = headline_table(scores_of(MAES), approaches, HEADLINE)
    assert table.index.tolist() == ["net", "training_median", "ridge", "oracle"]
    assert table.at["net", "relative_gain_mae"] == pytest.approx(0.5)
    assert table.at["net", "gain_over_ridge"] == pytest.approx(2)


def test_a_ridge_without_gain_is_no_yardstick(approaches):
    table = headline_table(scores_of({**MAES, "ridge": 0.25}), approaches, HEADLINE)
    assert table["gain_over_ridge"].isna().all()


def test_metrics_leave_out_what_is_undefined(approaches):
    metrics = headline_metrics(scores_of(MAES), approaches, HEADLINE)
    assert metrics["net"]["region_mae"] == 0.1
    assert "region_skill_mae" not in metrics["net"]
    assert len({frozenset(values) for values in metrics.values()}) == 1


def test_text_columns_line_up_and_notes_follow(approaches):
    text = results_text(
        scores_of(MAES), approaches, HEADLINE,
        region_um=56.0, confidence=0.95, notes=["few slides"], stamps=[RESEARCH_USE],
    )  # fmt: skip
    lines = text.splitlines()
    header = next(line for line in lines if line.startswith("approach"))
    row = next(line for line in lines if line.startswith("net"))
    assert header.index("MAE") + len("MAE") == row.index("0.100") + len("0.100")
    assert " -50% " in row  # less than the median's: better
    assert "not scored: late: no predictions: it did not run" in text
    assert "- few slides" in text
    assert RESEARCH_USE in " ".join(text.split())


def test_answer_names_the_best_model_and_what_stands_beside_it(approaches):
    table = headline_table(scores_of(MAES), approaches, HEADLINE)
    first, second = answer_of(table, HEADLINE, 56.0)
    assert "net estimates" in first
    assert "50% below the training median" in first
    assert "ridge: 25% below" in second
    assert "oracle: 75% below" in second
    assert "net" not in second


def test_answer_and_title_name_what_is_compared(approaches):
    other = HEADLINE._replace(reference="he_true", output="calibrated")
    scores = scores_of(MAES).assign(
        reference="he_true", output="calibrated", n_slides=1, n_regions=1
    )
    first, *_ = answer_of(headline_table(scores, approaches, other), other, 56.0)
    assert first.startswith("On 1 test slide (1 region, 56 µm wide) net, calibrated, estimates ")
    assert "the true ratio of the H&E section itself" in first
    text = results_text(
        scores, approaches, other, region_um=56.0, confidence=0.95, notes=[], stamps=[]
    )
    assert "agreement with the true ratio of the H&E section itself" in text
    assert "1 test slide, 1 selected region (56 um wide)" in text


def test_numbers_and_dashes():
    assert number(math.nan) == "-"
    assert number(0.12345) == "0.123"
    assert percent(-0.0) == "0%"
    assert percent(-0.254) == "-25%"
    assert percent(math.inf) == "-"
    assert interval(math.nan, 1.0) == ""
    assert number(-0.0004) == number(-0.0) == "0.000"
    assert number(-0.00005, 4) == "-0.0001"
    assert (p_value(1e-5), p_value(0.0001), p_value(math.nan)) == ("<0.0001", "0.0001", "-")
    assert interval(-0.0004, 0.25) == "[0.000, 0.250]"


def test_each_dash_has_its_reason():
    def row(metric, n_units, n_undefined=0, value=math.nan, unit="region"):
        return {
            "approach": "net", **HEADLINE._asdict(), "unit": unit, "metric": metric,
            "value": value, "n_units": n_units, "n_undefined": n_undefined,
        }  # fmt: skip

    rows = [
        row("ccc", 1), row("r2", 30), row("mae", 30, value=0.1), row("spearman", 30),
        row("mae", 0, 4, unit="slide"), row("ccc", 0, 4, unit="slide"), row("mae_in_0_5_to_1", 0),
    ]  # fmt: skip
    scores = pd.DataFrame(rows)
    titles = {"mae": "MAE", "ccc": "CCC", "r2": "R²", "mae_in_0_5_to_1": "upper"}
    columns = {
        "regions": Figures(HEADLINE.regions, "region", titles),
        "slides": Figures(HEADLINE.regions, "slide", {"mae": "MAE", "ccc": "CCC"}),
    }
    (note,) = undefined_notes(scores, "net", HEADLINE, columns)
    assert note == (
        "A dash is an undefined figure; here are 5. regions: CCC (one value alone has no spread); "
        "regions: R² (all measured values are equal); regions: upper (nothing was measured in the "
        "bin); slides: every figure (4 lack a predicted value)."
    )
    assert undefined_notes(scores.iloc[2:3], "net", HEADLINE, columns) == []
    views = {"slide ratios": (HEADLINE, "slide"), "as it is": (HEADLINE, "region")}
    assert undefined_in_views(scores, ["net"], views) == [
        "net, slide ratios: undefined, as 4 lack a predicted value."
    ]


def test_reasons_count_by_rule_not_by_number():
    tiles = pd.DataFrame(
        {
            "region_id": list("abcde"),
            "reason": [
                "white he 0.71 > 0.40",
                "white he 0.55 > 0.40; structure 0.10 <= 0.40",
                "",
                "",
                "",  # its nuclei were never judged
            ],
        }
    )
    pairs = pd.DataFrame(
        {
            "region_id": ["c", "d"],
            "kept": [True, False],
            "reason": ["", "nuclei density agreement 0.31 under 0.5"],
        }
    )
    rows = dict(tile_table(tiles, pairs).rows)
    assert rows == {
        "kept": "1",
        "white he > 0.40": "2",
        "structure <= 0.40": "1",
        "nuclei density agreement under 0.5": "1",
    }


def test_failures_name_no_file():
    failures = pd.DataFrame(
        [["s1", "step", "SlideError", "/slides/Anna M 1960.svs: no pixel size in anna_m; set it"]],
        columns=["slide_id", "step", "error", "message"],
    )
    table = failures_table(failures, {"/slides/Anna M 1960.svs", "/b/anna_m"})
    assert table.rows[0][2] == "(file): no pixel size in (file); set it"


def test_text_from_elsewhere_is_escaped():
    failures = pd.DataFrame(
        [["s1", "step", "SlideError", "<script>alert(1)</script>"]],
        columns=["slide_id", "step", "error", "message"],
    )
    page = render_report(
        Report(
            title="T & T", subtitle="", stamps=[RESEARCH_USE], answer=["a"], key_figures=[],
            sections=[Section("cohort", "Cohort", [Block(table=failures_table(failures))])],
        )
    )  # fmt: skip
    assert "<script" not in page
    assert "T &amp; T" in page
    assert page.count(RESEARCH_USE) == 3


def test_examples_and_pictures_stand_in_their_block():
    picture, other = (image_uri(np.full((4, 4, 3), value, np.uint8)) for value in (0, 90))
    block = Block(
        "Good", table=Table(("a",), [("<b>",)]), pictures=[Picture(other, "a & b")],
        examples=[Example(picture, "", picture, ["measured <0.10>"])],
    )  # fmt: skip
    sections = [Section("one", "One", [block]), Section("two", "Two", [])]
    page = render_report(
        Report(
            title="t", subtitle="s", stamps=[RESEARCH_USE], answer=[], key_figures=[],
            sections=sections,
        )
    )  # fmt: skip
    assert (
        page.index("Good</h3>") < page.index(other) < page.index(picture) < page.index("Two</h2>")
    )
    assert page.count("no picture") == 1
    assert page.count(picture) == 2
    assert "measured &lt;0.10&gt;" in page
    assert "a &amp; b" in page
    assert "&lt;b&gt;" in page
    assert all(uri.startswith("data:image/") for uri in re.findall(r'src="([^"]*)"', page))


def test_an_approach_keeps_its_colour():
    names, roles = list(ROLES), list(ROLES.values())
    colours = approach_colours(names, roles)
    assert colours["net"] != colours["late"]
    assert approach_colours(names[:1], roles[:1])["net"] == colours["net"]


def test_a_figure_of_nothing_says_so():
    figure = draw_confusion({"net": np.zeros((3, 3))}, ("a", "b", "c"))
    assert isinstance(figure, Figure)
    assert "no test region" in figure.texts[0].get_text()


def test_the_definitions_know_the_tests_own_numbers():
    said = " ".join(text for _, text in DEFINITIONS)
    assert f"with more than {MOST_EXACT} slides, of {N_DRAWS:,} random ones" in said


def test_the_studys_table_comes_with_its_caveats():
    assert ("ViT-B/16", "0.7408 (bins)", "0.01258", "0.07591") in STUDY_ROWS
    assert any("0.739" in caveat for caveat in STUDY_CAVEATS)
    assert {name for name, _ in DEFINITIONS} >= {"tumor ratio", "oracle, skill"}


def test_the_primary_table_has_a_group_a_role_and_gains_in_their_columns(approaches):
    table = primary_table(headline_table(scores_of(MAES), approaches, HEADLINE))
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert list(rows) == ["net", "training_median", "ridge", "oracle"]
    assert table.marked == {0, 1, 3}
    assert rows["net"]["against median"] == "-50%"
    assert rows["net"]["gain over ridge’s"] == "2.0"
    assert rows["oracle"]["gain over ridge’s"] == "3.0"
