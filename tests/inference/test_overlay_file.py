from __future__ import annotations

import numpy as np
import openslide
import pytest

from tests.reporting.ratio_fields import planted
from tumor_ratio.imaging.pyramid import write_pyramid
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.inference.overlay_file import slide_below, write_overlay
from tumor_ratio.reporting.heat_overlay import map_overlay
from tumor_ratio.reporting.map_paint import map_colours
from tumor_ratio.reporting.stamps import stamps_for

MPP, SLIDE_MPP = 4.0, 0.5
CELL_PX = 224.5
SIZE_PX = (8 * 225 + 100, 6 * 225)
STAMPS = stamps_for("phantom")


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Pink tissue with a dark square in the first column of cells, which is glass to the field."""
    path = tmp_path_factory.mktemp("slides") / "s.tif"
    pixels = np.full((SIZE_PX[1], SIZE_PX[0], 3), (230, 150, 200), dtype=np.uint8)
    pixels[800:1000, 40:160] = 20
    write_pyramid(
        path,
        lambda x, y, width, height: pixels[y : y + height, x : x + width],
        width_px=SIZE_PX[0],
        height_px=SIZE_PX[1],
        mpp=SLIDE_MPP,
        tile_px=256,
        jpeg_quality=95,
    )
    return open_slide(path, slide_id="s")


def field():
    planted_field = planted(cell_px=CELL_PX)
    object.__setattr__(planted_field, "cell_um", CELL_PX * SLIDE_MPP)
    return planted_field


def level_0(path):
    with openslide.OpenSlide(path) as opened:
        return np.array(opened.read_region((0, 0), 0, opened.dimensions).convert("RGB"))


@pytest.mark.parametrize("over_he", [True, False])
def test_an_overlay_is_a_slide_in_the_slides_frame(tmp_path, slide, over_he):
    below = slide_below(slide, MPP) if over_he else None
    overlay = map_overlay(field(), SIZE_PX, stamps=STAMPS, mpp=MPP, below=below, opacity=0.8)
    path = tmp_path / "overlay.tif"
    write_overlay(path, overlay)
    with openslide.OpenSlide(path) as opened:
        assert float(opened.properties["openslide.mpp-x"]) == pytest.approx(MPP, rel=1e-3)
        assert float(opened.properties["openslide.mpp-y"]) == pytest.approx(MPP, rel=1e-3)
        description = opened.properties["tiff.ImageDescription"]
        assert opened.dimensions[0] == int(np.ceil(SIZE_PX[0] * SLIDE_MPP / MPP))
    for stamp in STAMPS:
        assert stamp in description
    found = level_0(path).astype(int)
    assert overlay.slide_height_px == int(np.ceil(SIZE_PX[1] * SLIDE_MPP / MPP))
    if over_he:
        dark = np.argwhere(found[: overlay.slide_height_px, :20].sum(axis=2) < 200)
        assert dark.min(axis=0) == pytest.approx([800 / 8, 40 / 8], abs=1)
        assert dark.max(axis=0) + 1 == pytest.approx([1000 / 8, 160 / 8], abs=1)
        return
    assert (found[: overlay.slide_height_px, :12] > 250).all()
    ratio = field().ratio
    for row, column in np.argwhere(np.isfinite(ratio)):
        y, x = (int((n + 0.5) * CELL_PX * SLIDE_MPP / MPP) for n in (row, column))
        colour = map_colours("ratio")[round(255 * ratio[row, column])]
        assert np.abs(found[y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1)) - colour).max() < 12


def test_a_block_of_the_slide_below_lies_where_the_block_does(slide):
    """A larger map is read in many blocks, all but the first off the origin."""
    block = slide_below(slide, MPP)(3, 95, 20, 30)
    dark = np.argwhere(block.astype(int).sum(axis=2) < 200)
    assert dark.min(axis=0) == pytest.approx([800 / 8 - 95, 40 / 8 - 3], abs=1)
    assert dark.max(axis=0) + 1 == pytest.approx([1000 / 8 - 95, 160 / 8 - 3], abs=1)


@pytest.mark.parametrize("mpp", [1.0, 2.0, 5.0])
def test_words_stand_below_the_slide_and_nowhere_else(mpp):
    named = field()
    object.__setattr__(named, "slide_id", 30 * "unbroken")
    overlay = map_overlay(named, SIZE_PX, stamps=STAMPS, mpp=mpp)
    whole = overlay.read(0, 0, overlay.width_px, overlay.height_px)
    inked = (whole != 255).any(axis=2)
    assert not inked[: overlay.slide_height_px, : int(CELL_PX / 2 / mpp)].any()
    beyond = int(np.ceil(4 * CELL_PX / mpp))
    assert not inked[: overlay.slide_height_px, beyond:].any()
    words = inked[overlay.slide_height_px :]
    assert not words[: round(200 / mpp)].any(), "no room between tissue and words"
    loud = (whole == (156, 66, 33)).all(axis=2)
    rows, columns = np.nonzero(loud)
    assert rows.min() > overlay.slide_height_px
    assert np.ptp(columns) > (0.85 if mpp == 1 else 0.4) * overlay.width_px
    assert not inked[:, -1].any(), "words are cut"


def test_a_large_overlay_is_read_in_small_blocks(tmp_path):
    asked = []

    def below(x_px, y_px, width_px, height_px):
        asked.append((width_px, height_px))
        return np.full((height_px, width_px, 3), 200, dtype=np.uint8)

    overlay = map_overlay(field(), (40_000, 9_000), stamps=STAMPS, mpp=8.0, below=below)
    write_overlay(tmp_path / "o.tif", overlay)
    assert max(width * height for width, height in asked) <= 512 * 256
    assert sum(w * h for w, h in asked) == overlay.width_px * overlay.slide_height_px


def test_words_beyond_ascii_reach_the_metadata_spelt_out_and_an_impossible_size_is_refused():
    named = field()
    object.__setattr__(named, "slide_id", "Präparat 3")
    overlay = map_overlay(named, SIZE_PX, stamps=STAMPS)
    assert "Pr\\xe4parat 3" in overlay.description
    assert overlay.description.isascii()
    with pytest.raises(ValueError, match="positive pixel size"):
        map_overlay(named, SIZE_PX, stamps=STAMPS, mpp=0)
