import pytest

from tumor_ratio.cohort.tiles import PatchParams, TileParams, patches_of_pair, tiles_of_pair
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import iter_regions, regions_table
from tumor_ratio.schemas import Regions


def test_tiles_cover_the_frame(make_pair) -> None:
    pair = make_pair()  # 600 x 400 px at 1 um/px
    tiles = tiles_of_pair(pair, TileParams(size_px=400, mpp=0.5, step_px=400, edge="shift"))
    assert [(t.x_px, t.y_px) for t in tiles] == [(x, y) for y in (0, 200) for x in (0, 200, 400)]
    assert {t.kind for t in tiles} == {"tile"}
    assert all(t.tile_id == t.region_id for t in tiles)


def test_a_slide_smaller_than_a_tile_gives_one_padded_tile(make_pair) -> None:
    (tile,) = tiles_of_pair(make_pair(), TileParams(size_px=1400))
    assert (tile.x_px, tile.y_px, tile.side_um) == (0, 0, 700.0)


def test_tiles_of_a_few_pixels_are_refused(make_pair) -> None:
    with pytest.raises(ConfigurationError, match="under 16 px on slide s1"):
        tiles_of_pair(make_pair(), TileParams(size_px=16, mpp=0.25, step_px=16))


def test_patches_lie_inside_tiles_and_slide(make_pair) -> None:
    pair = make_pair()
    tiles = regions_table(
        tiles_of_pair(pair, TileParams(size_px=256, mpp=1.0, step_px=256, edge="pad"))
    )
    patches = Regions.validate(patches_of_pair(pair, tiles, PatchParams(size_px=64, step_px=32)))
    by_id = {tile.region_id: tile for tile in iter_regions(tiles)}
    for patch in iter_regions(patches):
        tile = by_id[patch.tile_id]
        assert tile.x_px <= patch.x_px <= tile.x_px + 256 - 64
        assert tile.y_px <= patch.y_px <= tile.y_px + 256 - 64
        assert patch.x_px + 64 <= 600
        assert patch.y_px + 64 <= 400
    inner = patches[patches["tile_id"] == tiles["region_id"][0]]
    assert len(inner) == 7 * 7


def test_a_shared_patch_belongs_to_the_first_tile(make_pair) -> None:
    pair = make_pair()
    tiles = regions_table(
        tiles_of_pair(pair, TileParams(size_px=200, mpp=1.0, step_px=100, edge="drop"))
    )
    patches = patches_of_pair(pair, tiles, PatchParams(size_px=50, step_px=50))
    assert patches["region_id"].is_unique
    assert len(patches) == 12 * 8  # the whole slide once
    owner = patches.set_index(["x_px", "y_px"])["tile_id"]
    assert owner[100, 100] == tiles["region_id"][0]


def test_the_studys_patches_overlap_and_meet(make_pair) -> None:
    """Steps of 112 px divide the tiles' step of 3696 px: patches of two tiles coincide."""
    pair = make_pair()
    tiles = tiles_of_pair(pair, TileParams(size_px=256, mpp=1.0, step_px=224, edge="drop"))
    patches = patches_of_pair(pair, regions_table(tiles), PatchParams(size_px=32, step_px=16))
    assert len(patches) == len(set(zip(patches["x_px"], patches["y_px"], strict=True)))
    assert set(patches["x_px"] % 16) == {0}


def test_patches_larger_than_tiles_are_refused(make_pair) -> None:
    pair = make_pair()
    tiles = regions_table(tiles_of_pair(pair, TileParams(size_px=100, mpp=1.0, step_px=100)))
    with pytest.raises(ConfigurationError, match="patches of 128 um do not fit tiles of 100 um"):
        patches_of_pair(pair, tiles, PatchParams())


def test_no_tiles_no_patches(make_pair) -> None:
    assert Regions.validate(patches_of_pair(make_pair(), regions_table([]), PatchParams())).empty
