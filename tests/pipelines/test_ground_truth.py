import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.errors import ModelUnavailableError, SlideError
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.transform import Transform
from tumor_ratio.labelling.compared_methods import measure_slide_otherwise
from tumor_ratio.labelling.params import (
    ComparedLabelParams,
    NucleiModelParams,
    RatioLabelParams,
    SegmentationParams,
)
from tumor_ratio.labelling.segmentation import segment_slide, tile_boxes
from tumor_ratio.models.segmenter import locate_segmenter
from tumor_ratio.pipelines.ground_truth import create_pipeline, nodes
from tumor_ratio.pipelines.ground_truth.pair_quality import density_agreement, judge
from tumor_ratio.pipelines.ground_truth.params import PairQualityParams, SplitParams
from tumor_ratio.schemas import (
    Folds,
    Nuclei,
    PairQuality,
    PatchFeatures,
    RatioLabels,
)

from ..models.drawn_nuclei import draw_section

SIDE_PX = 512
SHIFT_PX = (40, -24)
MPP = 0.5


@dataclass(frozen=True)
class TableInMemory:
    table: pd.DataFrame

    def load(self) -> pd.DataFrame:
        return self.table


def save_slide(folder: Path, name: str, rgb: np.ndarray, mpp: float = MPP):
    Image.fromarray(rgb).save(folder / f"{name}.png")
    return open_slide(folder / f"{name}.png", slide_id=name, mpp=mpp)


@pytest.fixture(scope="module")
def drawn():
    return draw_section(np.random.default_rng(7), side_px=SIDE_PX, positive_share=0.3)


@pytest.fixture(scope="module")
def pair(drawn, tmp_path_factory):
    """An IHC slide with known nuclei; the "H&E" slide shows the same ones, shifted."""
    folder = tmp_path_factory.mktemp("pair")
    ihc = save_slide(folder, "ihc", drawn.rgb)
    moved = np.full_like(drawn.rgb, 255)
    dx, dy = SHIFT_PX  # IHC = H&E + shift
    source = drawn.rgb[max(dy, 0) : SIDE_PX + min(dy, 0), max(dx, 0) : SIDE_PX + min(dx, 0)]
    top, left = max(-dy, 0), max(-dx, 0)
    moved[top : top + source.shape[0], left : left + source.shape[1]] = source
    he = save_slide(folder, "he", moved)
    affine = ((1.0, 0.0, dx * MPP), (0.0, 1.0, dy * MPP))
    return SlidePair("s1", "c1", he, ihc, Transform(affine))


def whole(pair, side_px=SIDE_PX):
    return regions_table([Region(pair.slide_id, "", "tile", 0, 0, side_px, MPP)])


def patches_of(tile_table, size_px=128):
    tile = tile_table.iloc[0]
    return regions_table(
        Region(tile.slide_id, tile.region_id, "patch", x, y, size_px, MPP)
        for y in range(0, tile.size_px - size_px + 1, size_px)
        for x in range(0, tile.size_px - size_px + 1, size_px)
    )


def quality_of(tiles, **changes):
    return pd.DataFrame(
        {
            "region_id": tiles["region_id"],
            "slide_id": tiles["slide_id"],
            "admitted": True,
            "kept": True,
            "reason": "",
            **changes,
        }
    )


@pytest.fixture(scope="module")
def ihc_nuclei(pair):
    return segment_slide(
        pair, whole(pair), "ihc", locate_segmenter("shipped"), SegmentationParams()
    )


def test_planted_nuclei_and_their_ratio_are_recovered(drawn, tmp_path):
    slide = save_slide(tmp_path, "alone", drawn.rgb)
    alone = SlidePair("s1", "c1", None, slide)
    nuclei = Nuclei.validate(
        segment_slide(alone, whole(alone), "ihc", locate_segmenter("shipped"), SegmentationParams())
    )
    truth = drawn.nuclei
    true_ratio = truth["area_px"][truth["positive"]].sum() / truth["area_px"].sum()
    found_ratio = nuclei["area_um2"][nuclei["positive"]].sum() / nuclei["area_um2"].sum()
    assert len(nuclei) == pytest.approx(len(truth), rel=0.1)
    assert found_ratio == pytest.approx(true_ratio, abs=0.04)
    np.testing.assert_array_equal(nuclei["x_px"], nuclei["x_he_px"])
    distance = np.hypot(
        nuclei["x_px"].to_numpy()[:, None] - truth["x"].to_numpy(),
        nuclei["y_px"].to_numpy()[:, None] - truth["y"].to_numpy(),
    )
    assert np.median(distance.min(axis=1)) < 1.5
    nearest = truth["positive"].to_numpy()[distance.argmin(axis=1)]
    assert (nuclei["positive"].to_numpy() == nearest).mean() > 0.97
    assert nuclei["dab_od_max"].ge(nuclei["dab_od_mean"]).all()


def test_positions_are_mapped_into_the_frame(pair, ihc_nuclei):
    np.testing.assert_allclose(ihc_nuclei["x_px"] - ihc_nuclei["x_he_px"], SHIFT_PX[0])
    np.testing.assert_allclose(ihc_nuclei["y_px"] - ihc_nuclei["y_he_px"], SHIFT_PX[1])


def test_small_blocks_change_nothing(pair, ihc_nuclei):
    blocked = segment_slide(
        pair, whole(pair), "ihc", locate_segmenter("shipped"), SegmentationParams(block_px=384)
    )
    keys = ["y_px", "x_px"]
    left = blocked.sort_values(keys, ignore_index=True).drop(columns="nucleus_id")
    right = ihc_nuclei.sort_values(keys, ignore_index=True).drop(columns="nucleus_id")
    pd.testing.assert_frame_equal(left, right, atol=1e-5, rtol=1e-5)


def test_overlapping_tiles_count_a_nucleus_once(pair, ihc_nuclei):
    tiles = regions_table(
        Region("s1", "", "tile", x, y, 320, MPP) for x in (0, 192) for y in (0, 192)
    )
    nuclei = segment_slide(pair, tiles, "ihc", locate_segmenter("shipped"), SegmentationParams())
    assert len(nuclei) == len(ihc_nuclei)


def test_only_what_tiles_cover_is_segmented(pair):
    tile = regions_table([Region("s1", "", "tile", 64, 64, 128, MPP)])
    params = SegmentationParams(margin_um=0)
    nuclei = segment_slide(pair, tile, "ihc", locate_segmenter("shipped"), params)
    assert nuclei["x_he_px"].between(64, 192).all()
    assert nuclei["y_he_px"].between(64, 192).all()
    assert tile_boxes(pair, tile, "ihc", 0).tolist() == [[104, 40, 232, 168]]
    assert tile_boxes(pair, tile, "he", 16).tolist() == [[32, 32, 224, 224]]


def test_h_and_e_nuclei_hold_no_dab(pair):
    nuclei = segment_slide(
        pair, whole(pair), "he", locate_segmenter("shipped"), SegmentationParams()
    )
    Nuclei.validate(nuclei)
    assert nuclei["dab_od_mean"].isna().all()
    assert not nuclei["positive"].any()
    assert nuclei["hematoxylin_od"].median() > 0.2


def test_a_blank_slide_has_no_nuclei_and_a_valid_table(tmp_path):
    slide = save_slide(tmp_path, "blank", np.full((300, 300, 3), 250, np.uint8))
    blank = SlidePair("s9", "c9", slide, None)
    nuclei = segment_slide(
        blank, whole(blank, 300), "he", locate_segmenter("shipped"), SegmentationParams()
    )
    assert len(Nuclei.validate(nuclei)) == 0
    with pytest.raises(SlideError, match=r"s9.*no ihc section"):
        segment_slide(
            blank, whole(blank, 300), "ihc", locate_segmenter("shipped"), SegmentationParams()
        )


@pytest.mark.parametrize("mpp", [0.5, 0.25])
def test_the_area_of_planted_nuclei_is_recovered(drawn, tmp_path, mpp):
    side = round(SIDE_PX * MPP / mpp)
    pixels = np.array(Image.fromarray(drawn.rgb).resize((side, side)))
    alone = SlidePair("s1", "c1", None, save_slide(tmp_path, "area", pixels, mpp=mpp))
    tile = regions_table([Region("s1", "", "tile", 0, 0, side, mpp)])
    nuclei = segment_slide(alone, tile, "ihc", locate_segmenter("shipped"), SegmentationParams())
    truth_um2 = drawn.nuclei["area_px"].sum() * MPP**2
    assert nuclei["area_um2"].sum() == pytest.approx(truth_um2, rel=0.2)


def test_a_coarser_slide_is_read_at_the_networks_resolution(drawn, tmp_path):
    fine = np.array(Image.fromarray(drawn.rgb).resize((SIDE_PX * 2, SIDE_PX * 2)))
    slide = save_slide(tmp_path, "fine", fine, mpp=0.25)
    alone = SlidePair("s1", "c1", None, slide)
    tile = regions_table([Region("s1", "", "tile", 0, 0, SIDE_PX * 2, 0.25)])
    nuclei = segment_slide(alone, tile, "ihc", locate_segmenter("shipped"), SegmentationParams())
    assert len(nuclei) == pytest.approx(len(drawn.nuclei), rel=0.1)
    assert nuclei["x_px"].max() > SIDE_PX


def test_the_study_method_counts_double_stained_nuclei_twice(tmp_path):
    """All nuclei positive and holding hematoxylin: the true ratio is 1, the study's about 0.5."""
    section = draw_section(
        np.random.default_rng(3), side_px=256, positive_share=1.0, hematoxylin=(0.8, 0.9)
    )
    slide = save_slide(tmp_path, "positive", section.rgb)
    alone = SlidePair("s1", "c1", None, slide)
    tiles = whole(alone, 256)
    labels = RatioLabels.validate(
        measure_slide_otherwise(
            alone, tiles, patches_of(tiles), locate_segmenter("shipped"), ComparedLabelParams()
        )
    )
    assert labels["label_method"].value_counts().to_dict() == {"study": 5, "recolor": 5, "otsu": 5}
    whole_tile = labels[labels["region_id"] == tiles["region_id"][0]].set_index("label_method")
    assert 0.4 < whole_tile.loc["study", "tumor_ratio"] < 0.65
    assert (whole_tile.loc[["recolor", "otsu"], "weight"] == 0).all()
    nuclei = segment_slide(alone, tiles, "ihc", locate_segmenter("shipped"), SegmentationParams())
    assert nuclei["positive"].mean() > 0.95


def test_density_agreement_and_the_final_choice():
    he = np.array([100.0, 100, 0, 50, np.nan, 80])
    ihc = np.array([80.0, 30, 0, 50, 40, 80])
    tiles = pd.DataFrame({"region_id": list("abcdef"), "slide_id": "s"})
    quality = quality_of(tiles, kept=[True] * 5 + [False], reason=[""] * 5 + ["too much glass"])
    np.testing.assert_allclose(density_agreement(he, ihc), [0.8, 0.3, np.nan, 1, np.nan, 1])
    judged = PairQuality.validate(judge(quality, he, ihc, paired=True, min_agreement=0.5))
    assert judged["kept"].tolist() == [True, False, False, True, False, False]
    assert judged["weight"].tolist() == [0.8, 0, 0, 1, 0, 0]
    assert judged["reason"][1] == "nuclei density agreement 0.30 under 0.5"
    assert "no nuclei" in judged["reason"][2]
    assert "missing" in judged["reason"][4]
    assert judged["reason"][5] == "too much glass"


def test_a_slide_with_one_section_keeps_its_tiles_with_weight_one():
    tiles = pd.DataFrame({"region_id": ["a", "b"], "slide_id": "s"})
    unknown = np.full(2, np.nan)
    judged = judge(quality_of(tiles), unknown, np.array([30.0, 0]), paired=False, min_agreement=0.5)
    PairQuality.validate(judged)
    assert judged["kept"].all()
    assert judged["weight"].tolist() == [1, 1]


def test_nodes_carry_labels_from_tiles_to_folds_and_features(pair, ihc_nuclei):
    cohort = Cohort((pair,), "manifest")
    tiles = whole(pair)
    patches = patches_of(tiles)
    quality = quality_of(tiles)
    model = NucleiModelParams()
    tasks = nodes.segment_ihc(cohort, tiles, quality, model, SegmentationParams())
    assert set(tasks) == {"s1"}
    he_tasks = nodes.segment_he(cohort, tiles, quality, model, SegmentationParams())
    parts = {"s1": TableInMemory(ihc_nuclei)}
    he_parts = {"s1": TableInMemory(he_tasks["s1"]())}
    pairs = PairQuality.validate(
        nodes.judge_pairs(cohort, tiles, quality, parts, he_parts, PairQualityParams())
    )
    assert pairs["kept"].all()
    labels = nodes.measure_ratios(cohort, tiles, patches, parts, pairs, RatioLabelParams())["s1"]()
    study = nodes.measure_otherwise(
        cohort, tiles, patches, pairs, model, ComparedLabelParams(tiles_per_slide=1)
    )["s1"]()
    none = ComparedLabelParams(tiles_per_slide=1, slides=0)
    assert nodes.measure_otherwise(cohort, tiles, patches, pairs, model, none) == {}
    table = RatioLabels.validate(
        nodes.gather_labels({"s1": TableInMemory(labels)}, {"s1": TableInMemory(study)})
    )
    assert len(table) == 4 * (1 + len(patches))
    grid = labels[labels["region_id"].isin(patches["region_id"])]
    assert grid["nuclei_um2"].sum() == pytest.approx(labels["nuclei_um2"][0])
    features = nodes.describe_patches(cohort, patches, he_parts)["s1"]()
    gathered = PatchFeatures.validate(nodes.gather_patch_features({"s1": TableInMemory(features)}))
    assert gathered["n_he_nuclei"].sum() == pytest.approx(len(he_parts["s1"].table), rel=0.05)
    inside = pair.read_he(Region("s1", "", "patch", 128, 128, 128, MPP)).mean(axis=(0, 1))
    row = gathered[gathered["region_id"] == patches["region_id"][5]].iloc[0]
    np.testing.assert_allclose([row.mean_red, row.mean_green, row.mean_blue], inside, atol=2)


def test_a_rejected_tiles_labels_have_no_weight(pair, ihc_nuclei):
    tiles = whole(pair)
    rejected = judge(
        quality_of(tiles, kept=False, reason="by hand"),
        np.array([50.0]),
        np.array([50.0]),
        paired=True,
        min_agreement=0.5,
    )
    task = nodes.measure_ratios(
        Cohort((pair,), "manifest"),
        tiles,
        patches_of(tiles),
        {"s1": TableInMemory(ihc_nuclei)},
        rejected,
        RatioLabelParams(),
    )["s1"]
    labels = task()
    assert (labels["weight"] == 0).all()
    assert labels["tumor_ratio"].notna().any()


def test_slides_are_split_by_case_and_few_cases_are_said(pair, caplog):
    pairs = tuple(SlidePair(f"s{i}", f"c{i}", pair.he, pair.ihc, pair.transform) for i in range(8))
    tiles = pd.concat([whole(one) for one in pairs], ignore_index=True)
    patches = pd.concat([patches_of(tiles[tiles["slide_id"] == p.slide_id]) for p in pairs])
    labels = pd.DataFrame(
        {
            "region_id": patches["region_id"],
            "label_method": "nucleus",
            "positive_um2": 1.0,
            "nuclei_um2": 4.0,
        }
    )
    folds = Folds.validate(nodes.split_slides(Cohort(pairs, "x"), labels, patches, SplitParams()))
    assert sorted(folds["slide_id"]) == [f"s{i}" for i in range(8)]
    assert set(folds["split"]) == {"train", "validation", "test"}
    crossing = SplitParams(protocol="cross_validation", folds=3, repeats=2, validation_share=0.2)
    crossed = Folds.validate(nodes.split_slides(Cohort(pairs, "x"), labels, patches, crossing))
    assert len(crossed) == 8 * 3 * 2
    tested = crossed[crossed["split"] == "test"].groupby("repeat")["slide_id"]
    assert tested.apply(sorted).tolist() == [sorted(folds["slide_id"])] * 2
    with caplog.at_level(logging.WARNING):
        none = nodes.split_slides(Cohort(pairs[:2], "x"), labels, patches, SplitParams())
    assert len(Folds.validate(none)) == 0
    assert "no split: 2 case(s)" in caplog.text


def test_a_split_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match=r"test_share 0\.5 leave nothing to train on"):
        SplitParams(validation_share=0.5, test_share=0.5)
    with pytest.raises(ValueError, match="folds 2 leave nothing to train on"):
        SplitParams(protocol="cross_validation", folds=2, validation_share=0.5)
    with pytest.raises(ValueError, match="holdout"):
        SplitParams(protocol="crossvalidation")


def test_a_missing_model_stops_before_any_slide(pair):
    tiles = whole(pair)
    with pytest.raises(ModelUnavailableError, match="no such folder"):
        nodes.segment_ihc(
            Cohort((pair,), "x"),
            tiles,
            quality_of(tiles),
            NucleiModelParams(choice="/nowhere"),
            SegmentationParams(),
        )


def test_the_pipeline_makes_what_its_neighbours_read():
    pipeline = create_pipeline()
    assert pipeline.inputs() >= {"cohort", "tiles", "tile_quality", "patches"}
    outputs = {"calibration_areas", "patch_features", "staining_quality"}
    assert pipeline.outputs() == outputs
