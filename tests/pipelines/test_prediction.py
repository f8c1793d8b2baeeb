from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from tumor_ratio.cohort.manifest import PlannedPair
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError, ManifestError, SlideError
from tumor_ratio.imaging.appearance import slide_appearance
from tumor_ratio.imaging.nuclear_area import hematoxylin_area_um2, hematoxylin_threshold
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.stains import H_E
from tumor_ratio.inference.domain import TrainedDomain
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.model_folder import load_regressor, write_model
from tumor_ratio.models.normalisation import Normalisation
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions
from tumor_ratio.pipelines.prediction import create_pipeline, nodes
from tumor_ratio.pipelines.prediction.params import PredictionParams
from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_TRAINING

CPU = {"device": "cpu", "precision": "float32", "threads": 1}
EOSIN = np.array(H_E.second) / np.linalg.norm(H_E.second)
HEMATOXYLIN = np.array(H_E.first) / np.linalg.norm(H_E.first)


class Part:
    """A finished slide's result, as the partition dataset hands it on."""

    def __init__(self, value):
        self.value = value

    def load(self):
        return self.value


def stained(eosin: np.ndarray, hematoxylin: np.ndarray) -> np.ndarray:
    """Pixels of given stain densities."""
    density = eosin[..., None] * EOSIN + hematoxylin[..., None] * HEMATOXYLIN
    return np.clip(np.rint(256 * 10.0**-density - 1), 0, 255).astype(np.uint8)


def section(width: int, height: int, *, radius: int = 4, every: int = 16) -> np.ndarray:
    """Eosin with round nuclei on a grid."""
    nuclei = Image.new("L", (width, height))
    draw = ImageDraw.Draw(nuclei)
    for y in range(every // 2, height, every):
        for x in range(every // 2, width, every):
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1)
    mask = np.asarray(nuclei, dtype=float)
    return stained(np.full(mask.shape, 0.25), 0.8 * mask)


def save(path: Path, rgb: np.ndarray) -> Path:
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture
def model(tmp_path) -> ModelRef:
    """An untrained network whose card says it learned from phantoms at 1 um/px."""
    return make_model(tmp_path / "model")


def make_model(
    folder: Path,
    *,
    mpp: float = 1.0,
    side: int = 64,
    kind: str = "phantom",
    context: float | None = None,
    members: int = 1,
    seed: int = 0,
    meaning: str = "",
) -> ModelRef:
    network, *others = (
        build_regressor(Architecture("test_resnet", side), BackboneOptions(), seed=seed + number)
        for number in range(members)
    )
    for member in (network, *others):
        member.eval().start_at(0.3)
    description = {
        "approach": "mine",
        "mpp": mpp,
        "label_method": "nucleus",
        "training_data": kind,
        "domain": {"species": ["human"], "organ": ["testis"], "stain": ["H&E standard"]},
        "calibration": {"knots": [0.0, 1.0], "values": [0.1, 0.5]},
    }
    if meaning:
        description["domain"]["marker_meaning"] = [meaning]
    if context is not None:  # cards of earlier versions have none
        description["context"] = context
    normalisation = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "training_patches")
    card = write_model(folder, network, normalisation, description, others)
    return ModelRef(folder, {**card, "fingerprint": "0123456789abcdef" * 4})


def run_all(params: PredictionParams, model: ModelRef) -> tuple[pd.DataFrame, ...]:
    plan, _ = nodes.plan_new_slides(params, model)
    new_slides = {name: Part(task()) for name, task in nodes.open_new_slides(plan, params).items()}
    regions = carried_out(nodes.predict_slides(new_slides, model, params))
    summaries = carried_out(nodes.summarise_slides(regions, new_slides, model, params))
    return nodes.gather_ratios(summaries, regions, plan, model)


def run(params: PredictionParams, model: ModelRef) -> tuple[pd.DataFrame, pd.DataFrame]:
    return run_all(params, model)[:2]


def carried_out(tasks) -> dict[str, Part]:
    return {name: Part(pickle.loads(pickle.dumps(task))()) for name, task in tasks.items()}


# --- which slides


def test_one_slide_a_folder_or_a_manifest_must_be_named(model):
    with pytest.raises(
        ConfigurationError, match=r"no slide, no folder .*--params=prediction\.slide="
    ):
        nodes.plan_new_slides(PredictionParams(), model)
    with pytest.raises(ConfigurationError, match="both a slide and a manifest"):
        nodes.plan_new_slides(PredictionParams(slide="a.svs", manifest="m.csv"), model)
    with pytest.raises(ConfigurationError, match="give `he_mpp` in the manifest"):
        nodes.plan_new_slides(PredictionParams(manifest="m.csv", mpp=0.5), model)


def test_a_slides_name_comes_from_its_file(model):
    params = PredictionParams(slide="dir/Fall 7 (Kopie).svs", mpp=0.25)
    (planned,), _ = nodes.plan_new_slides(params, model)
    assert planned.slide_id == "Fall_7__Kopie_"
    assert planned.he_mpp == 0.25


def test_a_folders_slides_are_found_and_all_else_is_named(tmp_path, model, caplog):
    folder = tmp_path / "slides"
    (folder / "parts").mkdir(parents=True)
    rgb = section(64, 64)
    for name in ("b 1.png", "a.png", "A.bmp", ".hidden.png", "parts/inner.png"):
        save(folder / name, rgb)
    (folder / "notes.txt").write_text("not a slide")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
    params = PredictionParams(folder=str(folder), mpp=0.5)
    planned, skipped = nodes.plan_new_slides(params, model)
    assert {each.slide_id: each.he_path.name for each in planned} == {
        "A.bmp": "A.bmp",
        "a.png": "a.png",
        "b_1": "b 1.png",
    }
    assert {each.he_mpp for each in planned} == {0.5}
    reasons = skipped.set_index("file")["reason"]
    assert (reasons[".hidden.png"], reasons["parts"]) == ("hidden", "a folder")
    assert set(reasons.index) == {".hidden.png", "parts", "notes.txt", "cut.png"}
    assert reasons["notes.txt"].startswith("not an image")
    assert "notes.txt is passed over: not an image" in caplog.text
    with pytest.raises(ConfigurationError, match="holds no slide"):
        nodes.plan_new_slides(PredictionParams(folder=str(model.folder)), model)


def test_a_slide_with_several_names_is_taken_once(tmp_path, model):
    save(tmp_path / "a.png", section(64, 64))
    save(tmp_path / "copy.png", section(64, 64))
    (tmp_path / "link.png").symlink_to("a.png")
    params = PredictionParams(folder=str(tmp_path), mpp=0.5)
    planned, skipped = nodes.plan_new_slides(params, model)
    assert [each.slide_id for each in planned] == ["a", "copy"]
    reasons = skipped.set_index("file")["reason"]
    assert reasons["link.png"] == "the same slide as a.png"


def test_files_of_one_dicom_slide_are_one_slide(real_data, tmp_path, model):
    """Each file of a series opens as the whole slide."""
    for name in ("boxes_0.dcm", "boxes_1.dcm"):
        shutil.copy(real_data / "slides" / "openslide_python" / name, tmp_path)
    planned, skipped = nodes.plan_new_slides(PredictionParams(folder=str(tmp_path)), model)
    assert [each.slide_id for each in planned] == ["boxes_0"]
    reasons = skipped.set_index("file")["reason"]
    assert reasons["boxes_1.dcm"] == "the same slide as boxes_0.dcm"


def test_a_name_that_no_table_can_hold_costs_its_file_only(tmp_path, model, monkeypatch):
    save(tmp_path / "a.png", section(64, 64))
    try:
        os.rename(save(tmp_path / "b.png", section(64, 64)), os.fsencode(tmp_path) + b"/m\xe4.png")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    params = PredictionParams(folder=str(tmp_path), mpp=0.5)
    planned, skipped = nodes.plan_new_slides(params, model)
    assert [each.slide_id for each in planned] == ["a"]
    reasons = skipped.set_index("file")["reason"]
    assert reasons["m\\udce4.png"] == "its name is not UTF-8: rename it"

    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refused)
    with pytest.raises(ConfigurationError, match=r"holds no slide .*Permission denied"):
        nodes.plan_new_slides(params, model)


def test_an_animal_in_two_groups_is_refused_before_anything_is_predicted(tmp_path, model):
    save(tmp_path / "a.png", section(64, 64))
    save(tmp_path / "b.png", section(64, 64))
    manifest = tmp_path / "m.csv"
    rows = "slide_id,he_path,he_mpp,animal_id,group\na,a.png,1,m1,{}\nb,b.png,1,m1,drug\n"
    manifest.write_text(rows.format("control"))
    with pytest.raises(ConfigurationError, match="animal m1 is in several groups"):
        nodes.plan_new_slides(PredictionParams(manifest=str(manifest)), model)
    manifest.write_text(rows.format("drug"))
    planned, _ = nodes.plan_new_slides(PredictionParams(manifest=str(manifest)), model)
    assert len(planned) == 2


def test_a_section_in_two_rows_is_refused_before_anything_is_predicted(tmp_path, model):
    save(tmp_path / "a.png", section(64, 64))
    (tmp_path / "link.png").symlink_to("a.png")
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "slide_id,case_id,he_path,ihc_path,he_mpp\na,c,a.png,k.png,1\nb,c,link.png,l.png,1\n"
    )
    with pytest.raises(ConfigurationError, match="slides a and b name the same H&E slide"):
        nodes.plan_new_slides(PredictionParams(manifest=str(manifest)), model)


def test_two_files_of_a_dicom_slide_in_a_manifest_are_refused(real_data, tmp_path, model):
    for name in ("boxes_0.dcm", "boxes_1.dcm"):
        shutil.copy(real_data / "slides" / "openslide_python" / name, tmp_path)
    manifest = tmp_path / "m.csv"
    rows = "slide_id,he_path\na,boxes_0.dcm\nb,{}\ngone,none.dcm\n"
    manifest.write_text(rows.format("boxes_1.dcm"))
    with pytest.raises(ConfigurationError, match=r"a and b name the same H&E slide.* count twice"):
        nodes.plan_new_slides(PredictionParams(manifest=str(manifest)), model)
    manifest.write_text(rows.format("gone.dcm"))
    assert len(nodes.plan_new_slides(PredictionParams(manifest=str(manifest)), model)[0]) == 3


def test_a_slide_without_an_animal_is_not_taken_for_another_rows_animal(tmp_path, model):
    for name in "ab":
        save(tmp_path / f"{name}.png", section(64, 64))
    manifest = tmp_path / "m.csv"
    manifest.write_text("slide_id,he_path,he_mpp,animal_id\nm1,a.png,1,\nb,b.png,1,m1\n")
    with pytest.raises(ConfigurationError, match="slide m1 has no animal_id"):
        nodes.plan_new_slides(PredictionParams(manifest=str(manifest)), model)
    manifest.write_text("slide_id,he_path,he_mpp,animal_id\nm1,a.png,1,m1\nb,b.png,1,m1\n")
    assert len(nodes.plan_new_slides(PredictionParams(manifest=str(manifest)), model)[0]) == 2


def test_an_animal_whose_last_section_failed_has_no_sums(tmp_path, model):
    """Two of three sections are no smaller organ, and no gap tells that the last is missing."""
    rows = "slide_id,he_path,he_mpp,animal_id,group,section_index,section_spacing_um\n"
    for number in (1, 2, 3):
        rows += f"s{number},s{number}.png,1,m1,drug,{number},200\n"
        save(tmp_path / f"s{number}.png", section(192, 128))
    rows += "alone,s4.png,1,,,,\n"
    (tmp_path / "m.csv").write_text(rows)
    params = PredictionParams(manifest=str(tmp_path / "m.csv"), compute=CPU)
    plan, _ = nodes.plan_new_slides(params, model)
    tasks = nodes.open_new_slides(plan, params)
    new_slides = {name: Part(tasks[name]()) for name in ("s1", "s2")}
    regions = carried_out(nodes.predict_slides(new_slides, model, params))
    summaries = carried_out(nodes.summarise_slides(regions, new_slides, model, params))
    *_, animals, groups = nodes.gather_ratios(summaries, regions, plan, model)
    assert animals["animal_id"].tolist() == ["m1"]
    animal = animals.iloc[0]
    assert (animal["n_sections"], animal["n_undefined"]) == (3, 3)
    assert animal[["organ_mm2", "organ_mm3", "rich_share_of_organ"]].isna().all()
    assert animal["volume_reason"] == "a section has no organ or focus area"
    assert set(groups["n_animals"]) == {0}
    plan = tuple(each for each in plan if each.slide_id in summaries)
    *_, animals, _ = nodes.gather_ratios(summaries, regions, plan, model)
    assert animals.iloc[0]["organ_mm2"] > 0


def test_every_bad_row_of_a_manifest_is_named(tmp_path, model):
    manifest = tmp_path / "m.csv"
    manifest.write_text("slide_id,he_path,he_mpp\na,a.png,fine\nb,b.png,99\n")
    with pytest.raises(ManifestError, match=r"(?s)line 2 .*not a number.*line 3 .*not believable"):
        nodes.plan_new_slides(PredictionParams(manifest=str(manifest)), model)


def test_a_row_without_h_and_e_costs_that_slide_only(tmp_path):
    planned = PlannedPair("x", "x", None, tmp_path / "ihc.png", None, 0.5)
    with pytest.raises(SlideError, match="slide x: has no H&E slide"):
        nodes.open_new_slides((planned,), PredictionParams())["x"]()


def test_a_model_that_the_catalog_does_not_know_is_refused(model):
    with pytest.raises(ConfigurationError, match=r"other.* --params=prediction\.model"):
        nodes.plan_new_slides(PredictionParams(slide="a.svs", model="other"), model)
    with pytest.raises(ConfigurationError, match="the step lies between"):
        nodes.plan_new_slides(PredictionParams(slide="a.svs", step_px=65), model)


# --- the weights


@pytest.mark.parametrize("radius", [3, 5])
def test_the_planted_nuclear_area_is_recovered(radius):
    rgb = section(256, 256, radius=radius)
    planted = int((rgb[..., 0] < 120).sum())
    threshold = hematoxylin_threshold(rgb[None], 1.0)
    area = hematoxylin_area_um2(rgb, 1.0, threshold=threshold)
    assert area == pytest.approx(planted, rel=0.2)


def test_tissue_without_nuclei_has_no_nuclear_area():
    rgb = stained(np.random.default_rng(0).normal(0.3, 0.02, (128, 128)), np.zeros((128, 128)))
    threshold = hematoxylin_threshold(rgb[None], 1.0)
    assert hematoxylin_area_um2(rgb, 1.0, threshold=threshold) < 0.01 * rgb[..., 0].size
    assert hematoxylin_threshold(np.full((1, 8, 8, 3), 255, dtype=np.uint8), 1.0) == 0.15


# --- from a slide to the tables


def test_every_row_carries_its_stamps_and_no_interval(tmp_path, model, caplog):
    rgb = np.full((256, 320, 3), 246, dtype=np.uint8)
    rgb[:, :208] = section(208, 256)
    for name in ("one", "two"):
        save(tmp_path / f"{name}.png", rgb)
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "slide_id,he_path,he_mpp,species,organ\n"
        "one,one.png,1.0,human,testis\ntwo,two.png,1.0,mouse,\n"
    )
    params = PredictionParams(manifest=str(manifest), stain="H&E standard", compute=CPU)
    with caplog.at_level(logging.WARNING):
        regions, slides = run(params, model)
    assert slides["slide_id"].tolist() == ["one", "two"]
    for table in (regions, slides):
        assert set(table["stamp"]) == {f"{RESEARCH_USE} {SYNTHETIC_TRAINING}"}
        assert set(table["training_data"]) == {"phantom"}
        assert set(table["weight_source"]) == {"hematoxylin_area"}
        assert table[["lower", "upper"]].isna().all(axis=None)
        assert table["interval"].str.startswith("interval withheld: 0 calibration slides").all()
        assert str(tmp_path) not in table.to_csv()
    warnings = slides.set_index("slide_id")["domain_warning"]
    assert "species" not in warnings["one"]
    assert "how it looks cannot be judged" in warnings["one"]
    assert warnings["two"].startswith("species 'mouse' is not the training's (human); organ undecl")
    assert "species 'mouse'" in caplog.text
    assert SYNTHETIC_TRAINING in caplog.text

    own = regions[regions["slide_id"] == "one"]
    scored = own["tumor_ratio"].notna()
    assert (own.loc[scored, "reason"] == "").all()
    assert scored.sum() == 4 * 4  # 208 px: three full columns and one of a quarter
    assert own.loc[scored, "tumor_ratio"].between(0, 1).all()
    assert own.loc[scored, "tumor_ratio_calibrated"].between(0.1, 0.5).all()
    expected = np.average(own.loc[scored, "tumor_ratio"], weights=own.loc[scored, "nuclear_um2"])
    assert slides["tumor_ratio"][0] == pytest.approx(expected)


def test_a_calibrated_model_gives_intervals_areas_and_foci(tmp_path, model):
    path = save(
        tmp_path / "s.png",
        np.pad(section(512, 512), ((64, 64), (64, 64), (0, 0)), constant_values=246),
    )
    kind = {"species": "human", "organ": "testis", "stain": "H&E standard"}
    looks = slide_appearance(open_slide(path, slide_id="s", mpp=1.0))
    calibration = NewSlideCalibration(
        model=model.card["fingerprint"],
        approach="mine",
        stamps=(),
        slides=tuple("abcdefghijkl"),
        n_cases=12,
        n_regions=600,
        rank=12,
        region_quantile=1.0,
        slide_quantile=1.0,
        reason="",
        tau=0.2,
        tau_reason="",
        area_map=MonotoneMap((0.0, 1.0), (0.0, 1.0)),
        area_reason="",
        domain=TrainedDomain({name: [value] for name, value in kind.items()}, (looks,) * 6),
    )
    (model.folder / "calibration.json").write_text(json.dumps(calibration.to_record()))
    (model.folder / "card.json").write_text(json.dumps(model.card))
    params = PredictionParams(slide=str(path), mpp=1.0, compute=CPU, **kind)
    regions, slides, foci, curve, animals, groups = run_all(params, model)
    assert slides["domain_warning"].tolist() == [""]
    assert slides["interval"].tolist() == [""]
    scored = regions[regions["reason"] == ""]
    assert (scored["lower"] < scored["tumor_ratio_calibrated"]).all()
    assert (slides["tumor_ratio_calibrated"] < slides["upper"]).all()
    # An untrained network answers all alike, about 0.3: all tissue is rich, as one focus.
    assert slides["ki67_rich_area_mm2"][0] == pytest.approx(0.512**2, rel=0.1)
    assert foci["area_um2"].tolist() == [8 * 8 * 64**2]
    assert set(foci["stamp"]) == set(curve["stamp"]) == set(slides["stamp"])
    assert curve.set_index("tau")["ki67_rich_area_mm2"][1.0] == 0
    assert animals["focus_mm2"].tolist() == slides["focus_mm2"].tolist() == [8 * 8 * 64**2 / 1e6]
    assert animals["animal_id"].tolist() == ["s"]
    assert set(groups["stamp"]) == set(animals["stamp"]) == set(slides["stamp"])
    assert "focus_share_of_organ" in set(groups["measure"])
    undeclared = run_all(params.model_copy(update={"organ": ""}), model)[1]
    assert undeclared["interval"].tolist() == ["interval withheld: organ undeclared"]
    assert undeclared["upper"].isna().all()


def test_a_model_of_real_slides_has_no_synthetic_stamp(tmp_path):
    real = make_model(tmp_path / "model", kind="real")
    path = save(tmp_path / "s.png", section(128, 128))
    _, slides = run(PredictionParams(slide=str(path), mpp=1.0, compute=CPU), real)
    assert slides["stamp"].tolist() == [RESEARCH_USE]


def test_a_tumor_area_is_given_where_something_says_what_the_ratio_means(tmp_path):
    path = save(tmp_path / "s.png", section(128, 128))
    params = PredictionParams(slide=str(path), mpp=1.0, compute=CPU)
    of_marker = {
        meaning: make_model(tmp_path / meaning, meaning=meaning)
        for meaning in ("proliferation", "tumor")
    }
    _, slides = run(params, of_marker["proliferation"])
    assert slides["tumor_area_mm2"].isna().all()
    assert "marker of proliferation" in slides["tumor_area_reason"][0]
    known = {"tumor_labelling": "0.6 0.5 0.7", "other_labelling": "0.05 0 0.1"}
    given = PredictionParams(slide=str(path), mpp=1.0, compute=CPU, **known)
    for asked, model, l, b in (
        (given, of_marker["proliferation"], 0.6, 0.05),
        (params, of_marker["tumor"], 1.0, 0.0),
    ):
        row = run(asked, model)[1].iloc[0]
        share = (row["tissue_ratio"] - b) / (l - b)
        assert 0.1 < share < 0.9
        assert row["tumor_area_mm2"] == pytest.approx(share * row["scored_mm2"])
        assert row["tumor_area_reason"] == ""
        assert np.isfinite(row["tumor_area_upper_mm2"]) == (asked is given)
        ratio = row["tumor_ratio_calibrated"]
        assert row["tumor_nuclear_share"] == pytest.approx((ratio - b) / (l - b))


def test_regions_with_little_tissue_are_listed_without_a_ratio(tmp_path, model):
    path = save(tmp_path / "s.png", section(64 + 12, 64))
    params = PredictionParams(slide=str(path), mpp=1.0, min_tissue=0.5, compute=CPU)
    regions, slides = run(params, model)
    assert regions["reason"].tolist() == ["", "white"]
    assert np.isnan(regions["tumor_ratio"][1])
    assert slides[["n_regions", "n_left_out"]].iloc[0].tolist() == [1, 1]
    assert slides["left_out_white"][0] == pytest.approx(
        12 / 76, abs=0.06
    )  # an overview pixel is 8 um


def test_a_slide_that_is_too_coarse_for_the_model_is_refused(tmp_path, model):
    path = save(tmp_path / "s.png", section(256, 256))
    pair = SlidePair("s", "s", open_slide(path, slide_id="s", mpp=1.2), None)
    params = PredictionParams(slide=str(path), compute=CPU)
    task = nodes.predict_slides({"s": Part(pair.to_record())}, model, params)["s"]
    with pytest.raises(SlideError, match=r"slide s: is scanned at 1\.2 um/px, coarser than .* 1;"):
        task()


@pytest.mark.real
@pytest.mark.parametrize("mpp", [0.5, 1.0])
def test_the_aperio_slide_gets_a_ratio_for_every_tissue_region(real_data, tmp_path, mpp):
    path = real_data / "slides" / "openslide_cmu" / "cmu-1-small-region.svs"
    model = make_model(tmp_path / "model", mpp=mpp, side=128)
    regions, slides = run(PredictionParams(slide=str(path), compute=CPU), model)
    assert slides["slide_id"].tolist() == ["cmu-1-small-region"]
    assert slides["n_regions"][0] >= 0.3 * 2220 * 2967 * 0.499**2 / (128 * mpp) ** 2
    scored = regions[regions["reason"] == ""]
    assert scored["tumor_ratio"].between(0, 1).all()
    assert scored["nuclear_um2"].gt(0).mean() > 0.9
    assert 0.01 < slides["nuclear_mm2"][0] / slides["scored_mm2"][0] < 0.5
    assert slides["domain_warning"][0].startswith("species undeclared; organ undeclared")


def test_the_page_names_no_file_of_the_plan(tmp_path, model):
    save(tmp_path / "good.png", section(192, 128))
    failed = tmp_path / "anna; meier.odd"
    good = PlannedPair("good", "good", tmp_path / "good.png", None, 1.0)
    plan = (good, PlannedPair("m1", "m1", failed, None))
    params = PredictionParams(allowed_root=str(tmp_path), compute=CPU)
    new_slides = {"good": Part(nodes.open_new_slides(plan, params)["good"]())}
    regions = carried_out(nodes.predict_slides(new_slides, model, params))
    summaries = carried_out(nodes.summarise_slides(regions, new_slides, model, params))
    *_, animals, groups = nodes.gather_ratios(summaries, regions, plan, model)
    failures = pd.DataFrame(
        {
            "slide_id": ["m1", "m1"],
            "step": ["open_new_slides"] * 2,
            "message": [f"{failed}: the file is empty", f"{failed.name}: not in {tmp_path}, the x"],
        }
    )
    skipped = pd.DataFrame({"file": ["anna.txt"], "reason": ["no slide"]})
    given = (summaries, animals, groups, failures, plan)
    page = nodes.write_cohort_page(*given, skipped, params)
    assert "Passed over: 1 file of the folder; skipped_files.csv says why" in page
    assert "Passed over" not in nodes.write_cohort_page(*given, skipped.head(0), params)
    assert "(file): the file is empty" in page
    assert "(file): not in (file), the x" in page
    assert "meier" not in page


# --- what the model's card and the options ask for


def turned(patch: np.ndarray) -> list[np.ndarray]:
    views = [np.rot90(patch, k) for k in range(4)]
    return [np.ascontiguousarray(v) for view in views for v in (view, view[:, ::-1])]


def test_a_model_with_context_sees_what_lies_around_each_region(tmp_path):
    plain = make_model(tmp_path / "plain")
    wide = make_model(tmp_path / "wide", context=2.0)
    rng = np.random.default_rng(0)
    rgb = section(192, 192).astype(int) + rng.integers(-20, 20, (192, 192, 3))
    rgb[:, 64:128] = section(64, 192, radius=6)
    path = save(tmp_path / "s.png", rgb.clip(0, 255).astype(np.uint8))
    params = PredictionParams(slide=str(path), mpp=1.0, compute=CPU)
    (narrow, _), (wider, _) = run(params, plain), run(params, wide)
    slide = open_slide(path, slide_id="s", mpp=1.0)
    seen = np.stack(
        [
            slide.read(x - 32, y - 32, 64, 2.0)
            for x, y in zip(wider["x_px"], wider["y_px"], strict=True)
        ]
    )
    expected = load_regressor(wide.folder, ComputeOptions(**CPU)).predict(seen).clip(0, 1)
    np.testing.assert_allclose(wider["tumor_ratio"], expected, atol=1e-6)
    assert (wider["tumor_ratio"] - narrow["tumor_ratio"]).abs().max() > 1e-3
    pd.testing.assert_series_equal(wider["nuclear_um2"], narrow["nuclear_um2"])


def test_flips_and_members_answer_by_their_mean(tmp_path):
    model = make_model(tmp_path / "m", members=2)
    rng = np.random.default_rng(0)
    noisy = section(64, 64) // 2 + rng.integers(0, 90, (64, 64, 3))
    path = save(tmp_path / "s.png", noisy.astype(np.uint8))
    params = PredictionParams(slide=str(path), mpp=1.0, flips="dihedral", compute=CPU)
    regions, _ = run(params, model)
    of_each = []
    for seed in (0, 1):
        single = make_model(tmp_path / str(seed), seed=seed)
        alone = load_regressor(single.folder, ComputeOptions(**CPU))
        of_each.append(alone.predict(np.stack(turned(noisy.astype(np.uint8)))))
    np.testing.assert_allclose(regions["tumor_ratio"][0], np.mean(of_each), atol=1e-6)
    assert np.ptp(of_each) > 1e-4


# --- the pipeline


def test_the_pipeline_needs_a_model_and_its_parameters_only():
    pipeline = create_pipeline()
    assert pipeline.inputs() == {"prediction_model", "params:prediction", "prediction_failures"}
    assert pipeline.outputs() == {
        "region_ratios",
        "slide_ratios",
        "focus_table",
        "rich_area_curve",
        "prediction_page",
    }
