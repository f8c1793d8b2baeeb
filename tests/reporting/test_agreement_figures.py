"""What is drawn is what the tables say: values are read back from the artists."""

import math

import numpy as np
import pandas as pd
import pytest

from tumor_ratio.reporting.comparison_tables import BETWEEN, differences, errors_by_bin
from tumor_ratio.reporting.figures.bland_altman import draw_bland_altman
from tumor_ratio.reporting.figures.calibration import draw_calibration
from tumor_ratio.reporting.figures.differences import draw_differences
from tumor_ratio.reporting.figures.error_by_bin import draw_error_by_bin
from tumor_ratio.reporting.figures.scatter import draw_scatter
from tumor_ratio.reporting.headline import Headline

HEADLINE = Headline("holdout", "ihc_measured", "selected", "raw")
COLOURS = {"net": "#112233", "other": "#445566"}
STAMP = "only for the test of stamps"


def lines_of(axes) -> dict[str, np.ndarray]:
    return {
        line.get_gid(): np.asarray(line.get_ydata(), float) for line in axes.lines if line.get_gid()
    }


def panels(figure) -> dict:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_visible()}


def stamped(figure) -> bool:
    return STAMP in figure.get_supxlabel()


@pytest.fixture
def compared() -> pd.DataFrame:
    measured = np.array([0.1, 0.3, 0.5, 0.7])
    return pd.concat(
        pd.DataFrame({"approach": name, "measured": measured, "raw": measured + shift})
        for name, shift in (("net", 0.05), ("other", -0.1))
    )


@pytest.fixture
def slides() -> pd.DataFrame:
    return pd.DataFrame(
        {"approach": ["net"], "slide_id": ["s"], "measured": [0.4], "predicted": [0.48]}
    )


def test_bland_altman_draws_the_planted_bias_limits_and_slides(compared, slides):
    table = pd.DataFrame(
        {"region_bias": [0.05, -0.1], "region_bias_lower": [0.02, math.nan],
         "region_bias_upper": [0.08, math.nan], "region_limit_lower": [-0.11, math.nan],
         "region_limit_upper": [0.21, math.nan]},
        index=["net", "other"],
    )  # fmt: skip
    figure = draw_bland_altman(compared, slides, table, COLOURS, output="raw", stamps=[STAMP])
    net, other = panels(figure)["net"], panels(figure)["other"]
    drawn = {name: float(y[0]) for name, y in lines_of(net).items()}
    assert drawn == {"bias": 0.05, "limit_lower": -0.11, "limit_upper": 0.21}
    assert set(lines_of(other)) == {"bias"}
    dots, rings = net.collections[:2]
    assert dots.get_offsets()[:, 1].tolist() == pytest.approx([0.05] * 4)
    assert dots.get_offsets()[:, 0].tolist() == pytest.approx([0.125, 0.325, 0.525, 0.725])
    assert rings.get_offsets()[0].tolist() == pytest.approx([0.44, 0.08])
    band = net.patches[0].get_extents().transformed(net.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((0.02, 0.08))
    assert {"+0.05", "-0.11", "+0.21"} <= {text.get_text() for text in net.texts}
    assert stamped(figure)


def test_calibration_draws_groups_and_the_scored_line():
    bins = pd.DataFrame(
        {"approach": ["net", "net", "other"], "predicted": [0.1, 0.5, 0.2],
         "measured": [0.15, 0.4, 0.3], "lower": [0.1, math.nan, math.nan],
         "upper": [0.2, math.nan, math.nan], "n_regions": 5, "n_slides": 2}
    )  # fmt: skip
    table = pd.DataFrame(
        {"region_calibration_slope": [0.6, math.nan],
         "region_calibration_intercept": [0.09, math.nan]},
        index=["net", "other"],
    )  # fmt: skip
    figure = draw_calibration(bins, table, COLOURS, stamps=[STAMP])
    net, other = panels(figure)["net"], panels(figure)["other"]
    assert lines_of(net)["groups"] == pytest.approx([0.15, 0.4])
    assert lines_of(net)["line"] == pytest.approx([0.09 + 0.06, 0.09 + 0.3])
    assert len(net.collections[0].get_segments()) == 1
    assert "line" not in lines_of(other)
    assert any("constant" in text.get_text() for text in other.texts)
    assert stamped(figure)


def test_answers_outside_0_to_1_are_in_view(compared, slides):
    far = compared.assign(raw=compared["raw"] * 3 - 0.4)  # -0.4 + 0 to 1.85
    for figure in (
        draw_scatter(far, slides, COLOURS, output="raw", bin_edges=[0.2, 0.5]),
        draw_scatter(compared, slides, COLOURS, output="raw", bin_edges=[0.2, 0.5]),
    ):
        for axes in panels(figure).values():
            dots = axes.collections[0].get_offsets()
            assert axes.get_ylim()[0] < dots[:, 1].min()
            assert dots[:, 1].max() < axes.get_ylim()[1]
    assert axes.get_ylim() == axes.get_xlim() == (-0.02, 1.02)
    figure = draw_bland_altman(far, slides, pd.DataFrame(), COLOURS, output="raw")
    for axes in panels(figure).values():
        dots = axes.collections[0].get_offsets()
        assert axes.get_xlim()[0] < dots[:, 0].min()
        assert dots[:, 0].max() < axes.get_xlim()[1]
    bins = pd.DataFrame(
        {"approach": "net", "predicted": [-0.3, 1.6], "measured": [0.1, 0.9], "lower": math.nan,
         "upper": math.nan, "n_regions": 5, "n_slides": 2}
    )  # fmt: skip
    (axes,) = panels(draw_calibration(bins, pd.DataFrame(), COLOURS)).values()
    assert axes.get_xlim() == pytest.approx((-0.32, 1.62))


def scores(metric: str, values: dict[str, float], unit: str = "region", **more) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"approach": name, **HEADLINE._asdict(), "unit": unit, "metric": metric, "value": value,
             "lower": value - 0.01, "upper": value + 0.03, "n_slides": 4, "n_units": 9, **more}
            for name, value in values.items()
        ]
    )  # fmt: skip


def pair(a: str, b: str, effect: float, **more) -> dict:
    return {
        "approach_a": a, "approach_b": b, **HEADLINE._asdict(), "effect": effect,
        "lower": effect - 0.02, "upper": effect + 0.02, "p_value": 0.03, "p_holm": 0.06, **more,
    }  # fmt: skip


APPROACHES = pd.DataFrame(
    {
        "approach": ["net", "other", "training_median", "ridge", "oracle"],
        "role": ["model", "model", "baseline", "baseline", "ceiling"],
    }
)


@pytest.fixture
def found() -> pd.DataFrame:
    paired = pd.DataFrame(
        [
            pair("net", "other", -0.01),
            pair("net", "ridge", -0.03),
            pair("net", "training_median", -0.05),
            pair("net", "training_median", -0.5, regions="admitted"),
        ]
    )
    gains = scores("gain_mae", {"net": 0.05, "ridge": 0.02, "oracle": 0.08})
    return differences(paired, gains, APPROACHES, HEADLINE)


def test_differences_are_grouped_and_gains_change_their_sign(found):
    rows = list(zip(found["group"], found["label"], found["effect"], strict=True))
    assert rows == [
        ("against training_median", "net", -0.05),
        ("against training_median", "ridge", -0.02),
        ("against training_median", "oracle", -0.08),
        ("against ridge", "net", -0.03),
        (BETWEEN, "net - other", -0.01),
    ]
    oracle = found[found["label"] == "oracle"].iloc[0]
    assert (oracle["lower"], oracle["upper"]) == pytest.approx((-0.11, -0.07))
    assert math.isnan(oracle["p_holm"])


def test_the_forest_draws_effects_intervals_and_p_values(found):
    axes = draw_differences(found, COLOURS, [STAMP]).axes[0]
    dots = [float(line.get_xdata()[0]) for line in axes.lines if line.get_gid()]
    assert dots == found["effect"].tolist()
    ends = [tuple(lines.get_segments()[0][:, 0]) for lines in axes.collections]
    assert ends == [
        pytest.approx(each) for each in zip(found["lower"], found["upper"], strict=True)
    ]
    said = [text.get_text() for text in axes.texts]
    assert "-0.050  p = 0.060" in said
    assert "-0.080" in said
    undefined = found.assign(effect=math.nan)
    assert "could be compared" in draw_differences(undefined, COLOURS).texts[0].get_text()


def test_error_by_bin_draws_what_was_scored():
    metrics = {"low": "mae_in_low", "high": "mae_in_high"}
    table = pd.concat(
        [scores("mae_in_high", {"net": 0.3, "other": math.nan}),
         scores("mae_in_low", {"net": 0.05, "other": 0.06}),
         scores("mae_in_low", {"net": 0.9}, unit="slide")]
    )  # fmt: skip
    errors = errors_by_bin(table, metrics, HEADLINE)
    assert errors["bin"].tolist() == ["low", "low", "high", "high"]
    axes = draw_error_by_bin(errors, COLOURS, [STAMP]).axes[0]
    assert lines_of(axes)["net"] == pytest.approx([0.05, 0.3])
    assert lines_of(axes)["other"] == pytest.approx([0.06, math.nan], nan_ok=True)
    assert axes.get_xticklabels()[0].get_text() == "low\n9 regions, 4 slides"


def test_nothing_to_draw_is_said_and_stamped(compared, slides):
    nobody = {"nobody": "#000000"}
    empty = pd.DataFrame(columns=["approach", "bin", "mae", "lower", "upper"])
    for figure in (
        draw_bland_altman(compared, slides, pd.DataFrame(), nobody, output="raw", stamps=[STAMP]),
        draw_calibration(empty, pd.DataFrame(), nobody, stamps=[STAMP]),
        draw_error_by_bin(empty, nobody, [STAMP]),
    ):
        assert "no test region" in figure.texts[0].get_text()
        assert stamped(figure)
