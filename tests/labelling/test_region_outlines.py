"""Outlines must lie on the nuclei in the picture that is read through the pair's transform."""

import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from skimage.draw import polygon2mask

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.outlines import pack_outlines
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.transform import Transform
from tumor_ratio.labelling.region_outlines import region_outlines

MPP = 0.5
TURN = math.radians(20)
TRANSFORM = Transform(
    ((math.cos(TURN), -math.sin(TURN), 30.0), (math.sin(TURN), math.cos(TURN), -12.0))
)
LONG_UM, SHORT_UM = 10.0, 4.0


@pytest.fixture
def pair(tmp_path):
    """Two dark ellipses on the IHC slide, upright there, whose places in the frame are planted."""
    frame_px = np.array([[150.0, 170.0], [210.0, 150.0], [40.0, 60.0]])
    ihc_px = TRANSFORM.forward(frame_px * MPP) / MPP
    ihc = Image.new("RGB", (400, 400), "white")
    for x, y in ihc_px:
        box = [x - LONG_UM / MPP, y - SHORT_UM / MPP, x + LONG_UM / MPP, y + SHORT_UM / MPP]
        ImageDraw.Draw(ihc).ellipse(box, fill=(60, 40, 30))
    ihc.save(tmp_path / "ihc.png")
    Image.new("RGB", (400, 400), "white").save(tmp_path / "he.png")
    he, slide = (
        open_slide(tmp_path / f"{name}.png", slide_id="s", mpp=MPP) for name in ("he", "ihc")
    )
    angle = np.arange(32) * 2 * np.pi / 32
    radii = LONG_UM * SHORT_UM / np.hypot(SHORT_UM * np.cos(angle), LONG_UM * np.sin(angle))
    nuclei = pd.DataFrame(
        {
            "x_px": ihc_px[:, 0], "y_px": ihc_px[:, 1],
            "x_he_px": frame_px[:, 0], "y_he_px": frame_px[:, 1],
            "positive": [True, False, True],
            "outline": pack_outlines(np.zeros((3, 2)), np.tile(radii, (3, 1))),
        }
    )  # fmt: skip
    return SlidePair("s", "c", he, slide, transform=TRANSFORM, data_kind="phantom"), nuclei


@pytest.mark.parametrize("mpp", [0.5, 0.25])
def test_outlines_cover_the_nuclei_in_the_regions_picture(pair, mpp):
    both, nuclei = pair
    region = Region("s", "t", "patch", 110, 110, round(128 * MPP / mpp), mpp)
    found = region_outlines(both, region, nuclei)
    assert found.positive.tolist() == [True, False]
    dark = both.read_ihc(region).mean(axis=2) < 150
    drawn = np.zeros_like(dark)
    for outline in found.polygons:
        drawn |= polygon2mask(dark.shape, outline[:, ::-1] - 0.5)
    overlap = (dark & drawn).sum() / (dark | drawn).sum()
    assert overlap > 0.85


def test_only_nuclei_whose_centroid_lies_in_the_region_count(pair):
    both, nuclei = pair
    beside = Region("s", "t", "patch", 300, 300, 64, MPP)
    assert region_outlines(both, beside, nuclei).polygons == []
    edge = Region("s", "t", "patch", 150, 170, 40, MPP)
    assert region_outlines(both, edge, nuclei).positive.tolist() == [True]
    until = Region("s", "t", "patch", 110, 130, 40, MPP)  # half-open: 150 is outside
    assert region_outlines(both, until, nuclei).polygons == []
