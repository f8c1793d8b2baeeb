import math

import numpy as np
import pytest
from shapely import union_all
from shapely.geometry import MultiPolygon, Polygon, box

from tumor_ratio.metrics.foci import (
    find_foci,
    lesion_scores,
    outline_cells,
    rich_area,
    rich_area_curve,
    smallest_detectable_um,
)
from tumor_ratio.metrics.focus_outlines import ring_area

CELL_UM, TAU = 50.0, 0.3
LEVELS = {".": 0.05, "#": 0.6, "X": 0.9, "-": 0.1, "n": math.nan}


def grid(*rows: str) -> tuple[np.ndarray, np.ndarray]:
    """`#` rich, `.` not, `n` no ratio, `X` excluded though rich, `-` excluded and not."""
    cells = np.array([list(row) for row in rows])
    return np.vectorize(LEVELS.get)(cells).astype(float), np.isin(cells, ["X", "-"])


def foci(*rows: str, tau: float = TAU, cell_um: float = CELL_UM, **options: float):
    return find_foci(*grid(*rows), tau, cell_um, **options)


def labels(*rows: str, **options: float) -> list[str]:
    found = foci(*rows, **options).labels
    return ["".join(" " if value == 0 else str(value) for value in row) for row in found]


def test_planted_foci_are_measured() -> None:
    ratio = np.full((30, 40), 0.1)
    ratio[4:10, 5:15] = 0.5
    ratio[6, 7] = 0.9
    ratio[20:22, 30:32] = TAU
    found = find_foci(ratio, np.zeros(ratio.shape, bool), TAU, CELL_UM)
    large, small = found.table.to_dict("records")
    assert (large["focus_id"], large["n_cells"], large["area_um2"]) == (1, 60, 60 * 2500)
    assert large["equivalent_diameter_um"] == pytest.approx(2 * math.sqrt(150_000 / math.pi))
    assert (large["x_cells"], large["y_cells"]) == (10, 7)
    assert (large["mean_ratio"], large["max_ratio"]) == pytest.approx(((59 * 0.5 + 0.9) / 60, 0.9))
    assert (small["focus_id"], small["n_cells"], small["max_ratio"]) == (2, 4, TAU)
    assert not found.table[["touches_excluded", "touches_edge"]].any().any()
    assert found.labels.dtype == np.int32
    assert (found.labels == 1).sum() == 60


def test_corners_join_and_small_foci_go() -> None:
    rows = ("##.....", "..##...", ".......", "###...#", ".......")
    assert labels(*rows) == ["11     ", "  11   ", "       ", "       ", "       "]
    assert len(foci(*rows, min_area_um2=4 * 2500).table) == 1
    assert len(foci(*rows, min_area_um2=4 * 2500 + 1).table) == 0


def test_a_focus_without_cells_leaves_typed_columns() -> None:
    table = foci("....", "....").table
    assert len(table) == 0
    assert table["touches_edge"].dtype == bool
    assert table["area_um2"].dtype == float


def test_holes_are_filled_but_never_with_excluded_tissue() -> None:
    assert labels(".......", ".####..", ".#.n#..", ".####..") == [
        "       ", " 1111  ", " 1111  ", " 1111  ",
    ]  # fmt: skip
    found = foci(".......", ".#####.", ".#.-.#.", ".#####.")
    assert (found.labels > 0).sum() == 14
    assert found.table["touches_excluded"].all()
    assert found.table["n_without_ratio"].sum() == 0
    open_to_the_edge = labels("#..#", "#..#", "####")
    assert open_to_the_edge == ["1  1", "1  1", "1111"]
    # An excluded ring in a hole: what it encloses belongs to no focus.
    ring = ("########", "#------#", "#-....-#", "#-....-#", "#------#", "########")
    assert (foci(*ring).labels > 0).sum() == 24
    assert len(foci(*ring).table) == 1


def test_gaps_close_up_to_the_merge_distance() -> None:
    rows = ("##..##", "##..##", "......")
    assert len(foci(*rows, merge_um=99).table) == 2
    merged = foci(*rows, merge_um=100)
    assert merged.table["n_cells"].tolist() == [12]
    assert merged.table["mean_ratio"][0] == pytest.approx((8 * 0.6 + 4 * 0.05) / 12)
    assert len(foci(*rows, merge_um=0.3, cell_um=0.1).table) == 1  # 0.3 / 0.1 is 2.999...
    glass = foci("##n##", "##n##", merge_um=50)
    assert glass.table["n_without_ratio"].tolist() == [2]


@pytest.mark.parametrize("blocked", ["X", "-"])
def test_a_gap_with_excluded_tissue_stays_open_and_is_flagged(blocked: str) -> None:
    rows = ("##...##", f"##.{blocked}.##", "##...##")
    assert labels(*rows, merge_um=150) == ["11   22"] * 3
    assert foci(*rows, merge_um=150).table["touches_excluded"].tolist() == [True, True]
    assert foci(*rows).table["touches_excluded"].tolist() == [False, False]
    assert foci(f"##{blocked}", "##.").table["touches_excluded"].tolist() == [True]
    # A gap ends at a corner: the free one beside the blocked one closes.
    beside = labels("##.##", f"###{blocked}#", "#####", merge_um=50)
    assert beside == ["11111", "111 1", "11111"]


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_closing_is_by_whole_squares_and_only_adds(gap: int) -> None:
    rng = np.random.default_rng(gap)
    rich = rng.random((25, 31)) < 0.25
    found = find_foci(rich.astype(float), np.zeros(rich.shape, bool), 0.5, 1.0, merge_um=gap)
    side, margin = gap + 1, gap + 1
    wide = np.pad(rich, margin)
    free = np.zeros_like(wide)
    for y in range(wide.shape[0] - gap):
        for x in range(wide.shape[1] - gap):
            if not wide[y : y + side, x : x + side].any():
                free[y : y + side, x : x + side] = True
    closed = ~free[margin:-margin, margin:-margin]
    expected = find_foci(closed.astype(float), np.zeros(rich.shape, bool), 0.5, 1.0)
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_cells_without_a_ratio_are_counted_and_never_rich() -> None:
    found = foci("nn--", "nnXX", "n###", "####")
    assert (found.n_without_ratio, found.n_excluded) == (5, 4)
    assert found.table["n_cells"].tolist() == [7]
    assert found.table["touches_edge"].tolist() == [True]
    assert foci("....", ".##.", ".##.", "....").table["touches_edge"].tolist() == [False]


def test_foci_do_not_depend_on_turning_or_mirroring() -> None:
    rng = np.random.default_rng(5)
    ratio, excluded = rng.random((40, 30)), rng.random((40, 30)) < 0.05
    whole = find_foci(ratio, excluded, 0.6, 10.0, 0, 20.0)
    for turned in (np.rot90, np.flipud, np.transpose):
        other = find_foci(turned(ratio), turned(excluded), 0.6, 10.0, 0, 20.0)
        np.testing.assert_array_equal(other.labels > 0, turned(whole.labels > 0))
        assert sorted(other.table["n_cells"]) == sorted(whole.table["n_cells"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 0.0}, "tau must lie in"),
        ({"tau": math.nan}, "tau must lie in"),
        ({"cell_um": 0.0}, "cell_um must be positive"),
        ({"merge_um": -1.0}, "merge_um -1.0 must be 0 or more"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        foci("....", **options)
    with pytest.raises(ValueError, match="two \\(R, C\\) grids"):
        find_foci(np.zeros((2, 2)), np.zeros((2, 3), bool), TAU, CELL_UM)


def test_outlines_are_valid_and_exact_whatever_the_focus() -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        cells = (rng.random(rng.integers(2, 12, 2)) < rng.uniform(0.3, 0.9)).astype(np.int32)
        if not cells.any():
            continue
        polygons = outline_cells(cells * 3, 3)
        for polygon in polygons:
            assert ring_area(polygon[0]) > 0
            assert all(ring_area(hole) < 0 for hole in polygon[1:])
            for ring in polygon:
                assert (ring[0] == ring[-1]).all()
                step = np.diff(np.concatenate([ring, ring[1:2]]), axis=0) != 0
                assert (step[:, 0] ^ step[:, 1]).all()  # along the cells' sides
                assert (step[:-1] != step[1:]).all()  # turning at every corner
        shape = MultiPolygon([Polygon(rings[0], rings[1:]) for rings in polygons])
        assert shape.is_valid
        assert shape.equals(union_all([box(c, r, c + 1, r + 1) for r, c in np.argwhere(cells)]))


def test_outlines_of_foci_have_holes_only_around_excluded_cells() -> None:
    found = foci("........", ".###....", ".#.#.##.", ".####...")
    first, second = outline_cells(found.labels, 1)  # the last cells touch the others at a corner
    assert len(first) == len(second) == 1
    with pytest.raises(ValueError, match="no focus 2; the largest number is 1"):
        outline_cells(found.labels, 2)
    around = foci("#####", "#.-.#", "#####")
    exterior, hole = outline_cells(around.labels, 1)[0]
    assert exterior.tolist() == [[0, 0], [5, 0], [5, 3], [0, 3], [0, 0]]
    assert ring_area(hole) == -1


def test_rich_area_counts_the_tissue_of_rich_cells() -> None:
    ratio = np.array([[0.1, 0.3], [0.7, math.nan]])
    tissue = np.array([[1.0, 0.5], [0.8, 1.0]])
    assert rich_area(ratio, tissue, 0.3, 10.0) == pytest.approx(130)
    assert rich_area(ratio, tissue, 0.31, 10.0) == pytest.approx(80)
    assert rich_area(ratio, tissue, 0.71, 10.0) == 0
    assert math.isnan(rich_area(np.full((2, 2), math.nan), tissue, 0.3, 10.0))
    with pytest.raises(ValueError, match="share of tissue"):
        rich_area(ratio, tissue + 0.3, 0.3, 10.0)
    with pytest.raises(ValueError, match="share of tissue"):
        rich_area(ratio, np.full((2, 2), math.nan), 0.3, 10.0)


def test_the_curve_is_the_rich_area_at_every_tau() -> None:
    rng = np.random.default_rng(1)
    ratio, tissue = np.round(rng.random((20, 20)), 2), rng.random((20, 20))
    ratio[rng.random(ratio.shape) < 0.2] = math.nan
    curve = rich_area_curve(ratio, tissue, 7.0)
    assert (curve["tau"].iloc[0], curve["tau"].iloc[-1], len(curve)) == (0, 1, 101)
    assert curve["rich_um2"].iloc[0] == pytest.approx(tissue[np.isfinite(ratio)].sum() * 49)
    assert (curve["rich_um2"].diff().iloc[1:] <= 0).all()
    for tau, area in curve.iloc[1:].itertuples(index=False):
        assert area == pytest.approx((tissue * (ratio >= tau)).sum() * 49)
    nothing = rich_area_curve(np.full((2, 2), math.nan), np.ones((2, 2)), 7.0, [0.1, 0.2])
    assert nothing["rich_um2"].isna().all()


def test_the_smallest_diameter_is_that_of_the_smallest_focus() -> None:
    assert smallest_detectable_um(50.0) == pytest.approx(100 * 2 / math.sqrt(math.pi))
    assert smallest_detectable_um(50.0, 40_000) == pytest.approx(2 * math.sqrt(40_000 / math.pi))
    block = foci("....", ".##.", ".##.").table["equivalent_diameter_um"][0]
    assert block == pytest.approx(smallest_detectable_um(CELL_UM))


def test_a_disc_of_three_diagonals_covers_four_cells_wherever_it_lies() -> None:
    radius = 1.5 * math.sqrt(2) + 1e-9
    for x, y in np.random.default_rng(2).random((200, 2)):
        far = [
            max(abs(c + d - x - 5) for d in (0, 1)) ** 2
            + max(abs(r + d - y - 5) for d in (0, 1)) ** 2
            for r in range(10)
            for c in range(10)
        ]
        assert sum(distance <= radius**2 for distance in far) >= 4


def planted(*squares: tuple[int, int, int]):
    ratio = np.zeros((40, 40))
    for y, x, side in squares:
        ratio[y : y + side, x : x + side] = 0.8
    return find_foci(ratio, np.zeros(ratio.shape, bool), TAU, CELL_UM)


def test_lesions_are_scored_by_diameter() -> None:
    truth = planted((1, 1, 2), (10, 1, 2), (20, 1, 8), (20, 20, 4))
    predicted = planted((2, 2, 2), (21, 0, 8), (1, 30, 3), (35, 35, 4))
    scores = lesion_scores(predicted, truth, [150.0, 300.0])
    assert scores["to_um"].tolist() == [150, 300, math.inf, math.inf]
    assert scores["n_truth"].tolist() == [2, 1, 1, 4]
    assert scores["n_found"].tolist() == [1, 0, 1, 2]  # the first by a quarter
    assert scores["recall"].tolist() == [0.5, 0, 1, 0.5]
    assert scores["n_predicted"].tolist() == [1, 2, 1, 4]
    assert scores["precision"].tolist() == [1, 0, 1, 0.5]
    strict = lesion_scores(predicted, truth, [150.0], min_overlap=0.3)
    assert strict["n_found"].tolist() == [0, 1, 1]


def test_a_blob_over_everything_is_no_good_prediction() -> None:
    truth, blob = planted((1, 1, 2), (20, 20, 4)), planted((0, 0, 40))
    overall = lesion_scores(blob, truth).iloc[-1]
    assert (overall["recall"], overall["precision"]) == (1, 0)
    same = lesion_scores(truth, truth).iloc[-1]
    assert (same["recall"], same["precision"], same["n_truth"]) == (1, 1, 2)
    nothing = lesion_scores(planted(), truth).iloc[-1]
    assert (nothing["recall"], nothing["n_predicted"]) == (0, 0)
    assert math.isnan(nothing["precision"])


def test_lesions_of_other_grids_are_refused() -> None:
    one = planted((1, 1, 3))
    with pytest.raises(ValueError, match="different grids"):
        lesion_scores(one, foci("..", ".."))
    with pytest.raises(ValueError, match="ascend"):
        lesion_scores(one, one, [200.0, 100.0])
    with pytest.raises(ValueError, match="min_overlap"):
        lesion_scores(one, one, min_overlap=0.0)
