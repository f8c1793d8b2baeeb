import json
import math

import numpy as np

from tumor_ratio.reporting.geojson import NEGATIVE, POSITIVE, Outlined, feature_collection


def test_nuclei_become_closed_polygons_with_class_and_measurements():
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10.004]])
    nuclei = [
        Outlined(square, *POSITIVE[2], {"DAB: Mean": 0.7123456, "DAB: Max": math.nan}),
        Outlined(square + 100, *NEGATIVE, {"DAB: Mean": 0.01}),
    ]
    found = json.loads(feature_collection(nuclei, ["research use"]))
    assert found["type"] == "FeatureCollection"
    assert found["stamps"] == ["research use"]
    first, second = found["features"]
    ring = first["geometry"]["coordinates"][0]
    assert ring == [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    assert first["properties"]["objectType"] == "detection"
    assert first["properties"]["classification"]["name"] == "3+"
    assert first["properties"]["measurements"] == {"DAB: Mean": 0.7123}
    assert second["properties"]["classification"]["name"] == "Negative"


def test_no_nuclei_are_a_valid_file():
    assert json.loads(feature_collection([], []))["features"] == []
