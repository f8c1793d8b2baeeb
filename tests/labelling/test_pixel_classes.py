"""Class areas of regions, on a slide whose pixels say their class."""

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.feature_selection import FeatureSelection
from tumor_ratio.imaging.pixel_features import FeaturePlan
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.labelling.pixel_classes import region_class_areas, region_classes
from tumor_ratio.models.forest_growth import grow_classifier

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


@pytest.fixture(scope="module")
def forest(pair):
    """Grown of a few strokes; its features see tens of pixels around."""
    rgb = pair.read_he_at(0, 0, 96, MPP)
    labels = np.zeros((96, 96), np.uint8)
    labels[10:14, 5:60], labels[40:44, 20:80] = 1, 2
    labels[70:73, 10:70] = 3
    return grow_classifier([(rgb, labels)], NAMES, FeatureSelection.default(), seed=0, n_trees=10)


def test_a_forest_in_blocks_sees_what_it_sees_in_the_whole_slide(pair, forest):
    halo_px = FeaturePlan.of(forest.selection, 3).halo_px
    regions = regions_table([region(60, 60, 180)])

    def found(block_px, halo):
        return region_class_areas(
            pair, regions, "he", forest, NAMES, mpp=MPP, halo_px=halo, block_px=block_px
        )["area_um2"].to_numpy()

    assert (found(3 * halo_px, halo_px) == found(1024, halo_px)).all()
    assert (found(40, 5) != found(1024, halo_px)).any()  # too narrow a halo shows


def test_a_regions_picture_is_what_its_areas_say(pair, forest):
    own = region(33, 47, 128, mpp=MPP / 2)
    rgb, shares = region_classes(pair, own, "he", forest, mpp=MPP, halo_px=38)
    table = region_class_areas(pair, regions_table([own]), "he", forest, NAMES, mpp=MPP, halo_px=38)
    counted = np.bincount(shares.argmax(axis=2).ravel(), minlength=3) * MPP**2
    assert rgb.shape == (64, 64, 3)
    assert table["area_um2"].tolist() == counted.tolist()


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
