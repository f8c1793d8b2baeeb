import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tumor_ratio.metrics.sign_flips import MOST_EXACT, N_DRAWS
from tumor_ratio.reporting.answer import answer_of, key_figures, with_tests
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
from tumor_ratio.reporting.results_text import WIDTH, interval, number, p_value, results_text
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
                around = {"gain_mae": (value - 0.06, value + 0.06)}.get(metric, (0.0, 1.0))
                rows.append(
                    [
                        approach,
                        "x",
                        *HEADLINE[:2],
                        unit,
                        *HEADLINE[2:],
                        metric,
                        value,
                        *around,
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


def paired_of(p_holm: dict[str, float], headline: Headline = HEADLINE) -> pd.DataFrame:
    rows = [
        {"approach_a": name, "approach_b": other, **headline._asdict(), "p_holm": p}
        for name, p in p_holm.items()
        for other in ("training_median", "ridge")
    ]
    columns = ["approach_a", "approach_b", *Headline._fields, "p_holm"]
    return pd.DataFrame(rows, columns=columns)


def with_p(scores, approaches, p_holm: dict[str, float], headline=HEADLINE) -> pd.DataFrame:
    table = headline_table(scores, approaches, headline)
    return with_tests(table, paired_of(p_holm, headline), headline)


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


def text_of(table, approaches, headline=HEADLINE, **options) -> str:
    given = {"region_um": 56.0, "confidence": 0.95, "notes": [], "stamps": [], "answer": []}
    return results_text(table, approaches, headline, **given | options)


def test_words_come_first_columns_line_up_and_terms_are_explained(approaches):
    table = with_p(scores_of(MAES), approaches, {"net": 0.0123})
    text = text_of(
        table, approaches, answer=["net’s is best, 56 µm."], notes=["few slides"],
        stamps=[RESEARCH_USE],
    )  # fmt: skip
    lines = text.splitlines()
    assert lines[0] == "net's is best, 56 um."
    header = next(line for line in lines if line.startswith("approach"))
    row = next(line for line in lines if line.startswith("net "))
    assert header.index("MAE") + len("MAE") == row.index("0.100") + len("0.100")
    assert "-0.100  [-0.160, -0.040]  0.0123" in row  # less than the median's: better
    assert row.endswith("  what it saw")
    assert "%" not in row
    ridge = next(line for line in lines if line.startswith("ridge "))
    assert "-0.050   [-0.110, 0.010]       -" in ridge  # not tested
    assert "not scored: late: no predictions: it did not run" in text
    assert "- few slides" in text
    assert RESEARCH_USE in " ".join(text.split())
    for term in (
        "MAE",
        "interval",
        "vs median",
        "p",
        "skill",
        "oracle",
        "ridge",
        "raw, calibrated",
    ):
        assert any(line.startswith(f"{term}: ") for line in lines), term
    assert max(map(len, lines)) <= WIDTH


def test_what_an_approach_learned_from_goes_on_below(approaches):
    long = "squares of both stains, drawn by their ratio, paired by their local stain, " * 2
    table = with_p(scores_of(MAES), approaches.assign(supervision=long), {})
    text = text_of(table, approaches)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("drawn") == 8


ROLES_OF_THREE = {"net": "model", "other": "model", "third": "model", "training_median": "baseline"}


@pytest.mark.parametrize(
    ("mae", "p_holm", "verdict"),
    [
        (0.1, 0.01, "beyond chance"),
        (0.1, 0.05, "not beyond chance"),  # the interval excludes 0, the test is not below 0.05
        (0.15, 0.01, "not beyond chance"),  # the interval includes 0
        (0.1, math.nan, "not tested: too few slides"),
    ],
)
def test_the_best_is_beyond_chance_by_interval_and_test(mae, p_holm, verdict):
    approaches = approaches_of(ROLES_OF_THREE)
    table = with_p(scores_of({"net": mae, "training_median": 0.2}), approaches, {"net": p_holm})
    first, second, *rest = answer_of(table, HEADLINE, 56.0, 0.95, synthetic="")
    assert first == (
        "The approach: net estimates the ratio measured on the neighbouring Ki-67 section, a share "
        f"from 0 to 1, and is off by {mae:.3f} on average (mean absolute error; 3 test slides, "
        "9 regions, 56 µm wide)."
    )
    gain = 0.2 - mae
    p = f", p = {p_holm:.4f}" if math.isfinite(p_holm) else ""
    assert second == (
        "Always answering the median of the training slides is off by 0.200: net’s error is "
        f"{gain / 0.2:.0%} less (difference {-gain:.3f}, 95% interval [{-gain - 0.06:.3f}, "
        f"{-gain + 0.06:z.3f}]{p}), {verdict}."
    )
    assert rest == []


def test_the_others_are_grouped_by_what_is_beyond_chance():
    approaches = approaches_of(ROLES_OF_THREE | {"fourth": "model", "oracle": "ceiling"})
    maes = {
        "net": 0.1, "other": 0.11, "third": 0.19, "fourth": 0.3, "training_median": 0.2,
        "oracle": 0.05,
    }  # fmt: skip
    p_holm = {"net": 0.001, "other": 1e-6, "third": 0.5, "fourth": 0.02}
    table = with_p(scores_of(maes), approaches, p_holm)
    said = answer_of(table, HEADLINE, math.nan, 0.95, synthetic="All")
    assert said[0].startswith("Best of 4 approaches: net estimates")
    assert said[2] == (
        "Also better than that constant, beyond chance: other, off by 0.110, 45% less (difference "
        "-0.090, 95% interval [-0.150, -0.030], p <0.0001)."
    )
    assert said[3].startswith("Worse than it, beyond chance: fourth, off by 0.300, 50% more (")
    assert said[4].startswith("Neither better nor worse than it beyond chance: third, off by 0.190")
    assert said[5].startswith(
        "The oracle, which knows the H&E section’s true nuclei and can only err"
    )
    assert said[6].startswith("All slides are synthetic")
    mixed = answer_of(table, HEADLINE, math.nan, 0.95, synthetic="Some")
    assert mixed[6].startswith("Some slides are synthetic")
    for sentence in said:
        assert sentence.count("% less") + sentence.count("% more") == sentence.count(", p ")


def test_large_numbers_say_p_or_interval_beside_each_share(approaches):
    table = with_p(scores_of(MAES), approaches, {"net": 0.0123})
    beside = {key.label: key.beside for key in key_figures(table)}
    assert beside == {
        "MAE, net": "beside the median’s: 50% less, p = 0.0123",
        "MAE, training_median": "the constant to beat",
        "MAE, ridge": "beside the median’s: 25% less, difference [-0.110, 0.010]",
        "MAE, oracle": "beside the median’s: 75% less, difference [-0.210, -0.090]",
    }


def test_nothing_to_score_is_said():
    approaches = approaches_of({"net": "model"}, {"net": "no predictions"})
    scores = scores_of({"net": 0.1}).iloc[:0]
    table = with_p(scores, approaches, {})
    (only,) = answer_of(table, HEADLINE, 56.0, 0.95, synthetic="All")
    assert only.startswith("No model could be scored")
    assert "No approach could be compared." in text_of(table, approaches)


def test_answer_and_title_name_what_is_compared(approaches):
    other = HEADLINE._replace(reference="he_true", output="calibrated")
    scores = scores_of(MAES).assign(
        reference="he_true", output="calibrated", n_slides=1, n_regions=1
    )
    table = with_p(scores, approaches, {}, other)
    first, *_ = answer_of(table, other, 56.0, 0.95, synthetic="")
    assert first.startswith("The approach: net, calibrated, estimates the true ratio of the H&E ")
    assert "1 test slide, 1 region, 56 µm wide" in first
    text = text_of(table, approaches, other)
    assert "agreement with the true ratio of the H&E section itself" in text
    assert "1 test slide, 1 selected region (56 um wide)" in text


def test_numbers_and_dashes():
    assert number(math.nan) == "-"
    assert number(0.12345) == "0.123"
    assert interval(0.123, 0.456, 2) == "[0.12, 0.46]"
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
    table = primary_table(with_p(scores_of(MAES), approaches, {"net": 0.0123}))
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert list(rows) == ["net", "training_median", "ridge", "oracle"]
    assert table.marked == {0, 1, 3}
    assert rows["net"]["against median"] == "-0.100"
    assert rows["net"]["interval of it"] == "[-0.160, -0.040]"
    assert rows["net"]["p (Holm)"] == "0.0123"
    assert rows["oracle"]["p (Holm)"] == "-"
    assert rows["net"]["gain over ridge’s"] == "2.0"
    assert rows["oracle"]["gain over ridge’s"] == "3.0"
