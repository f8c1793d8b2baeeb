import math

import numpy as np
import pandas as pd
import pytest

from tumor_ratio.metrics.positivity import call_confidence, grades, h_score, threshold_sensitivity


def test_grades_follow_the_thresholds():
    dab = np.array([np.nan, -0.1, 0.2, 0.21, 0.41, 0.61, 2.0])
    assert grades(dab, (0.2, 0.4, 0.6)).tolist() == [0, 0, 0, 1, 2, 3, 3]


def test_a_call_is_sure_far_from_the_threshold_and_a_guess_on_it():
    sure = call_confidence(np.array([0.2, 0.25, 0.15, 0.9, 0.0, np.nan]), 0.2)
    assert sure[0] == 0.5
    assert sure[1:3] == pytest.approx(0.8413, abs=1e-3)  # one standard deviation
    assert sure[3] > 0.9999
    assert sure[4] > 0.9999
    assert math.isnan(sure[5])


def test_the_ratio_falls_with_the_threshold():
    nuclei = pd.DataFrame({"dab_od_core": np.linspace(0.0, 0.5, 101), "area_um2": 30.0})
    found = threshold_sensitivity(nuclei, (0.1, 0.2, 0.3), min_nuclei=20)
    assert found["tumor_ratio"].tolist() == pytest.approx([0.8, 0.6, 0.4], abs=0.02)
    assert found["positive_dab_od"].tolist() == [0.1, 0.2, 0.3]
    few = threshold_sensitivity(nuclei.head(5), (0.1,), min_nuclei=20)
    assert few["tumor_ratio"].isna().all()


def test_the_h_score_counts_grades():
    assert h_score(pd.DataFrame({"grade": [0, 1, 2, 3]})) == 150
    assert math.isnan(h_score(pd.DataFrame({"grade": []})))
