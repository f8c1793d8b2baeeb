"""What is no Ki-67 section gets an error or a stated doubt, never a silent number."""

import re

import numpy as np
import pytest
from PIL import Image

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.stains import H_DAB, recompose
from tumor_ratio.labelling.params import RatioLabelParams, SegmentationParams
from tumor_ratio.labelling.staining_quality import judge_staining
from tumor_ratio.metrics.ratios import slide_ratio
from tumor_ratio.models.stardist_model import StarDistSegmenter

from ..models.drawn_nuclei import draw_section
from .ihc_images import ihc_pair, nuclei_of


class Saved:
    def __init__(self, table):
        self.table = table

    def load(self):
        return self.table


def verdict(pair, **options):
    """Ratio and reason of doubt."""
    nuclei = nuclei_of(pair, **options)
    judged = judge_staining(pair, Saved(nuclei), RatioLabelParams())
    return slide_ratio(nuclei), judged["reason"][0]


def refusal_or_doubt(pair):
    """What is said against a slide's ratio, whether or not one is given."""
    try:
        return verdict(pair)[1]
    except SlideError as error:
        return str(error)


def test_a_blank_tile_has_no_ratio_and_says_so(tmp_path):
    blank = np.full((400, 400, 3), 246, np.uint8)
    ratio, reason = verdict(ihc_pair(tmp_path, "blank", blank, 0.5))
    assert np.isnan(ratio)
    assert reason == "only 0 nuclei"


@pytest.mark.parametrize("textured", [False, True])
def test_an_all_brown_tile_is_doubted(tmp_path, textured):
    amount = np.full((400, 400), 0.6, np.float32)
    if textured:
        section = draw_section(np.random.default_rng(0), side_px=400, positive_share=1.0)
        amount = amount + 0.5 * (section.labels > 0).astype(np.float32)
    _, reason = verdict(ihc_pair(tmp_path, "brown", recompose(amount, H_DAB.second), 0.5))
    assert "no glass on it" in reason
    assert ("DAB between the nuclei" in reason) or ("only 0 nuclei" in reason)


@pytest.mark.parametrize("wrong", [4, 0.25])
def test_a_pixel_size_wrong_by_four_is_refused_or_doubted(tmp_path, wrong):
    section = draw_section(np.random.default_rng(1), side_px=640, radius_px=(6, 8))
    pair = ihc_pair(tmp_path, "wrong", section.rgb, 0.5 * wrong)
    assert re.search(
        r"um wide in the median|only \d+ nuclei|check the pixel size", refusal_or_doubt(pair)
    )
    ratio, reason = verdict(ihc_pair(tmp_path, "right", section.rgb, 0.5))
    assert ratio > 0
    assert "um wide" not in reason


@pytest.mark.real
def test_a_real_h_and_e_slide_is_no_ki67_slide(real_data):
    path = real_data / "slides/openslide_cmu/cmu-1-small-region.svs"
    pair = SlidePair("cmu", "cmu", None, open_slide(path, slide_id="cmu"))
    with pytest.raises(SlideError, match="cmu: its ihc slide looks like H&E"):
        nuclei_of(pair)


@pytest.mark.real
@pytest.mark.parametrize("wrong", [4, 0.25])
def test_a_real_tiles_pixel_size_wrong_by_four(real_data, tmp_path, wrong):
    place = real_data / "ki67_positivity/deepliif/six_panel/Bladder1.png"
    with Image.open(place) as image:
        tile = np.asarray(image.convert("RGB"))[:, :512]
    pair = ihc_pair(tmp_path, "wrong", tile, 0.25 * wrong)
    if wrong > 1:
        with pytest.raises(SlideError, match=r"um in the mean at 1 um/px, which no tissue's are"):
            nuclei_of(pair)
    else:
        _, reason = verdict(pair)
        assert re.search(r"only \d+ nuclei", reason)


@pytest.mark.real
def test_trust_in_one_slide_is_no_trust_in_another(real_data):
    params = SegmentationParams(trusted_slides=("cmu",), block_px=512)
    assert params.for_slide("cmu") == SegmentationParams(check_slide=False, block_px=512)
    assert params.for_slide("other") == SegmentationParams(block_px=512)
    path = real_data / "slides/openslide_cmu/cmu-1-small-region.svs"
    pair = SlidePair("cmu", "cmu", None, open_slide(path, slide_id="cmu"))
    assert len(nuclei_of(pair, **params.for_slide("cmu").model_dump())) > 100


def test_blocks_that_hold_only_margins_are_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(StarDistSegmenter, "margin_px", 512)
    section = draw_section(np.random.default_rng(2), side_px=200)
    with pytest.raises(
        SlideError, match=r"small: blocks of 1024 px .* raise segmentation.block_px"
    ):
        nuclei_of(ihc_pair(tmp_path, "small", section.rgb, 0.5))
