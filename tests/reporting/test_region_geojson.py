from __future__ import annotations

import dataclasses
import json

import geopandas
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box, shape

from tests.reporting.ratio_fields import planted
from tumor_ratio.reporting.focus_outline import (
    close_up_rings,
    close_up_window,
    focus_outlines,
)
from tumor_ratio.reporting.geojson import collection_lines, write_collection
from tumor_ratio.reporting.map_paint import map_colours
from tumor_ratio.reporting.region_geojson import (
    cell_features,
    focus_features,
    region_features,
)
from tumor_ratio.reporting.stamps import stamps_for

STAMPS = stamps_for("phantom")
SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]
HOLE = [(1, 1), (1, 2), (2, 2), (2, 1), (1, 1)]


def regions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "region_id": ["s_x0_y0_s224", "s_x224_y0_s224", "s_x448_y0_s224"],
            "slide_id": "s",
            "x_px": [0, 448, 896],
            "y_px": [0, 0, 448],
            "size_px": 224,
            "mpp": 0.5,
            "tissue": [0.9, 0.8, 0.3],
            "tumor_ratio": [0.31, 0.0, np.nan],
            "tumor_ratio_calibrated": [0.2, 0.0, np.nan],
            "lower": [0.1, np.nan, np.nan],
            "upper": [0.4, np.nan, np.nan],
            "nuclear_um2": [812.34567, 10.0, np.nan],
            "reason": ["", "", "blurred"],
        }
    )


def foci() -> list:
    ring = np.array(SQUARE) * 112.5
    numbers = {"mean_ratio": 0.5, "max_ratio": 0.7}
    return focus_outlines(
        [
            {
                "focus_id": 1, "area_um2": 8.0, "equivalent_diameter_um": 3.2, **numbers,
                "touches_excluded": False, "touches_edge": True,
                "polygons": [[(ring + 1125).tolist()], [(ring + 14 * 112.5).tolist()]],
            },
            {
                "focus_id": 2, "area_um2": 15.0, "equivalent_diameter_um": 4.4, **numbers,
                "touches_excluded": True, "touches_edge": False,
                "polygons": [[ring.tolist(), (np.array(HOLE) * 112.5).tolist()]],
            },
        ]
    )  # fmt: skip


def read(features) -> dict:
    return json.loads("".join(collection_lines(features, STAMPS)))


def test_regions_are_tiles_in_level_0_pixels_with_measurements_and_reason():
    found = read(region_features(regions(), slide_mpp=0.25))
    assert found["stamps"] == list(STAMPS)
    shapes = [shape(each["geometry"]) for each in found["features"]]
    for polygon, corner in zip(shapes, [(0, 0), (448, 0), (896, 448)], strict=True):
        assert polygon.equals(box(*corner, corner[0] + 448, corner[1] + 448))
        assert polygon.is_valid
        assert polygon.exterior.is_ccw
    first, second, third = (each["properties"] for each in found["features"])
    assert {each["objectType"] for each in (first, second, third)} == {"tile"}
    assert first["measurements"] == {
        "tumor_ratio": 0.31, "tumor_ratio_calibrated": 0.2, "lower": 0.1, "upper": 0.4,
        "nuclear_um2": 812.3457, "tissue": 0.9,
    }  # fmt: skip
    assert first["color"] == map_colours("ratio")[51].tolist()
    assert second["measurements"]["tumor_ratio"] == 0, "a ratio of 0 is a ratio"
    assert first["classification"] == second["classification"]
    assert third["measurements"] == {"tissue": 0.3}
    assert third["classification"]["name"] == "Left out (blurred)"


def test_cells_without_a_gap_and_glass_in_none():
    field = planted()
    found = read(cell_features(field))["features"]
    shapes = [shape(each["geometry"]) for each in found]
    assert len(shapes) == 6 * 7
    whole = geopandas.GeoSeries(shapes).union_all()
    assert whole.symmetric_difference(box(224.5, 0, 8 * 224.5, 6 * 224.5)).area < 1
    assert sum(each.area for each in shapes) == pytest.approx(whole.area)
    by_name = {each["properties"]["name"]: each["properties"] for each in found}
    scored = by_name["mouse 7 row 2 column 3"]["measurements"]
    assert scored["tumor_ratio_calibrated"] == pytest.approx(field.ratio[2, 3], abs=5e-5)
    last = by_name["mouse 7 row 5 column 7"]["measurements"]
    assert not {"lower", "upper"} & set(last)
    names = [by_name[f"mouse 7 row 0 column {c}"]["classification"]["name"] for c in (1, 6)]
    assert names == ["Left out (too little tissue)", "Left out (of another kind)"]


def test_foci_are_locked_annotations_with_valid_outlines():
    found = read(focus_features(foci()))["features"]
    largest, split = (shape(each["geometry"]) for each in found)
    assert [each["properties"]["name"] for each in found] == ["focus 2", "focus 1"]
    assert largest.is_valid
    assert largest.area == pytest.approx(15 * 112.5**2)
    assert largest.exterior.is_ccw
    assert not largest.interiors[0].is_ccw
    assert split.geom_type == "MultiPolygon"
    assert split.is_valid
    assert split.bounds == (1125, 1125, 2025, 2025)
    for each in found:
        assert each["properties"]["objectType"] == "annotation"
        assert each["properties"]["isLocked"] is True
        assert each["properties"]["classification"]["name"] == "Ki67-rich focus"
    assert found[0]["properties"]["measurements"]["touches_excluded"] == 1


@pytest.mark.parametrize("flipped", [False, True])
def test_rings_are_closed_and_turned_however_they_come(flipped):
    exterior, hole = (np.array(ring[:-1], dtype=float) for ring in (SQUARE, HOLE))
    if flipped:
        exterior, hole = exterior[::-1], hole[::-1]
    focus = foci()[0]
    object.__setattr__(focus, "polygons_px", [[exterior, hole]])
    (feature,) = focus_features([focus])
    rings = feature["geometry"]["coordinates"]
    assert all(ring[0] == ring[-1] for ring in rings)
    polygon = shape(feature["geometry"])
    assert polygon.area == 15
    assert polygon.exterior.is_ccw
    assert not polygon.interiors[0].is_ccw


def test_a_file_opens_with_geopandas(tmp_path):
    path = tmp_path / "s.geojson"
    write_collection(path, [*region_features(regions(), 0.25), *focus_features(foci())], STAMPS)
    frame = geopandas.read_file(path)
    assert len(frame) == 5
    assert frame.geometry.is_valid.all()
    assert frame["objectType"].tolist() == 3 * ["tile"] + 2 * ["annotation"]
    assert frame["measurements"].iloc[0]["tumor_ratio"] == 0.31


def test_features_are_written_as_they_come_and_no_number_is_made_up(tmp_path):
    made = []

    def features():
        for number in (1.0, 2.0, np.nan):
            made.append(number)
            yield {"type": "Feature", "geometry": None, "properties": {"value": number}}

    lines = collection_lines(features(), STAMPS)
    next(lines)
    next(lines)
    assert made == [1.0]
    path = tmp_path / "x.geojson"
    with pytest.raises(ValueError, match="JSON compliant"):
        write_collection(path, features(), STAMPS)
    assert list(tmp_path.iterdir()) == []


def test_a_close_up_shows_the_whole_focus_in_its_middle():
    focus = foci()[0]
    x, y, side = close_up_window(focus)
    assert (x, y, side) == (-112.5, -112.5, 675)
    rings = close_up_rings(focus, 300)
    assert len(rings) == 2
    assert rings[0].min() == pytest.approx(50)
    assert rings[0].max() == pytest.approx(250)
    polygons = [[np.add(ring, (500, 0)) for ring in rings] for rings in focus.polygons_px]
    aside = dataclasses.replace(focus, polygons_px=polygons)
    for moved, ring in zip(close_up_rings(aside, 300), rings, strict=True):
        np.testing.assert_allclose(moved, ring)
