"""Regions of one slide: exact pixels, the same answers however they are computed, damage."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.imaging.tissue_classes import TissueClasses
from tumor_ratio.inference import progress, region_reading
from tumor_ratio.inference.approaches.surroundings import answer_together
from tumor_ratio.inference.block_slide import BlockCache, in_blocks
from tumor_ratio.inference.domain import TrainedDomain
from tumor_ratio.inference.fields import ratio_field
from tumor_ratio.inference.mended_slide import mended
from tumor_ratio.inference.output_tables import empty_record, region_table, slide_table
from tumor_ratio.inference.predict_slide import predict_regions
from tumor_ratio.inference.region_grid import RegionGrid, list_regions
from tumor_ratio.inference.region_model import Reading, RegionModel
from tumor_ratio.inference.slide_model import SlideModel
from tumor_ratio.inference.survey import SlideSurvey, survey_slide
from tumor_ratio.inference.whole_slide import predict_whole_slide, warnings_of
from tumor_ratio.models.devices import ComputeOptions, resolve_compute
from tumor_ratio.models.normalisation import PatchNormalisation
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions

SIDE = 64
TISSUE = (slice(96, 608), slice(64, 512))


@pytest.fixture(scope="module")
def slide(tmp_path_factory) -> Slide:
    """A tiled JPEG pyramid of 704 x 640 px at 1 um/px: stained noise on glass."""
    return made(tmp_path_factory.mktemp("slide") / "s.tif")


def made(path: Path) -> Slide:
    rng = np.random.default_rng(0)
    rgb = np.full((704, 640, 3), 245, dtype=np.uint8)
    coarse = rng.integers(60, 200, (176, 160, 3)).repeat(4, axis=0).repeat(4, axis=1)
    coarse[..., 1] //= 2
    rgb[TISSUE] = coarse[TISSUE]
    with tifffile.TiffWriter(path) as writer:
        for level in range(3):
            writer.write(
                rgb[:: 2**level, :: 2**level],
                photometric="rgb",
                tile=(64, 64),
                compression="jpeg",
                subfiletype=1 if level else 0,
            )
    return open_slide(path, slide_id="s", mpp=1.0)


def model(*, mpp: float = 1.0, precision: str = "float32", threads: int = 1, **card) -> SlideModel:
    import torch

    network = build_regressor(Architecture("test_resnet", SIDE), BackboneOptions(), seed=0)
    generator = torch.Generator().manual_seed(1)
    for weights in network.parameters():  # a new head answers all alike
        if weights.ndim > 1 and not weights.any():
            torch.nn.init.normal_(weights, std=0.3, generator=generator)
    network.eval().start_at(0.4)
    compute = resolve_compute(ComputeOptions("cpu", precision, threads))
    identity = {"knots": [0.0, 1.0], "values": [0.0, 1.0]}
    return SlideModel(
        Predictor(compute.place(network), PatchNormalisation(), compute),
        {"patch_px": SIDE, "mpp": mpp, "calibration": identity, **card},
    )


def predicted(slide: Slide, chosen: SlideModel, step: int = SIDE, **options) -> pd.DataFrame:
    grid = RegionGrid(SIDE, chosen.mpp, step)
    return predict_regions(slide, chosen, survey_slide(slide, grid.cell_um), grid, **options)


# --- reading


def test_blocks_give_the_slides_own_pixels_and_decode_each_once(slide, monkeypatch):
    decoded = []
    read = Slide._read_level
    monkeypatch.setattr(
        Slide, "_read_level", lambda self, *at: decoded.append(at) or read(self, *at)
    )
    blocks = dataclasses.replace(in_blocks(slide), block_size=(128, 128))
    places = [(x + 0.0, y + 0.0) for y in range(-30, 700, 37) for x in range(-30, 640, 41)]
    for mpp in (1.0, 1.3, 2.7):
        for x, y in places[:: 1 if mpp == 1 else 7]:
            expected = slide.read(x, y, SIDE, mpp)
            assert np.array_equal(blocks.read(x, y, SIDE, mpp), expected), (x, y, mpp)
    ours = [at for at in decoded if at[3:] == (128, 128) and at[1] % 128 == at[2] % 128 == 0]
    assert len(ours) == len(set(ours)) > 0


def test_a_cache_forgets_the_oldest_blocks():
    cache = BlockCache(kept_bytes=250)
    asked = []

    def block(name):
        return cache.get((0, 0, name), lambda: asked.append(name) or np.zeros(100, np.uint8))

    for name in (1, 2, 1, 3, 1, 2):
        block(name)
    assert asked == [1, 2, 3, 2]  # 3 pushed out 2, not 1, which was used since


def test_regions_are_read_strip_by_strip_where_the_slide_is_wide(slide, monkeypatch):
    monkeypatch.setattr(region_reading, "KEPT_BYTES", 2 * 3 * 64 * 64 * 3)
    monkeypatch.setattr("tumor_ratio.inference.block_slide.BLOCK_BYTES", 64 * 64 * 3)
    grid = RegionGrid(SIDE, 1.0, SIDE)
    table = list_regions(slide, survey_slide(slide, SIDE), grid)
    regions = [
        region_reading.Region("s", "", "tile", int(x), int(y), SIDE, 1.0)
        for x, y in zip(table["x_px"], table["y_px"], strict=True)
    ]
    reader = region_reading.RegionReader(slide, regions, 1.0)
    reader._slide = dataclasses.replace(reader._slide, block_size=(64, 64))
    order = reader.order()
    x, y = table["x_px"].to_numpy()[order], table["y_px"].to_numpy()[order]
    strips = x // 128
    assert (np.diff(strips) >= 0).all()
    assert len(set(strips)) > 2
    assert all((np.diff(y[strips == s]) >= 0).all() for s in set(strips))
    assert sorted(order) == list(range(len(table)))


# --- answers


def test_answers_are_the_networks_own_for_each_region_alone(slide):
    chosen = model(mpp=1.3)
    table = predicted(slide, chosen, step=40)
    scored = table[table["reason"] == ""]
    assert len(scored) > 60
    assert scored["tumor_ratio"].std() > 1e-3
    sample = scored.iloc[::9]
    rgb = np.stack(
        [slide.read(x, y, SIDE, 1.3) for x, y in zip(sample["x_px"], sample["y_px"], strict=True)]
    )
    expected = chosen.predictor.predict(rgb).clip(0, 1)
    np.testing.assert_allclose(sample["tumor_ratio"], expected, atol=1e-6)
    assert table.loc[table["reason"] != "", "tumor_ratio"].isna().all()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_nothing_depends_on_order_batches_or_threads(slide, monkeypatch, precision):
    base = predicted(slide, model(precision=precision), batch_size=16)
    again = predicted(slide, model(precision=precision), batch_size=16, threads=3)
    pd.testing.assert_frame_equal(base, again, rtol=0, atol=0)
    in_order = region_reading.RegionReader.order
    monkeypatch.setattr(region_reading.RegionReader, "order", lambda self: in_order(self)[::-1])
    other = predicted(slide, model(precision=precision, threads=2), batch_size=16, threads=2)
    pd.testing.assert_frame_equal(base, other, rtol=0, atol=1e-6)
    if precision == "float32":
        other = predicted(slide, model(), batch_size=5)
        pd.testing.assert_frame_equal(base, other, rtol=0, atol=1e-6)
    assert base["tumor_ratio"].std() > 1e-3


def test_under_bf16_the_network_always_gets_full_batches(slide, monkeypatch):
    shapes = []
    predict = Predictor.predict
    monkeypatch.setattr(
        Predictor, "predict", lambda self, rgb, **kw: shapes.append(len(rgb)) or predict(self, rgb)
    )
    table = predicted(slide, model(precision="bf16"), batch_size=16)
    assert set(shapes) == {16}
    assert (table["reason"] == "").sum() % 16 != 0


# --- damage


def damaged(path: Path, tiles: list[int], level: int = 0) -> Slide:
    slide = made(path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[level]
        places = [(page.dataoffsets[t], page.databytecounts[t]) for t in tiles]
    with path.open("r+b") as file:
        for offset, count in places:
            file.seek(offset)
            file.write(b"\xee" * count)
    return slide


def test_a_damaged_tile_costs_the_regions_on_it_only(tmp_path, slide):
    whole = predicted(slide, model())
    found = predicted(damaged(tmp_path / "s.tif", [3 * 10 + 3]), model())
    lost = found["reason"] == "unreadable"
    assert found.loc[lost, ["x_px", "y_px"]].to_numpy().tolist() == [[192, 192]]
    assert found.loc[lost, "tumor_ratio_calibrated"].isna().all()
    same = ["tumor_ratio", "tumor_ratio_calibrated", "x_px", "y_px"]
    pd.testing.assert_frame_equal(found.loc[~lost, same], whole.loc[~lost, same])


def test_a_damaged_overview_costs_what_lies_under_it(tmp_path):
    broken = damaged(tmp_path / "s.tif", [4], level=2)
    survey = survey_slide(broken, 64.0)
    y, x = np.nonzero(survey.unreadable)
    around = (x.min() * survey.px, (x.max() + 1) * survey.px, y.min() * survey.px)
    np.testing.assert_allclose(around, (256, 512, 256), atol=64)
    found = predicted(broken, model())
    under = found["x_px"].isin([320, 384]) & found["y_px"].isin([320, 384])
    assert (found.loc[under, "reason"] == "unreadable").all()
    assert under.sum() == 4
    assert (found["reason"] == "").sum() > 20


def test_damage_is_counted_in_the_slides_summary(tmp_path, slide):
    card = {"approach": "mine", "training_data": "real"}
    broken = damaged(tmp_path / "s.tif", [4], level=2)
    found, whole = (
        predict_whole_slide(each, model(**card), None, {"species": "mouse"})
        for each in (broken, slide)
    )
    assert found.record["left_out"]["unreadable"] == pytest.approx(256**2 / (512 * 448), rel=0.2)
    assert whole.record["left_out"]["unreadable"] == 0
    assert found.record["tumor_ratio"] == pytest.approx(whole.record["tumor_ratio"], abs=0.05)
    assert str(tmp_path) not in str(found.record)


def test_damage_where_the_look_is_judged_is_a_warning(slide, monkeypatch):
    def fails(_):
        raise SlideError("s", "s.tif cannot be read", "export it again")

    monkeypatch.setattr("tumor_ratio.inference.whole_slide.slide_appearance", fails)
    found = warnings_of(slide, {"species": "mouse"}, TrainedDomain({"species": ["human"]}))
    assert [each.about for each in found] == ["declared"] * 3 + ["appearance"]
    assert found[-1].text == "how it looks cannot be judged: s.tif cannot be read"


def test_a_slide_that_is_mostly_damaged_is_refused(tmp_path):
    most = [row * 10 + column for row in range(1, 10) for column in range(1, 8) if row != 5]
    with pytest.raises(SlideError, match=r"slide s: s\.tif"):
        predicted(damaged(tmp_path / "s.tif", most), model())


def test_what_looks_around_regions_sees_glass_where_the_file_is_damaged(tmp_path, slide):
    whole = slide.read(100, 100, 400, 1.0)
    found = mended(damaged(tmp_path / "s.tif", [3 * 10 + 3])).read(100, 100, 400, 1.0)
    assert (found[92:156, 92:156] == 255).all()  # the tile
    around = np.ones((400, 400), dtype=bool)
    around[92 - 50 : 156 + 50, 92 - 50 : 156 + 50] = False  # pieces of 50 px cannot lie closer
    assert np.array_equal(found[around], whole[around])
    gone = dataclasses.replace(slide, path=tmp_path / "gone.tif")
    with pytest.raises(SlideError, match="no longer there"):
        mended(gone).read(0, 0, SIDE, 1.0)


def test_an_unreadable_region_is_not_answered_and_others_see_around_it(tmp_path, slide):
    broken = damaged(tmp_path / "s.tif", [3 * 10 + 3])
    regions = [region_reading.Region("s", "", "tile", x, 192, SIDE, 1.0) for x in (256, 192, 128)]
    seen = []

    def ratios_on(own, table):
        seen.append((own.read(170, 192, SIDE, 1.0), table["x_px"].tolist()))
        return np.array([0.4, np.nan])

    reading = Reading(2, 1, lambda _: None)
    answers = answer_together(broken, regions, reading, ratios_on, {"training_median": 0.1})
    np.testing.assert_array_equal(answers.raw, [0.4, np.nan, 0.1])
    assert answers.by_median.tolist() == [False, False, True]
    assert np.isnan(answers.nuclear_um2).tolist() == [False, True, False]
    assert answers.problem is not None
    ((pixels, places),) = seen
    assert places == [256, 128]
    assert (pixels[:, -20:] == 255).all()


class FewNuclei(RegionModel):
    """Sees too few nuclei in the slide's left half; the upper rows are out of focus."""

    card: ClassVar = {
        "approach": "mine",
        "training_data": "phantom",
        "patch_px": SIDE,
        "mpp": 1.0,
        "training_median": 0.1,
        "calibration": {"knots": [0.0, 1.0], "values": [0.0, 1.0]},
    }

    def answer(self, slide, regions, reading):
        def ratios_on(own, table):
            return np.where(table["x_px"] < 320, np.nan, 0.1)  # the other half has that very ratio

        found = answer_together(slide, regions, reading, ratios_on, self.card)
        upper = np.array([region.y_px < 192 for region in regions])
        return dataclasses.replace(found, sharpness=np.where(upper, 0.1, 0.9))


def test_regions_that_the_median_answers_are_marked_and_counted(tmp_path):
    broken = damaged(tmp_path / "s.tif", [3 * 10 + 3])
    summary = predict_whole_slide(broken, FewNuclei(), None, {})
    table = region_table({"s": summary.regions}, {"s": summary.record}, None)
    assert table["answered_by_median"].dtype == bool
    has_ratio = table["reason"] == ""
    assert (table["answered_by_median"] == (has_ratio & (table["x_px"] < 320))).all()
    without = set(table.loc[table["x_px"] < 320, "reason"])
    assert {"blurred", "unreadable"} <= without, "what has no ratio is answered by nothing"
    n = int(table["answered_by_median"].sum())
    assert 0 < n < has_ratio.sum()
    assert summary.record["n_answered_by_median"] == n
    slides = slide_table({"s": summary.record, "t": empty_record("t", FewNuclei.card)})
    assert slides["n_answered_by_median"].iloc[0] == n
    assert np.isnan(slides["n_answered_by_median"].iloc[1])


def test_a_network_answers_no_region_with_the_median(slide):
    summary = predict_whole_slide(slide, model(approach="mine", training_data="phantom"), None, {})
    assert summary.regions["answered_by_median"].dtype == bool
    assert not summary.regions["answered_by_median"].any()
    assert summary.record["n_answered_by_median"] == 0


# --- the field


def test_without_overlap_cells_are_the_regions(slide):
    grid = RegionGrid(SIDE, 1.0, SIDE)
    survey = survey_slide(slide, grid.cell_um)
    table = predict_regions(slide, model(), survey, grid).assign(lower=0.1, upper=0.9)
    field = ratio_field(table, slide, survey, grid)
    assert field.ratio.shape == (11, 10)
    at = table["y_px"] // SIDE, table["x_px"] // SIDE
    np.testing.assert_allclose(field.ratio[at], table["tumor_ratio_calibrated"])
    np.testing.assert_allclose(field.nuclear_um2[at], table["nuclear_um2"].fillna(0.0))
    np.testing.assert_allclose(field.tissue[at], table["tissue"])
    assert (field.reason[at] == table["reason"]).all()
    assert np.isnan(field.ratio).sum() == field.ratio.size - (table["reason"] == "").sum()
    assert (field.reason[np.isfinite(field.ratio)] == "").all()
    np.testing.assert_array_equal(np.isnan(field.lower), np.isnan(field.ratio))


def test_a_cell_is_the_mean_of_the_regions_over_it(slide):
    grid = RegionGrid(SIDE, 1.0, SIDE // 2)
    survey = survey_slide(slide, grid.cell_um)
    table = predict_regions(slide, model(), survey, grid)
    field = ratio_field(table, slide, survey, grid)
    row, column = 9, 7  # x 224, y 288: well inside
    over = table[
        table["x_px"].isin([column * 32, (column - 1) * 32])
        & table["y_px"].isin([row * 32, (row - 1) * 32])
    ]
    assert len(over) == 4
    assert field.ratio[row, column] == pytest.approx(over["tumor_ratio_calibrated"].mean())
    assert field.nuclear_um2[row, column] == pytest.approx(over["nuclear_um2"].mean() / 4)
    corner = field.ratio[3, 2]  # the tissue's first cell: covered by one region that is all tissue
    assert np.isfinite(corner)
    over_glass = table[(table["x_px"] == 160) & (table["y_px"] == 64)]
    assert over_glass["tumor_ratio"].notna().all()
    assert np.isnan(field.ratio[:3]).all()  # glass beside it, though regions reach over it
    assert (field.reason[:3] == "").all()
    alone = predict_regions(slide, model(), survey, RegionGrid(SIDE, 1.0, SIDE))
    total = alone["nuclear_um2"].sum()
    assert field.nuclear_um2.sum() == pytest.approx(total, rel=0.1)


@pytest.mark.parametrize("step", [SIDE, 23])
def test_every_cell_of_tissue_has_a_ratio_or_a_reason(slide, step):
    grid = RegionGrid(SIDE, 1.37, step)
    survey = survey_slide(slide, grid.cell_um)
    field = ratio_field(predict_regions(slide, model(mpp=1.37), survey, grid), slide, survey, grid)
    bare = np.isnan(field.ratio) & (field.reason == "")
    assert (field.tissue[bare] <= 0.011).all()
    assert (np.isfinite(field.ratio) == (field.nuclear_um2 > 0)).all()
    assert np.isfinite(field.ratio[field.tissue > 0.99]).all()


def test_tissue_in_cells_half_beyond_the_slide_is_scored_or_listed(tmp_path):
    """With steps of 80 px the third row's middle, at 200 px, is in no region of 116 px."""
    Image.fromarray(np.full((186, 400, 3), 255, np.uint8)).save(tmp_path / "s.png")
    slide = open_slide(tmp_path / "s.png", slide_id="s", mpp=1.0)
    grid = RegionGrid(116, 1.0, 80)
    stained, nothing = np.ones((186, 400), dtype=bool), np.zeros((186, 400), dtype=bool)
    classes = TissueClasses(1.0, stained, stained, nothing, nothing)
    survey = SlideSurvey("s", np.zeros((186, 400, 3), np.uint8), 1.0, 1.0, classes, nothing)
    regions = list_regions(slide, survey, grid)
    regions = regions.assign(tumor_ratio_calibrated=0.2, nuclear_um2=100.0)
    field = ratio_field(regions, slide, survey, grid)
    assert field.ratio.shape == (3, 5)
    assert (field.tissue[2] == 26 / 80).all()
    assert np.isfinite(field.ratio[:2]).all()
    assert np.isnan(field.ratio[2]).all()
    assert (field.reason[2] == "white").all()


def test_steps_that_leave_gaps_are_refused():
    with pytest.raises(ValueError, match=r"between 1 px and a region's side \(64 px\), not 65"):
        RegionGrid(SIDE, 1.0, 65)


# --- progress


def test_a_large_slide_says_how_far_it_is_in_a_worker_too(caplog, monkeypatch):
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    logging.getLogger("tumor_ratio.inference.progress").setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)  # as in a worker
    tell = progress.SlideProgress("s", 10)
    for done in (5, 10):
        tell(done)
    assert [record.getMessage() for record in caplog.records] == [
        "slide s: 5 of 10 regions, about 0 min left"
    ]
