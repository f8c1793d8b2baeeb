import numpy as np
import pandas as pd
import pytest

from tumor_ratio.imaging.stains import H_DAB, recompose
from tumor_ratio.labelling.params import RatioLabelParams
from tumor_ratio.labelling.staining_quality import doubts, judge_staining
from tumor_ratio.schemas import StainingQuality

from .ihc_images import ihc_pair

SOUND = {
    "n_nuclei": 400,
    "n_negative": 300,
    "median_diameter_um": 7.0,
    "mean_diameter_um": 8.0,
    "dab_between_od": 0.02,
    "has_glass": True,
    "ratio_at_010": 0.22,
    "ratio_at_030": 0.18,
}


def test_a_sound_slide_is_not_doubted():
    assert doubts(SOUND) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_nuclei": 30, "n_negative": 20}, "only 30 nuclei"),
        ({"n_nuclei": 0, "n_negative": 0, "median_diameter_um": np.nan}, "only 0 nuclei"),
        ({"mean_diameter_um": 13.0}, "13.0 um in the mean: check the pixel size"),
        ({"median_diameter_um": 4.5}, "4.5 um wide in the median"),
        ({"n_negative": 3}, "only 3 nuclei without DAB"),
        ({"dab_between_od": 0.3}, r"DAB between the nuclei as well \(0.30\)"),
        ({"has_glass": False}, "no glass on it"),
        ({"ratio_at_010": 0.6}, "depends on the threshold: 0.60 at 0.1, 0.18 at 0.3"),
    ],
)
def test_each_doubt_is_named(change, said):
    found = doubts({**SOUND, **change})
    assert len(found) == 1
    assert pd.Series(found).str.contains(said).all()


class Saved:
    def __init__(self, table):
        self.table = table

    def load(self):
        return self.table


def test_a_slide_is_judged_by_its_nuclei_and_its_overview(tmp_path):
    amount = np.zeros((200, 200), np.float32)
    amount[:100] = 0.3
    pair = ihc_pair(tmp_path, "brown", recompose(amount, H_DAB.second), 0.5)
    nuclei = pd.DataFrame(
        {
            "area_um2": 40.0,
            "dab_od_core": np.linspace(0, 0.8, 100),
            "dab_od_between": 0.3,
            "positive": np.linspace(0, 0.8, 100) > 0.2,
            "grade": np.repeat([0, 1, 2, 3], 25),
        }
    )
    row = StainingQuality.validate(judge_staining(pair, Saved(nuclei), RatioLabelParams())).iloc[0]
    assert row["n_nuclei"] == 100
    assert row["ratio_at_020"] == pytest.approx(0.75, abs=0.02)
    assert row["ratio_at_010"] > row["ratio_at_020"] > row["ratio_at_030"]
    assert row["h_score"] == 150
    assert not row["trusted"]
    assert "DAB between" in row["reason"]
    assert "only 25 nuclei without DAB" in row["reason"]
    none = judge_staining(pair, Saved(nuclei.iloc[:0]), RatioLabelParams())
    assert "only 0 nuclei" in StainingQuality.validate(none).iloc[0]["reason"]
