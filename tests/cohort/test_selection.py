import math

import pandas as pd
import pytest

from tumor_ratio.cohort.selection import TileSelectionParams, select_tile_pairs
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.schemas import TileQuality

NAN = math.nan
SCORES = {
    # x_px: he_white, ihc_white, ssim_rgb, structure_score
    0: (0.1, 0.2, 0.28, 0.7),
    1: (0.52, 0.3, 0.57, 0.6),
    2: (0.3, 0.7, 0.57, 0.6),
    3: (0.1, 0.1, 0.45, 0.12),
    4: (0.95, 0.97, 0.85, NAN),
    5: (0.4, 0.6, 0.40, 0.41),
}


@pytest.fixture
def tiles() -> pd.DataFrame:
    return regions_table(Region("s1", "", "tile", x, 7, 512, 1.0) for x in SCORES)


@pytest.fixture
def scores(tiles) -> pd.DataFrame:
    names = ["he_white", "ihc_white", "ssim_rgb", "structure_score"]
    table = pd.DataFrame(list(SCORES.values()), columns=names)
    return table.assign(region_id=tiles["region_id"], slide_id="s1")


def chosen(tiles, scores, exclusions=None, **params: object) -> pd.DataFrame:
    quality = select_tile_pairs(tiles, scores, exclusions, TileSelectionParams(**params))
    return TileQuality.validate(quality)


def test_each_rejected_tile_has_its_reasons(tiles, scores) -> None:
    quality = chosen(tiles, scores)
    assert quality["reason"].tolist() == [
        "",
        "white H&E 0.52 > 0.40",
        "white IHC 0.70 > 0.60",
        "structure 0.12 <= 0.40",
        "white H&E 0.95 > 0.40; white IHC 0.97 > 0.60; structure undefined: a side is blank",
        "",
    ]
    assert quality["kept"].tolist() == [True, False, False, False, False, True]
    assert (quality["reason"] == "").eq(quality["kept"]).all()


def test_admission_asks_the_he_slide_only(tiles, scores) -> None:
    assert chosen(tiles, scores)["admitted"].tolist() == [True, False, True, True, False, True]


def test_the_studys_rule(tiles, scores) -> None:
    quality = chosen(tiles, scores, rule="ssim")
    assert quality["reason"][0] == "SSIM 0.28 <= 0.40"
    assert quality["reason"][5] == "SSIM 0.40 <= 0.40"  # tiles must exceed it
    assert quality["kept"].tolist() == [False, False, False, True, False, False]


def test_no_rule(tiles, scores) -> None:
    kept = chosen(tiles, scores, rule="none")["kept"]
    assert kept.tolist() == [True, False, False, True, False, True]


@pytest.mark.parametrize("missing", ["he", "ihc"])
def test_a_missing_side_is_no_reason(tiles, scores, missing) -> None:
    alone = scores.assign(**{f"{missing}_white": NAN, "ssim_rgb": NAN, "structure_score": NAN})
    quality = chosen(tiles, alone)
    there = alone["ihc_white"] <= 0.6 if missing == "he" else alone["he_white"] <= 0.4
    assert quality["kept"].tolist() == there.tolist()
    assert quality["admitted"].tolist() == there.tolist()


def test_manual_exclusions_by_id_and_by_place(tiles, scores) -> None:
    by_id = pd.DataFrame({"region_id": [tiles["region_id"][0]], "note": ["fold"]})
    assert chosen(tiles, scores, by_id)["reason"][0] == "excluded by hand: fold"
    by_place = pd.DataFrame({"slide_id": ["s1", "s1"], "x_px": [5, 1], "y_px": [7, 7]})
    quality = chosen(tiles, scores, by_place)
    assert quality["reason"][5] == "excluded by hand"
    assert quality["reason"][1] == "white H&E 0.52 > 0.40; excluded by hand"
    assert bool(quality["admitted"][5])
    both = pd.concat([by_id, by_place])
    assert chosen(tiles, scores, both, rule="none")["kept"].tolist() == [
        False, False, False, True, False, False,
    ]  # fmt: skip


def test_no_exclusions(tiles, scores) -> None:
    expected = chosen(tiles, scores)
    header_only = pd.DataFrame(columns=["region_id", "note"])
    pd.testing.assert_frame_equal(chosen(tiles, scores, header_only), expected)


def test_unknown_exclusions_are_all_listed(tiles, scores) -> None:
    rows = pd.DataFrame(
        {
            "region_id": ["s1_x9_y9_s512_m1", None, None],
            "slide_id": [None, "s1", "s8"],
            "x_px": [None, 3, 4],
            "y_px": [None, 7, 7],
        }
    )
    with pytest.raises(ConfigurationError, match=r"2 tile\(s\).*s1_x9_y9_s512_m1, s8 \(4, 7\)"):
        chosen(tiles, scores, rows)
    with pytest.raises(ConfigurationError, match="name tiles by region_id, or by slide_id"):
        chosen(tiles, scores, pd.DataFrame({"tile": ["a"]}))


def test_tiles_of_slides_without_scores_are_left_out(tiles, scores) -> None:
    more = pd.concat([tiles, regions_table([Region("s2", "", "tile", 0, 0, 512, 1.0)])])
    assert set(chosen(more, scores)["slide_id"]) == {"s1"}


def test_nothing_kept_says_why(tiles, scores) -> None:
    with pytest.raises(ConfigurationError, match=r"none of 6 tile pairs is kept \(structure") as e:
        chosen(tiles, scores, min_structure=0.9)
    assert "loosen tile_selection" in str(e.value)
