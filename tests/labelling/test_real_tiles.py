"""Real Ki-67 tiles that experts outlined: nothing is trained on them, nothing chosen by them."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tumor_ratio.metrics.ratios import slide_ratio

from .ihc_images import ihc_pair, nuclei_of

TILES = {
    "Bladder1": "six_panel/Bladder1.png",
    "Lung1": "six_panel/Lung1.png",
    "22_2": "ihc_x6/22_2.png",
}
MPP = 0.25


@pytest.fixture(scope="module")
def measured(real_data, tmp_path_factory):
    """Found and true counts and ratios by tile, all with one configuration."""
    folder = real_data / "ki67_positivity" / "deepliif"
    truth = pd.read_csv(folder / "GT_COUNTS.csv").set_index("tile")
    rows = {}
    for name, place in TILES.items():
        with Image.open(folder / place) as image:
            tile = np.asarray(image.convert("RGB"))[:, :512]
        nuclei = nuclei_of(ihc_pair(tmp_path_factory.mktemp(name), name, tile, MPP))
        rows[name] = {
            "positive": int(nuclei["positive"].sum()),
            "negative": int((~nuclei["positive"]).sum()),
            "ratio": slide_ratio(nuclei),
            "true_positive": truth.loc[name, "positive_nuclei"],
            "true_negative": truth.loc[name, "negative_nuclei"],
            "true_ratio": truth.loc[name, "positive_fraction_by_area"],
        }
    return pd.DataFrame(rows).T


@pytest.mark.real
@pytest.mark.parametrize(
    "tile",
    [
        pytest.param(
            "Bladder1",
            marks=pytest.mark.xfail(
                reason="0.17 for 0.10: pale nuclei are outlined a quarter too small", strict=True
            ),
        ),
        "Lung1",
        "22_2",
    ],
)
def test_the_ratio_is_the_experts(measured, tile, record_property):
    own = measured.loc[tile]
    record_property("error", float(own["ratio"] - own["true_ratio"]))
    assert own["ratio"] == pytest.approx(own["true_ratio"], abs=0.05)


@pytest.mark.real
@pytest.mark.parametrize("tile", TILES)
def test_negative_nuclei_are_counted_within_a_fifth(measured, tile):
    own = measured.loc[tile]
    assert own["negative"] == pytest.approx(own["true_negative"], rel=0.2)


@pytest.mark.real
@pytest.mark.parametrize("tile", TILES)
def test_positive_nuclei_are_counted_within_three_or_a_fifth(measured, tile):
    own = measured.loc[tile]
    allowed = max(3, 0.2 * own["true_positive"])
    assert abs(own["positive"] - own["true_positive"]) <= allowed


@pytest.mark.real
def test_positive_nuclei_of_all_tiles_are_counted_within_a_fifth(measured):
    found, true = measured["positive"].sum(), measured["true_positive"].sum()
    assert found == pytest.approx(true, rel=0.2)
