import itertools

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tumor_ratio.imaging.regions import (
    COLUMNS,
    Region,
    grid_offsets,
    iter_regions,
    regions_of,
    regions_table,
    tile_grid,
)
from tumor_ratio.schemas import Regions


def test_the_studys_grid_is_eight_by_eight() -> None:
    corners = tile_grid(31104, 31938, 0.25, 4096, 0.25, 3696, "drop")
    assert len(corners) == 64
    assert {x for x, _ in corners} == {y for _, y in corners} == {3696 * i for i in range(8)}


def test_a_grid_runs_row_by_row() -> None:
    assert tile_grid(100, 100, 1.0, 50, 1.0, 50, "drop") == [(0, 0), (50, 0), (0, 50), (50, 50)]


@pytest.mark.parametrize(
    ("edge", "expected"), [("drop", [0, 40]), ("shift", [0, 40, 55]), ("pad", [0, 40, 80])]
)
def test_edge_rules(edge, expected) -> None:
    assert grid_offsets(105, 50, 40, edge) == expected


@pytest.mark.parametrize("edge", ["drop", "shift", "pad"])
def test_a_slide_smaller_than_a_tile_gives_one(edge) -> None:
    assert tile_grid(30, 20, 1.0, 50, 1.0, 40, edge) == [(0, 0)]
    assert grid_offsets(50, 50, 40, edge) == [0]


def test_sizes_count_at_the_tiles_mpp() -> None:
    assert tile_grid(800, 400, 0.25, 100, 0.5, 100, "drop") == [
        (x, y) for y in (0, 200) for x in (0, 200, 400, 600)
    ]


@given(
    length=st.integers(1, 3000),
    side=st.floats(5, 700),
    step=st.floats(5, 900),
    edge=st.sampled_from(["drop", "shift", "pad"]),
)
def test_grids_stay_in_bounds_and_cover(length, side, step, edge) -> None:
    offsets = grid_offsets(length, side, step, edge)
    assert offsets == sorted(set(offsets))
    assert offsets[0] == 0
    assert all(0 <= offset < max(length, 1) for offset in offsets)
    if length >= side and edge != "pad":
        assert offsets[-1] + side <= length + 1
    if edge != "drop" and step <= side:
        assert offsets[-1] + side >= length - 1  # nothing at the end is left out
        gaps = [b - a for a, b in itertools.pairwise(offsets)]
        assert all(gap <= side + 1 for gap in gaps)


def test_lengths_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive lengths"):
        grid_offsets(100, 0, 10, "drop")


def test_ids_and_sides() -> None:
    region = Region("s07", "", "tile", 512, 0, 1024, 0.5)
    assert region.region_id == region.tile_id == "s07_x512_y0_s1024_m0.5"
    assert region.side_um == 512.0
    assert region.side_px(0.25) == 2048.0
    patch = Region("s07", region.region_id, "patch", 512, 0, 128, 1.0)
    assert patch.tile_id == region.region_id
    assert patch.region_id == "s07_x512_y0_s128_m1"


def test_tables_go_both_ways() -> None:
    regions = [Region(s, "", "tile", x, 5, 64, 0.5) for s in ("a", "b") for x in (0, 64)]
    table = Regions.validate(regions_table(regions))
    assert list(iter_regions(table)) == regions
    assert list(iter_regions(regions_of(table, "b"))) == regions[2:]
    assert list(regions_of(table, "b").index) == [0, 1]
    assert regions_of(table, "c").empty


def test_an_empty_table_keeps_its_columns_and_types() -> None:
    table = regions_table([])
    assert list(table.columns) == COLUMNS
    pd.testing.assert_series_equal(
        table.dtypes, regions_table([Region("a", "", "tile", 0, 0, 9, 1.0)]).dtypes
    )
    assert Regions.validate(table).empty
