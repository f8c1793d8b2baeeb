"""Nuclei as GeoJSON for QuPath, in the section's own level-0 pixels."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.imaging.outlines import pack_outlines
from tumor_ratio.pipelines.nuclei_export import create_pipeline, nodes

from ..labelling.ihc_images import ihc_pair


@dataclass(frozen=True)
class Saved:
    table: pd.DataFrame

    def load(self) -> pd.DataFrame:
        return self.table


def table() -> pd.DataFrame:
    """Two circles of 4 um radius, one negative, one strongly positive."""
    return pd.DataFrame(
        {
            "x_px": [100.0, 200.0],
            "y_px": [50.0, 60.0],
            "area_um2": 50.3,
            "hematoxylin_od": 0.4,
            "dab_od_mean": [0.01, 0.7],
            "dab_od_max": [0.05, 1.1],
            "dab_od_core": [0.02, 0.9],
            "confidence": [0.99, np.nan],
            "detection": 0.8,
            "grade": [0, 3],
            "outline": pack_outlines(np.zeros((2, 2)), np.full((2, 32), 4.0)),
        }
    )


@pytest.fixture
def pair(tmp_path) -> SlidePair:
    return ihc_pair(tmp_path, "s1", np.full((300, 300, 3), 240, np.uint8), 0.25)


def test_outlines_lie_where_the_nuclei_are_with_their_class(pair):
    tasks = nodes.export_ihc(Cohort((pair,), "manifest"), {"s1": Saved(table())})
    collection = json.loads(tasks["s1"]())
    assert "research use only" in collection["stamps"][0]
    negative, strong = collection["features"]
    ring = np.array(strong["geometry"]["coordinates"][0])
    assert ring[:, 0].min() == pytest.approx(200 - 16, abs=0.6)
    assert ring[:, 1].max() == pytest.approx(60 + 16, abs=0.6)
    assert (ring[0] == ring[-1]).all()
    names = [f["properties"]["classification"]["name"] for f in (negative, strong)]
    assert names == ["Negative", "3+"]
    assert strong["properties"]["measurements"]["DAB: Mean"] == 0.7
    assert "Call confidence" not in strong["properties"]["measurements"]


def test_h_and_e_nuclei_have_no_grade(pair):
    he = SlidePair("s1", "s1", pair.ihc, None)
    tasks = nodes.export_he(Cohort((he,), "manifest"), {"s1": Saved(table())})
    names = {
        f["properties"]["classification"]["name"] for f in json.loads(tasks["s1"]())["features"]
    }
    assert names == {"Nucleus"}
    assert nodes.export_ihc(Cohort((he,), "manifest"), {"s1": Saved(table())}) == {}


def test_the_pipeline_reads_what_ground_truth_left():
    assert create_pipeline().inputs() == {"cohort", "ihc_nuclei", "he_nuclei"}
