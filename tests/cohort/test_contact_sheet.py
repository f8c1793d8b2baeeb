import io

import pandas as pd
import pytest

from tumor_ratio.cohort.contact_sheet import (
    ContactSheetParams,
    contact_sheet,
    one_of_each_reason,
    spread_by_score,
    thumbnail,
)
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.cohort.selection import TileSelectionParams, select_tile_pairs
from tumor_ratio.cohort.tile_scores import TileScoreParams, score_pair_tiles
from tumor_ratio.cohort.tiles import TileParams, tiles_of_pair
from tumor_ratio.cohort.white_rule import WhiteLimits
from tumor_ratio.imaging.regions import iter_regions, regions_table


@pytest.fixture
def selected(make_pair):
    grid = TileParams(size_px=200, mpp=1.0, step_px=200, edge="drop")
    cohort = Cohort((make_pair("s1", blank_px=300), make_pair("s2", partner_seed=9)), "manifest")
    tiles = regions_table(tile for pair in cohort for tile in tiles_of_pair(pair, grid))
    scores = pd.concat(
        [
            score_pair_tiles(
                pair, tiles[tiles["slide_id"] == pair.slide_id], TileScoreParams(), WhiteLimits()
            )
            for pair in cohort
        ]
    )
    return cohort, tiles, select_tile_pairs(tiles, scores, None, TileSelectionParams())


def test_the_sheet_tells_what_is_kept_and_why_not(selected) -> None:
    cohort, tiles, quality = selected
    figure = contact_sheet(cohort, tiles, quality, ContactSheetParams(n_kept=3, n_rejected=5))
    texts = [text.get_text() for text in figure.texts]
    assert f"kept: {quality['kept'].sum()} of 12 tile pairs" in texts
    assert any(text.startswith("structure") and "<=" in text for text in texts)
    assert any("white H&E" in text for text in texts)
    shown = min(3, quality["kept"].sum()) + 5
    assert len(figure.axes) == 2 * shown
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getbuffer().nbytes > 20_000


def test_missing_and_unreadable_sides_are_said(selected, make_pair) -> None:
    _, tiles, quality = selected
    lone = Cohort((make_pair("s1", sides="he"),), "manifest")
    region = next(iter_regions(tiles))
    assert thumbnail(lone, region, "ihc", 64) == "no slide"
    assert thumbnail(lone, region, "he", 64).shape == (64, 64, 3)
    lone["s1"].he.path.unlink()
    assert thumbnail(lone, region, "he", 64) == "unreadable"
    own = quality[quality["slide_id"] == "s1"]
    figure = contact_sheet(lone, tiles, own, ContactSheetParams())
    assert any(text.get_text() == "no slide" for axes in figure.axes for text in axes.texts)


def test_rejected_pairs_show_every_kind_of_reason() -> None:
    quality = pd.DataFrame(
        {
            "region_id": [f"r{i}" for i in range(12)],
            "structure_score": [i / 20 for i in range(12)],
            "reason": [f"structure 0.{i:02d} <= 0.40" for i in range(10)]
            + ["white H&E 0.52 > 0.40", "excluded by hand: fold"],
        }
    )
    picked = one_of_each_reason(quality, 4)
    assert len(picked) == 4
    assert {"r10", "r11"} <= set(picked["region_id"])
    assert len(one_of_each_reason(quality, 40)) == 12


def test_kept_pairs_run_from_best_to_worst() -> None:
    quality = pd.DataFrame(
        {"region_id": [f"r{i}" for i in range(30)], "structure_score": [i / 30 for i in range(30)]}
    )
    picked = spread_by_score(quality, 4)["structure_score"].tolist()
    assert picked == sorted(picked, reverse=True)
    assert (picked[0], picked[-1]) == (29 / 30, 0.0)
    assert len(spread_by_score(quality.iloc[:2], 4)) == 2
