import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.cohort.tile_scores import SCORE_COLUMNS, TileScoreParams, at_mpp, score_pair_tiles
from tumor_ratio.cohort.tiles import TileParams, tiles_of_pair
from tumor_ratio.cohort.white_rule import WhiteLimits
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.imaging.transform import Transform

GRID = TileParams(size_px=200, mpp=1.0, step_px=200, edge="drop")  # 3 x 2 tiles


WHITE = WhiteLimits()


def scored(pair: SlidePair, white=WHITE, grid=GRID, **params: object):
    tiles = regions_table(tiles_of_pair(pair, grid))
    return score_pair_tiles(pair, tiles, TileScoreParams(**params), white)


def test_true_neighbours_score_high_and_strangers_low(make_pair) -> None:
    neighbours = scored(make_pair("s1"))
    strangers = scored(make_pair("s2", partner_seed=99))
    assert neighbours["structure_score"].min() > 0.8
    assert strangers["structure_score"].abs().max() < 0.4
    assert len(neighbours) == 6
    assert neighbours["slide_id"].eq("s1").all()


def test_the_pairs_transform_is_used(make_pair) -> None:
    shifted = Transform(((1.0, 0.0, 40.0), (0.0, 1.0, 0.0)))
    right = scored(make_pair("s1", shift_px=40, transform=shifted))
    wrong = scored(make_pair("s2", shift_px=40))
    assert right["structure_score"].iloc[:2].min() > 0.8
    assert wrong["structure_score"].median() < 0.35


def test_white_and_tissue_shares_are_the_planted_ones(make_pair) -> None:
    table = scored(make_pair(blank_px=300))
    assert table["he_white"].round(2).tolist()[:3] == pytest.approx([1.0, 0.5, 0.0], abs=0.03)
    assert table["ihc_white"].iloc[0] == pytest.approx(1.0, abs=0.01)
    assert table["he_tissue"].tolist()[:3] == pytest.approx([0.0, 0.5, 1.0], abs=0.05)
    assert math.isnan(table["structure_score"].iloc[0])  # blank on both: undefined


def test_ssim_is_scikit_images_at_its_own_mpp(make_pair) -> None:
    pair = make_pair()
    table = scored(pair, ssim_mpp=1.0)
    region = tiles_of_pair(pair, GRID)[4]
    expected = structural_similarity(pair.read_he(region), pair.read_ihc(region), channel_axis=2)
    assert table["ssim_rgb"].iloc[4] == pytest.approx(expected, abs=1e-9)
    assert scored(pair)["ssim_rgb"].iloc[4] != pytest.approx(expected, abs=1e-6)


def test_overlapping_tiles_at_full_resolution_are_scikit_images_too(make_pair) -> None:
    pair = make_pair()
    grid = TileParams(size_px=130, mpp=1.0, step_px=90, edge="shift")
    table = scored(pair, grid=grid, ssim_mpp=1.0)
    tiles = tiles_of_pair(pair, grid)
    expected = [
        structural_similarity(pair.read_he(tile), pair.read_ihc(tile), channel_axis=2)
        for tile in tiles
    ]
    assert table["ssim_rgb"].tolist() == pytest.approx(expected, abs=1e-9)


def test_full_resolution_is_read_where_the_white_rule_holds_only(make_pair, monkeypatch) -> None:
    pair = make_pair(blank_px=300)
    read = []
    plain = Slide.read
    monkeypatch.setattr(
        Slide, "read", lambda self, *where: (read.append(where), plain(self, *where))[1]
    )
    table = scored(pair, ssim_mpp=1.0, white=WhiteLimits(max_he_white=0.4, max_ihc_white=0.4))
    assert table["ssim_rgb"].notna().tolist() == [False, False, True] * 2
    fine = [where for where in read if where[3] == 1.0]
    assert fine
    assert min(x_px for x_px, *_ in fine) >= 400


@pytest.mark.parametrize(("sides", "missing"), [("he", "ihc"), ("ihc", "he")])
def test_a_missing_side_is_undefined(make_pair, sides, missing) -> None:
    table = scored(make_pair(sides=sides))
    undefined = [f"{missing}_white", f"{missing}_tissue", "ssim_rgb", "structure_score"]
    assert table[undefined].isna().all(axis=None)
    assert table[[c for c in SCORE_COLUMNS if c not in undefined]].notna().all(axis=None)


def test_a_blank_slide_is_refused(make_pair, tmp_path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    glass = np.clip(rng.normal(243, 2, (400, 600, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(glass).save(tmp_path / "blank.png")
    blank = open_slide(tmp_path / "blank.png", slide_id="s1", mpp=1.0)
    pair = make_pair()
    for he, ihc, stain in ((blank, None, "H&E"), (pair.he, blank, "IHC")):
        with pytest.raises(SlideError, match=f"slide s1: no tissue found on the {stain} slide"):
            scored(SlidePair("s1", "c1", he, ihc))


def test_a_pen_stroke_that_tiles_cut_is_no_tissue(tmp_path) -> None:
    """The sliver in the lower tiles is too narrow to be told from tissue."""
    from PIL import Image

    rgb = np.full((1024, 1024, 3), 243, np.uint8)
    rgb[:516] = 20
    Image.fromarray(rgb).save(tmp_path / "marked.png")
    slide = open_slide(tmp_path / "marked.png", slide_id="s1", mpp=2.0)
    grid = TileParams(size_px=512, mpp=2.0, step_px=512, edge="drop")
    with pytest.raises(SlideError, match="no tissue found on the H&E slide"):
        scored(SlidePair("s1", "c1", slide, None), grid=grid)


def test_the_same_square_at_another_resolution() -> None:
    region = Region("s1", "", "tile", 10, 20, 1024, 0.5)
    other = at_mpp(region, 3.0)
    assert (other.x_px, other.y_px, other.size_px) == (10, 20, 171)
    assert other.side_um == pytest.approx(region.side_um)
