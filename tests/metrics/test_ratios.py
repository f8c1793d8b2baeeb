import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from tumor_ratio.metrics.ratios import (
    effective_nuclei,
    ratio_interval,
    region_ratios,
    region_sums,
    slide_ratio,
)
from tumor_ratio.schemas import RatioLabels


def nuclei_at(x, y, area=None, positive=None) -> pd.DataFrame:
    n = len(x)
    return pd.DataFrame(
        {
            "x_he_px": np.asarray(x, dtype=float),
            "y_he_px": np.asarray(y, dtype=float),
            "area_um2": np.full(n, 30.0) if area is None else area,
            "positive": np.zeros(n, dtype=bool) if positive is None else positive,
        }
    )


def squares(corners, size_px=100, mpp=0.5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "region_id": [f"s_x{x}_y{y}_s{size_px}" for x, y in corners],
            "slide_id": "s",
            "x_px": [x for x, _ in corners],
            "y_px": [y for _, y in corners],
            "size_px": size_px,
            "mpp": mpp,
        }
    )


def random_nuclei(rng, n=4000, extent=1000) -> pd.DataFrame:
    xy = np.concatenate([rng.uniform(0, extent, (n, 2)), rng.integers(0, 11, (200, 2)) * 100.0])
    xy = xy[(xy < extent).all(axis=1)]
    return nuclei_at(xy[:, 0], xy[:, 1], rng.uniform(10, 120, len(xy)), rng.random(len(xy)) < 0.3)


def test_area_ratio_and_count_share_of_a_planted_region():
    nuclei = nuclei_at(
        np.full(30, 50.0), np.full(30, 50.0), np.r_[np.full(10, 90.0), np.full(20, 30.0)],
        np.arange(30) < 10,
    )  # fmt: skip
    label = RatioLabels.validate(region_ratios(squares([(0, 0)]), nuclei, 0.5)).iloc[0]
    assert label.tumor_ratio == pytest.approx(900 / 1500)
    assert label.positive_share == pytest.approx(1 / 3)
    assert (label.n_nuclei, label.n_positive) == (30, 10)
    assert (label.nuclei_um2, label.positive_um2) == (1500, 900)
    assert label.lower < 0.6 < label.upper
    assert label.label_method == "nucleus"


def test_fewer_than_the_minimum_is_undefined_and_counted():
    labels = region_ratios(
        squares([(0, 0), (100, 0), (200, 0)]),
        nuclei_at(np.r_[np.full(19, 10.0), np.full(20, 110.0)], np.full(39, 5.0)),
        0.5,
    )
    assert labels["tumor_ratio"].isna().tolist() == [True, False, True]
    assert labels["n_nuclei"].tolist() == [19, 20, 0]
    assert labels.loc[[0, 2], ["lower", "upper", "positive_share"]].isna().all(axis=None)
    assert labels["weight"].tolist()[0] == 0
    assert labels["weight"].tolist()[1] > 0
    RatioLabels.validate(labels)


def test_a_region_is_half_open():
    nuclei = nuclei_at([0, 100, 50, 99.999], [0, 50, 100, 99.999])
    counts = region_sums(
        squares([(0, 0), (100, 0), (0, 100)]),
        nuclei[["x_he_px", "y_he_px"]].to_numpy(),
        np.ones((4, 1)),
        0.5,
    )
    assert counts[:, 0].tolist() == [2, 1, 1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_grid_sums_to_the_slide(seed):
    nuclei = random_nuclei(np.random.default_rng(seed))
    grid = squares([(x, y) for y in range(0, 1000, 100) for x in range(0, 1000, 100)])
    labels = region_ratios(grid, nuclei, 0.5)
    assert labels["n_nuclei"].sum() == len(nuclei)
    assert labels["nuclei_um2"].sum() == pytest.approx(nuclei["area_um2"].sum())
    ratio = labels["positive_um2"].sum() / labels["nuclei_um2"].sum()
    assert ratio == pytest.approx(slide_ratio(nuclei))


def test_overlapping_regions_of_all_sizes_equal_a_direct_count():
    rng = np.random.default_rng(3)
    nuclei = random_nuclei(rng)
    regions = pd.concat(
        [
            squares([tuple(int(v) for v in rng.integers(-50, 950, 2)) for _ in range(40)], size)
            for size in (13, 100, 555)
        ],
        ignore_index=True,
    )
    frame_mpp = 0.37
    labels = region_ratios(regions, nuclei, frame_mpp)
    side = regions["size_px"] * regions["mpp"] / frame_mpp
    x, y = nuclei["x_he_px"].to_numpy(), nuclei["y_he_px"].to_numpy()
    for index, region in regions.iterrows():
        inside = (x >= region.x_px) & (x < region.x_px + side[index])
        inside &= (y >= region.y_px) & (y < region.y_px + side[index])
        assert labels["n_nuclei"][index] == inside.sum()
        assert labels["nuclei_um2"][index] == pytest.approx(nuclei["area_um2"][inside].sum())


def test_the_order_of_nuclei_and_regions_does_not_matter():
    rng = np.random.default_rng(5)
    nuclei = random_nuclei(rng)
    grid = squares([(x, y) for y in range(0, 900, 50) for x in range(0, 900, 50)])
    labels = region_ratios(grid, nuclei, 0.5)
    shuffled = region_ratios(
        grid.sample(frac=1, random_state=1), nuclei.sample(frac=1, random_state=2), 0.5
    )
    pd.testing.assert_frame_equal(
        labels.sort_values("region_id", ignore_index=True),
        shuffled.sort_values("region_id", ignore_index=True),
    )


def test_a_hundred_thousand_nuclei_in_ten_thousand_regions_take_a_second():
    rng = np.random.default_rng(0)
    nuclei = nuclei_at(*rng.uniform(0, 16000, (2, 100_000)), positive=rng.random(100_000) < 0.2)
    corners = [(x, y) for y in range(0, 16000, 160) for x in range(0, 16000, 160)]
    regions = squares(corners, size_px=320)
    started = time.perf_counter()
    labels = region_ratios(regions, nuclei, 0.5)
    assert time.perf_counter() - started < 5  # about 0.3 s alone on a core
    assert len(labels) == len(corners)


def test_effective_nuclei_count_unequal_areas_and_neighbours_less():
    assert effective_nuclei(np.array([50.0]), 0.0)[0] == 50
    assert effective_nuclei(np.array([50.0]), 0.01)[0] == pytest.approx(50 / 1.49)
    equal = region_ratios(squares([(0, 0)]), nuclei_at(np.full(40, 5), np.full(40, 5)), 0.5,
                          spatial_correlation=0)  # fmt: skip
    unequal = region_ratios(
        squares([(0, 0)]),
        nuclei_at(np.full(40, 5), np.full(40, 5), np.r_[np.full(20, 10.0), np.full(20, 90.0)]),
        0.5,
        spatial_correlation=0,
    )
    assert equal["weight"][0] == pytest.approx(40)
    assert unequal["weight"][0] == pytest.approx(2000**2 / (20 * 10**2 + 20 * 90**2))


@pytest.mark.parametrize("true_ratio", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("rho", [0.0, 0.01])
def test_the_interval_covers(true_ratio, rho):
    n = 100
    rng = np.random.default_rng(11)
    if rho:
        spread = (1 - rho) / rho
        positives = betabinom.rvs(
            n, true_ratio * spread, (1 - true_ratio) * spread, size=4000, random_state=rng
        )
    else:
        positives = rng.binomial(n, true_ratio, size=4000)
    lower, upper = ratio_interval(
        positives / n, effective_nuclei(np.full(4000, float(n)), rho), level=0.9
    )
    covered = np.mean((lower <= true_ratio) & (true_ratio <= upper))
    assert 0.86 < covered < 0.95


def test_the_interval_holds_its_ratio_and_stays_in_bounds():
    ratio = np.array([0, 0.001, 0.5, 1, np.nan])
    lower, upper = ratio_interval(ratio, np.array([20.0, 1, 40, 20, 0]))
    assert lower[0] == 0
    assert upper[3] == 1
    assert (lower[:4] <= ratio[:4]).all()
    assert (upper[:4] >= ratio[:4]).all()
    assert np.isnan([lower[4], upper[4]]).all()


def test_slide_ratio_needs_nuclei():
    assert np.isnan(slide_ratio(nuclei_at([1.0], [1.0])))
    assert np.isnan(slide_ratio(nuclei_at([], []), min_nuclei=0))


def test_no_regions_and_no_nuclei_give_empty_and_undefined():
    nothing = nuclei_at([], [])
    assert len(region_ratios(squares([]), nothing, 0.5)) == 0
    assert region_ratios(squares([(0, 0)]), nothing, 0.5)["tumor_ratio"].isna().all()


def test_wrong_use_is_refused():
    two = squares([(0, 0), (0, 0)])
    two["slide_id"] = ["a", "b"]
    with pytest.raises(ValueError, match="one slide"):
        region_ratios(two, nuclei_at([], []), 0.5)
    with pytest.raises(ValueError, match="frame_mpp"):
        region_ratios(squares([(0, 0)]), nuclei_at([], []), 0.0)
