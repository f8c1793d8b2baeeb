"""Class areas of regions, on a slide whose pixels say their class."""

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.labelling.pixel_classes import region_class_areas

COLOURS = np.array([[250, 250, 250], [60, 60, 200], [120, 70, 20]], np.uint8)
NAMES = ("background", "blue", "brown")
MPP, SIDE = 0.5, 300


@pytest.fixture(scope="module")
def classes():
    return np.random.default_rng(0).integers(0, 3, (SIDE, SIDE))


@pytest.fixture(scope="module")
def pair(classes, tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "s.png"
    Image.fromarray(COLOURS[classes]).save(path)
    slide = open_slide(path, slide_id="s", mpp=MPP)
    return SlidePair("s", "s", slide, None)


def by_colour(rgb):
    far = np.abs(rgb[:, :, None].astype(int) - COLOURS[None, None].astype(int)).sum(axis=3)
    return (far == far.min(axis=2, keepdims=True)).astype(np.float32)


def areas(pair, regions, **options):
    options = {"mpp": MPP, "halo_px": 7, "block_px": 64} | options
    return region_class_areas(pair, regions_table(regions), "he", by_colour, NAMES, **options)


def region(x, y, side, mpp=MPP):
    return Region("s", "", "patch", x, y, side, mpp)


def test_pixels_are_counted_by_class(pair, classes):
    found = areas(pair, [region(40, 10, 100), region(90, 60, 130)])
    for (x, y, side), (_, own) in zip(
        [(40, 10, 100), (90, 60, 130)], found.groupby("region_id", sort=False), strict=True
    ):
        counted = np.bincount(classes[y : y + side, x : x + side].ravel(), minlength=3)
        assert own["class_name"].tolist() == list(NAMES)
        assert own["area_um2"].tolist() == pytest.approx((counted * MPP**2).tolist())


@pytest.mark.parametrize(("block_px", "halo_px"), [(40, 3), (64, 20), (1024, 50)])
def test_blocks_change_nothing(pair, block_px, halo_px):
    regions = [region(0, 0, SIDE), region(33, 77, 64)]
    whole = areas(pair, regions, block_px=1024, halo_px=1)
    assert areas(pair, regions, block_px=block_px, halo_px=halo_px).equals(whole)


def test_a_grids_sums_are_the_whole_slides(pair):
    whole = areas(pair, [region(0, 0, SIDE)]).set_index("class_name")["area_um2"]
    parts = areas(pair, [region(x, y, 75) for x in range(0, 300, 75) for y in range(0, 300, 75)])
    assert parts.groupby("class_name")["area_um2"].sum()[list(NAMES)].tolist() == whole.tolist()


def test_areas_do_not_depend_on_the_resolution_of_the_region(pair):
    fine = areas(pair, [region(40, 10, 100)])["area_um2"].to_numpy()
    coarse = areas(pair, [region(40, 10, 50, mpp=1.0)])["area_um2"].to_numpy()
    assert fine.tolist() == coarse.tolist()


def test_a_missing_section_is_an_error(pair):
    with pytest.raises(SlideError, match="has no IHC slide"):
        region_class_areas(
            pair, regions_table([region(0, 0, 10)]), "ihc", by_colour, NAMES, mpp=MPP, halo_px=1
        )
