"""The pixel forests on small phantoms: from strokes, from projects, by a stand-in for ilastik."""

import dataclasses
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from safetensors import safe_open

from tumor_ratio.approaches import tail
from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.fingerprint import fingerprint
from tumor_ratio.datasets.new_slide_calibration import NewSlideCalibrationDataset
from tumor_ratio.datasets.prediction_model import NoSuchModelError, PredictionModelDataset
from tumor_ratio.datasets.slide_model import SlideModelDataset
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError, SlideError
from tumor_ratio.hooks.approaches import check_approaches
from tumor_ratio.ilastik.project import Label
from tumor_ratio.ilastik.project_reading import read_project
from tumor_ratio.ilastik.project_writing import LabelledTile, write_project
from tumor_ratio.imaging.appearance import slide_appearance
from tumor_ratio.imaging.regions import Region, iter_regions, regions_of, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.inference.calibration_areas import area_tasks
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.predict_slide import predict_regions
from tumor_ratio.inference.region_model import Reading
from tumor_ratio.inference.slide_model import load_slide_model
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom
from tumor_ratio.phantom.strokes import CLASSES
from tumor_ratio.phantom.truth import truth_nuclei
from tumor_ratio.pipelines.baseline_ilastik import create_pipeline, figures, nodes
from tumor_ratio.pipelines.baseline_ilastik.estimation import mapped_predictions
from tumor_ratio.pipelines.baseline_ilastik.params import IlastikParams
from tumor_ratio.pipelines.baseline_ilastik.placing import neighbouring_patches
from tumor_ratio.reporting.stamps import CIRCULAR, SYNTHETIC_TRAINING
from tumor_ratio.schemas import Predictions, RatioLabels, Strokes

MPP, SIDE_UM, PATCH = 1.0, 320, 64
FINER = 2
"""Patches are cut at half the pixel size at which they are classified."""
BURDENS = (0.8, 0.5, 0.3, 0.6)
SPLITS = ("train", "train", "validation", "test")
PARAMS = {
    "mpp": MPP,
    "strokes": {"tiles": 4, "tile_px": 160, "per_class": 8},
    "forest": {"trees": 30},
    "training_patches": 9,
    "min_nuclei_um2": 60,
}


def params(**changes) -> IlastikParams:
    return IlastikParams(**{**PARAMS, **changes})


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Cohort, tiles, patches, pair_quality, folds and labels by the truth."""
    folder = tmp_path_factory.mktemp("phantoms")
    options = PhantomParams(n_slides=4, width_um=SIDE_UM, height_um=SIDE_UM, mpp=MPP, seed=11)
    pairs, tiles, patches, labels = [], [], [], []
    for number, plan in enumerate(plan_phantom(options)):
        plan = dataclasses.replace(plan, burden=BURDENS[number], tumor_labelling=0.7)
        made = render_pair(plan, folder)
        he = open_slide(made.he_path, slide_id=plan.slide_id, mpp=MPP)
        ihc = open_slide(made.ihc_path, slide_id=plan.slide_id, mpp=MPP)
        pairs.append(
            SlidePair(plan.slide_id, plan.slide_id, he, ihc, made.transform, "phantom",
                      truth_dir=made.truth_dir)
        )  # fmt: skip
        tile = Region(plan.slide_id, "", "tile", 0, 0, SIDE_UM, MPP)
        own = [
            Region(plan.slide_id, tile.region_id, "patch", x, y, FINER * PATCH, MPP / FINER)
            for y in range(0, SIDE_UM - PATCH + 1, PATCH)
            for x in range(0, SIDE_UM - PATCH + 1, PATCH)
        ]
        tiles.append(tile)
        patches += own
        truth = truth_nuclei(made.truth_dir, "ihc")
        labels.append(region_ratios(regions_table(own), truth, MPP, min_nuclei=5))
    tile_table = regions_table(tiles)
    return {
        "cohort": Cohort(tuple(pairs), "phantom"),
        "tiles": tile_table,
        "patches": regions_table(patches),
        "pair_quality": pd.DataFrame({"region_id": tile_table["region_id"], "kept": True}),
        "ratio_labels": RatioLabels.validate(pd.concat(labels, ignore_index=True)),
        "folds": pd.DataFrame(
            {
                "protocol": "holdout",
                "repeat": 0,
                "fold": 0,
                "slide_id": [pair.slide_id for pair in pairs],
                "case_id": [pair.slide_id for pair in pairs],
                "split": SPLITS,
            }
        ),
    }


class Part:
    """A finished slide's result."""

    def __init__(self, table):
        self.table = table

    def load(self):
        return self.table


def trained(task: partial, folder: Path) -> ModelRef:
    folder.mkdir(parents=True, exist_ok=True)
    return ModelRef(folder, {**task(folder=folder), "fingerprint": "x"})


def classified(tasks) -> dict:
    return {slide_id: Part(task()) for slide_id, task in tasks.items()}


def run(material, options: IlastikParams, folder: Path) -> dict:
    """What the pipeline's datasets would hold."""
    m = material
    strokes = nodes.draw_strokes(m["cohort"], m["tiles"], m["pair_quality"], m["folds"], options)
    he, ihc = (
        trained(train(m["cohort"], strokes, options), folder / name)
        for name, train in (("he", nodes.train_he_forest), ("ihc", nodes.train_ihc_forest))
    )
    chosen = nodes.choose_regions(m["patches"], m["pair_quality"], m["folds"], options)
    he_classes = classified(nodes.classify_he(m["cohort"], chosen, he, options))
    ihc_classes = classified(nodes.classify_ihc(m["cohort"], chosen, ihc, options))
    ihc_ratios = nodes.measure_ihc(ihc_classes, ihc, options)
    predictions, shares, maps, account = nodes.estimate_he(
        he_classes, chosen, m["ratio_labels"], m["folds"], he, options
    )
    agreement = nodes.compare_sections(
        chosen, m["pair_quality"], shares, ihc_ratios, predictions, m["ratio_labels"], m["folds"],
        he, options,
    )  # fmt: skip
    return {
        "strokes": strokes, "he": he, "ihc": ihc, "chosen": chosen, "he_classes": he_classes,
        "ihc_classes": ihc_classes, "ihc_ratios": ihc_ratios, "predictions": predictions,
        "shares": shares, "maps": maps, "agreement": agreement,
        "account": account,
    }  # fmt: skip


@pytest.fixture(scope="module")
def found(material, tmp_path_factory):
    return run(material, params(), tmp_path_factory.mktemp("models"))


def test_strokes_lie_on_training_slides_only(found, material):
    drawn = found["strokes"]
    assert set(drawn["slide_id"]) == set(material["folds"]["slide_id"][:2])
    places = drawn.groupby("section")[["slide_id", "x_px", "y_px"]].nunique()
    assert (places["x_px"] == 4).all()
    inside = drawn[["x_px", "y_px"]].to_numpy() + drawn[["column", "row"]].to_numpy()
    assert (inside < SIDE_UM).all()


def test_a_forest_says_what_it_is_of(found):
    card = found["he"].card
    assert card["label_names"] == list(CLASSES["he"])
    assert (card["counted"], card["others"]) == (["tumor nucleus"], ["other nucleus"])
    assert card["training_data"] == "phantom"
    assert card["labels_from"] == "strokes on 4 phantom tiles"
    assert min(card["labelled_pixels"].values()) > 20
    assert sum(card["feature_importance"].values()) == pytest.approx(1)


def test_the_strokes_are_a_project_that_can_be_opened(found):
    project = read_project(found["ihc"].folder / "labels.ilp")
    assert project.label_names == CLASSES["ihc"]
    drawn = sum(np.count_nonzero(lane.read_labels()) for lane in project.lanes)
    own = found["strokes"].query("section == 'ihc'")
    assert drawn == len(own)
    assert project.lanes[0].read_image().shape == (160, 160, 3)


def test_few_patches_of_training_slides_and_all_others(found, material):
    counts = found["chosen"]["slide_id"].value_counts()
    n_all = len(regions_of(material["patches"], material["folds"]["slide_id"][0]))
    assert [counts[slide] for slide in material["folds"]["slide_id"]] == [9, 9, n_all, n_all]


@pytest.mark.parametrize("seed", range(6))
def test_a_training_slides_patches_lie_side_by_side(seed):
    """Nine around any patch that is not at the border: three by three."""
    grid = [
        Region("s", "", "patch", x, y, 10, 1.0) for y in range(0, 90, 10) for x in range(0, 90, 10)
    ]
    table = regions_table(grid).sample(frac=1, random_state=seed)  # in no order
    rng, same = np.random.default_rng(seed), np.random.default_rng(seed)
    middle = table.iloc[same.integers(len(table))][["x_px", "y_px"]].to_numpy(dtype=int)
    chosen = neighbouring_patches(table, 9, rng)[["x_px", "y_px"]].to_numpy()
    assert len(chosen) == 9
    every = table[["x_px", "y_px"]].to_numpy()
    ninth = np.sort(np.abs(every - middle).max(axis=1))[8]
    assert np.abs(chosen - middle).max() == ninth


def test_areas_of_the_classes_fill_every_region(found):
    for part in (*found["he_classes"].values(), *found["ihc_classes"].values()):
        sums = part.load().groupby("region_id")["area_um2"].sum()
        assert np.allclose(sums, PATCH**2 * MPP**2)
    assert len(found["he_classes"]) == 4
    assert len(found["ihc_classes"]) == 4


def test_ki67_by_classes_agrees_with_the_truth(found, material):
    truth = material["ratio_labels"].set_index("region_id")["tumor_ratio"]
    ratios = found["ihc_ratios"].set_index("region_id")["tumor_ratio"]
    both = pd.concat([truth, ratios], axis=1, keys=["true", "found"]).dropna()
    assert len(both) > 20
    of_constant = (both["true"] - both["true"].median()).abs().mean()
    assert (both["found"] - both["true"]).abs().mean() < 0.75 * of_constant
    assert both.corr().loc["true", "found"] > 0.7
    assert (found["ihc_ratios"]["label_method"] == "ilastik").all()


def test_predictions_are_of_validation_and_test_slides(found, material):
    table = Predictions.validate(found["predictions"])
    slides = table["region_id"].str.split("_x").str[0].unique()
    assert set(slides) == set(material["folds"]["slide_id"][2:])
    assert (table["approach"] == "ilastik").all()
    assert {"train", "validation"} < set(found["maps"])
    defined = table.dropna(subset=["tumor_ratio"])
    assert defined["tumor_ratio"].between(0, 1).all()
    assert len(defined) > 20


def test_the_studys_table_is_of_test_slides(found, material):
    table = found["agreement"]
    assert table["estimate"].unique().tolist() == [nodes.SHARE, nodes.MAPPED, nodes.IHC]
    test = regions_of(material["patches"], material["folds"]["slide_id"][3])["region_id"]
    for reference, ratios in (
        (nodes.IHC, found["ihc_ratios"]),
        (nodes.NUCLEI, material["ratio_labels"]),
    ):
        known = ratios.set_index("region_id")["tumor_ratio"].reindex(test).dropna()
        own = table[(table["unit"] == "patch") & (table["against"] == reference)]
        assert (own["n_regions"] + own["n_undefined"] == len(known)).all()
        training = found["chosen"][
            found["chosen"]["slide_id"].isin(material["folds"]["slide_id"][:2])
        ]["region_id"]
        median = ratios.set_index("region_id")["tumor_ratio"].reindex(training).median()
        # Of the constant, on the patches where the estimate is defined: all of Ki-67's, on nuclei.
        if reference == nodes.NUCLEI:
            of_ihc = found["ihc_ratios"].set_index("region_id")["tumor_ratio"].reindex(known.index)
            expected = (known[of_ihc.notna()] - median).abs().mean()
            assert own.set_index("estimate")["mae_of_median"][nodes.IHC] == pytest.approx(expected)


def test_the_table_counts_what_the_slides_say(found, material):
    """H&E by hand: the mean error of the mapped share on the test slide."""
    test = regions_of(material["patches"], material["folds"]["slide_id"][3])["region_id"]
    mapped = found["predictions"].set_index("region_id")["tumor_ratio"].reindex(test)
    truth = material["ratio_labels"].set_index("region_id")["tumor_ratio"].reindex(test)
    row = found["agreement"].set_index(["unit", "estimate", "against"]).loc["patch"]
    expected = (mapped - truth).abs().mean()
    assert row.loc[(nodes.MAPPED, nodes.NUCLEI), "mae"] == pytest.approx(expected)


def test_pictures_show_what_the_tables_say(found, material, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "draw_gallery", lambda examples, stamps: drawn.extend(examples))
    figures.show_examples(
        material["cohort"], found["chosen"], material["ratio_labels"], material["folds"],
        found["he"], found["ihc"], params(min_nuclei_um2=0),
    )  # fmt: skip
    assert [example.title for example in drawn] == [material["folds"]["slide_id"][3]] * 3
    tables = {"he": (found["shares"], "ratio"), "ihc": (found["ihc_ratios"], "tumor_ratio")}
    for section, (table, column) in tables.items():
        known = table[column].dropna().to_numpy()
        for example in drawn:
            tile = getattr(example, section)
            assert tile.rgb.shape == (PATCH, PATCH, 3)
            assert np.abs(known - tile.ratio).min() < 1e-6
            assert (tile.counted >= 0.33)[tile.classes == 2].all()


def texts(figure: Figure) -> str:
    parts = [text.get_text() for text in figure.texts]
    return " ".join(" ".join([*parts, figure.get_supxlabel()]).split())


def test_every_output_says_that_it_is_synthetic(found, material):
    pictures = [
        figures.show_examples(
            material["cohort"], found["chosen"], material["ratio_labels"], material["folds"],
            found["he"], found["ihc"], params(),
        ),
        figures.show_importance(found["he"], found["ihc"]),
        figures.show_distributions(
            found["chosen"], found["shares"], found["ihc_ratios"], found["predictions"],
            material["ratio_labels"], material["folds"], found["he"], found["ihc"], params(),
        ),
    ]  # fmt: skip
    assert [len(picture.axes) for picture in pictures] == [18, 2, 4]
    for picture in pictures:
        assert SYNTHETIC_TRAINING in texts(picture)
    for model in (found["he"], found["ihc"]):
        assert SYNTHETIC_TRAINING in model.card["stamps"]
        with safe_open(model.folder / "forest.safetensors", framework="numpy") as file:
            assert SYNTHETIC_TRAINING in file.metadata()["stamps"]
        project = read_project(model.folder / "labels.ilp")
        assert all(lane.nickname.startswith("synthetic ") for lane in project.lanes)
    assert SYNTHETIC_TRAINING in found["maps"]["stamps"]
    assert {SYNTHETIC_TRAINING, CIRCULAR} < set(found["agreement"].attrs["stamp"])


def test_without_labels_nothing_is_estimated_and_the_reason_is_kept(material, tmp_path):
    real = {
        **material,
        "cohort": Cohort(
            tuple(
                dataclasses.replace(pair, truth_dir=None, data_kind="real")
                for pair in material["cohort"]
            ),
            "manifest",
        ),
    }  # fmt: skip
    out = run(real, params(), tmp_path)
    assert "no ilastik project is named; set ilastik.he.project" in out["he"].card["missing"]
    assert out["strokes"].empty
    assert out["predictions"].empty
    assert set(out["maps"]) == {"stamps"}
    assert "no ilastik project is named" in out["account"]["reason"]
    assert (out["agreement"]["n_regions"] == 0).all() or out["agreement"].empty
    pictures = figures.show_examples(
        real["cohort"], out["chosen"], real["ratio_labels"], real["folds"], out["he"], out["ihc"],
        params(),
    )  # fmt: skip
    assert out["he"].card["missing"] in texts(pictures)
    assert pictures.axes == []


@pytest.fixture
def project(found, material, tmp_path):
    """A user's project of H&E: the same strokes under other names."""
    labels = np.zeros((160, 160), np.uint8)
    own = found["strokes"].query("section == 'he'")
    tile = own[(own["x_px"] == own["x_px"].iloc[0]) & (own["y_px"] == own["y_px"].iloc[0])]
    first = tile.iloc[0]
    rgb = material["cohort"][first["slide_id"]].read_he_at(first["x_px"], first["y_px"], 160, MPP)
    labels[tile["row"], tile["column"]] = tile["label"]
    names = [Label(name, (9, 9, 9)) for name in ("glass", "normal", "cancer")]
    path = tmp_path / "mine.ilp"
    write_project(path, [LabelledTile("a", labels=labels, pixels=rgb)], names)
    return path


def test_a_users_project_brings_its_own_labels(material, project, tmp_path):
    options = params(he={"project": str(project), "counted": ["cancer"], "others": ["normal"]})
    strokes = nodes.draw_strokes(
        material["cohort"], material["tiles"], material["pair_quality"], material["folds"], options
    )
    assert set(strokes["section"]) == {"ihc"}
    task = nodes.train_he_forest(material["cohort"], strokes, options)
    model = trained(task, tmp_path / "model")
    assert model.card["label_names"] == ["glass", "normal", "cancer"]
    assert model.card["labels_from"] == "the labels of mine.ilp"
    assert model.card["training_data"] == "phantom"  # as the ratios that its shares are mapped to
    own = regions_of(material["patches"], material["folds"]["slide_id"][3])
    areas = classified(nodes.classify_he(material["cohort"], own, model, options))
    table = next(iter(areas.values())).load()
    assert set(table["class_name"]) == {"glass", "normal", "cancer"}


@pytest.mark.parametrize(
    ("he", "message"),
    [
        (
            {"counted": ["tumour"], "others": ["normal"]},
            "no label named tumour: its labels are glass",
        ),
        (
            {"project": "nowhere.ilp", "counted": ["cancer"], "others": ["normal"]},
            "there is no ilastik",
        ),
    ],
)
def test_what_a_project_does_not_have_is_said(material, project, tmp_path, he, message):
    named = {"project": str(project), "counted": ["cancer"], "others": ["normal"]}
    options = params(he={**named, **he})
    with pytest.raises(ConfigurationError, match=message):
        trained(
            nodes.train_he_forest(material["cohort"], Strokes.empty(), options),
            tmp_path / "model",
        )


def test_a_label_means_one_thing():
    with pytest.raises(ValueError, match="none in both"):
        params(he={"counted": ["a"], "others": ["a"]})
    with pytest.raises(ValueError, match="at least one label each"):
        params(he={"counted": ["a"], "others": []})


def test_strokes_stay_synthetic_in_whatever_project_they_get_into(found, material, tmp_path):
    """Whose name is given as a project of one's own, on a cohort without phantoms."""
    options = params(
        he={
            "project": str(found["he"].folder / "labels.ilp"),
            "counted": ["tumor nucleus"],
            "others": ["other nucleus"],
        }
    )
    real = Cohort(
        tuple(
            dataclasses.replace(pair, truth_dir=None, data_kind="real")
            for pair in material["cohort"]
        ),
        "manifest",
    )
    model = trained(nodes.train_he_forest(real, Strokes.empty(), options), tmp_path / "model")
    assert model.card["training_data"] == "phantom"
    assert model.card["labels_from"] == "the labels of labels.ilp"
    assert model.card["background"] == ["background"]


PLAYED = """
    import json, sys, h5py, numpy as np
    told = dict(word[2:].partition("=")[::2] for word in sys.argv[1:])
    assert "readonly" in told and "retrain" not in told, sys.argv  # ilastik refuses both together
    file, _, inner = told["raw_data"].rpartition("/")
    with h5py.File(file) as stream:
        image, tags = stream[inner][()], stream[inner].attrs["axistags"]
    dark = (image.mean(axis=2) < 128).astype("f4")
    with h5py.File(told["output_filename_format"], "w") as stream:
        stream["exported_data"] = np.stack([1 - dark, 0 * dark, dark], axis=2)
        stream["exported_data"].attrs["axistags"] = tags
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "run_ilastik.sh"
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(PLAYED)}")
    path.chmod(0o755)
    return path


def dark_areas(material, tasks, name):
    """Areas of a class beside those of the dark pixels, region by region."""
    pair = material["cohort"].pairs[3]
    table = tasks[pair.slide_id]().set_index(["region_id", "class_name"])["area_um2"]
    own = regions_of(material["patches"], pair.slide_id).iloc[:4]
    dark = [
        (pair.read_he_at(row.x_px, row.y_px, PATCH, MPP).mean(axis=2) < 128).sum() * MPP**2
        for row in own.itertuples()
    ]
    return [table[region, name] for region in own["region_id"]], dark


def test_ilastik_itself_classifies_where_it_is_named(found, material, program):
    options = params(executable=str(program))
    own = regions_of(material["patches"], material["cohort"].pairs[3].slide_id).iloc[:4]
    tasks = nodes.classify_he(material["cohort"], own, found["he"], options)
    counted, dark = dark_areas(material, tasks, "tumor nucleus")
    assert counted == dark


def test_ilastik_itself_classifies_with_a_users_project(material, project, program, tmp_path):
    he = {"project": str(project), "counted": ["cancer"], "others": ["normal"]}
    options = params(executable=str(program), he=he)
    model = trained(
        nodes.train_he_forest(material["cohort"], Strokes.empty(), options), tmp_path / "model"
    )
    assert model.card["architecture"] == "ilastik itself"
    assert not (model.folder / "forest.safetensors").exists()
    own = regions_of(material["patches"], material["cohort"].pairs[3].slide_id).iloc[:4]
    tasks = nodes.classify_he(material["cohort"], own, model, options)
    counted, dark = dark_areas(material, tasks, "cancer")
    assert counted == dark
    again = params(executable=str(program), he={**he, "retrain": True})
    with pytest.raises(ConfigurationError, match="train it in ilastik, or leave"):
        trained(nodes.train_he_forest(material["cohort"], Strokes.empty(), again), tmp_path / "n")


def test_results_depend_on_the_program_and_not_on_its_limits(found, material, program):
    own = regions_of(material["patches"], material["cohort"].pairs[3].slide_id).iloc[:4]

    def key(**options):
        tasks = nodes.classify_he(material["cohort"], own, found["he"], params(**options))
        return fingerprint(next(iter(tasks.values())), Path("/"))

    built_in, first = key(), key(executable=str(program))
    assert built_in == key(timeout_s=5) != first
    assert first == key(executable=str(program), timeout_s=5, ram_mb=100)
    program.write_text(program.read_text() + "# another version\n")
    assert first != key(executable=str(program))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"executable": "/nowhere/ilastik"}, "no program that can be run"),
        ({"he": {"project": "no.ilp", "counted": ["a"], "others": ["b"]}}, "no ilastik project"),
    ],
)
def test_what_is_missing_is_told_before_anything_runs(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        check_approaches({"params:ilastik": params(**changes)}, Path())
    check_approaches({"params:ilastik": params(), "params:other": 3}, Path())


def test_a_project_of_grey_images_or_unclear_labels_is_refused(material, tmp_path):
    labels = np.zeros((64, 64), np.uint8)
    labels[:8], labels[20:28] = 1, 2
    for names, channels, message in (
        (("a", "b"), 1, "takes images of 1 channel"),
        (("a", "b", "b"), 3, "labels of equal names"),
    ):
        pixels = np.random.default_rng(0).integers(0, 255, (64, 64, channels), dtype=np.uint8)
        path = tmp_path / f"{channels}.ilp"
        write_project(
            path,
            [LabelledTile("t", labels=labels, pixels=pixels)],
            [Label(name, (9, 9, 9)) for name in names],
        )
        options = params(he={"project": str(path), "counted": ["a"], "others": ["b"]})
        with pytest.raises(ConfigurationError, match=message):
            trained(
                nodes.train_he_forest(material["cohort"], Strokes.empty(), options),
                tmp_path / "model",
            )


def test_misspelt_methods_and_protocols_are_told(material):
    m, missing = material, ModelRef(Path(), {"missing": "no labels", "training_data": "real"})
    with pytest.raises(ConfigurationError, match=r"set ilastik\.protocol to one of: holdout"):
        nodes.draw_strokes(
            m["cohort"], m["tiles"], m["pair_quality"], m["folds"], params(protocol="x")
        )
    with pytest.raises(ConfigurationError, match=r"set ilastik\.label_method to one of: nucleus"):
        nodes.estimate_he(
            {}, m["patches"], m["ratio_labels"], m["folds"], missing, params(label_method="nuclei")
        )


def test_stains_may_have_pixel_sizes_of_their_own(material, tmp_path):
    """Half the pixel size on Ki-67: its tiles are half as wide, and so is what is classified."""
    m, ihc = material, {"counted": ["positive nucleus"], "others": ["negative nucleus"]}
    options = params(ihc={**ihc, "mpp": MPP / 2})
    drawn = nodes.draw_strokes(m["cohort"], m["tiles"], m["pair_quality"], m["folds"], options)
    assert drawn.groupby("section")["mpp"].unique().str[0].to_dict() == {"he": MPP, "ihc": MPP / 2}
    model = trained(nodes.train_ihc_forest(m["cohort"], drawn, options), tmp_path / "ihc")
    assert model.card["mpp"] == MPP / 2
    own = regions_of(m["patches"], m["cohort"].pairs[3].slide_id).iloc[:2]
    table = classified(nodes.classify_ihc(m["cohort"], own, model, options))
    sums = next(iter(table.values())).load().groupby("region_id")["area_um2"].sum()
    assert np.allclose(sums, PATCH**2 * MPP**2)


def test_strokes_need_only_the_section_they_are_drawn_on(material):
    m = material
    only = Cohort(tuple(dataclasses.replace(pair, he=None) for pair in m["cohort"]), "phantom")
    drawn = nodes.draw_strokes(only, m["tiles"], m["pair_quality"], m["folds"], params())
    assert set(drawn["section"]) == {"ihc"}


def shares_of(ids, slides, ratios):
    """Class shares of regions that are full of nuclei."""
    ratios = np.array(ratios)
    areas = {"counted_um2": 1e4 * ratios, "nuclei_um2": 1e4}
    return pd.DataFrame({"region_id": ids, "slide_id": slides, "ratio": ratios, **areas})


def test_maps_are_fitted_on_training_slides_and_calibrated_on_validation_slides(material):
    folds = material["folds"]
    ids = [f"r{index}" for index in range(8)]
    slides = np.repeat(folds["slide_id"].to_numpy(), 2)
    shares = shares_of(ids, slides, [0.2, 0.4, 0.6, 0.8, 0.3, 0.7, 0.5, np.nan])
    labels = pd.DataFrame(
        {
            "region_id": ids,
            "tumor_ratio": [0.1, 0.2, 0.3, 0.4, 0.3, 0.5, 0.9, 0.9],
            "weight": 1.0,
        }
    )
    table, maps = mapped_predictions(shares, labels, folds, "holdout")
    assert table["region_id"].tolist() == ids[4:]
    # Half the share on training slides; validation slides are 0.15 above that.
    assert table["tumor_ratio"].tolist()[:3] == pytest.approx([0.15, 0.35, 0.25])
    assert table["tumor_ratio_calibrated"].tolist()[:3] == pytest.approx([0.3, 0.5, 0.4])
    # No share: the median of the training slides' labels.
    assert table["tumor_ratio"].iloc[3] == pytest.approx(0.25)
    assert maps["answered_with_the_median"] == 1
    assert maps["training_median"] == pytest.approx(0.25)


def test_validation_slides_count_alike_in_the_second_map():
    """One has three heavy regions labelled 0.3 above the answer, the other a light one on it."""
    slides = ["t1", "t2", "v1", "v1", "v1", "v2"]
    folds = pd.DataFrame(
        {
            "protocol": "holdout", "repeat": 0, "fold": 0, "slide_id": ["t1", "t2", "v1", "v2"],
            "case_id": ["t1", "t2", "v1", "v2"],
            "split": ["train", "train", "validation", "validation"],
        }
    )  # fmt: skip
    ids = [f"r{index}" for index in range(6)]
    shares = shares_of(ids, slides, [0.2, 0.8, *[0.5] * 4])
    labels = pd.DataFrame(
        {
            "region_id": ids,
            "tumor_ratio": [0.2, 0.8, 0.8, 0.8, 0.8, 0.5],
            "weight": [1.0, 1.0, 50.0, 50.0, 50.0, 1.0],
        }
    )
    table, _ = mapped_predictions(shares, labels, folds, "holdout")
    assert table["tumor_ratio"].tolist() == pytest.approx([0.5] * 4)
    assert table["tumor_ratio_calibrated"].tolist() == pytest.approx([0.65] * 4)


# --- new slides


def for_new_slides(material, found, options=None, folder=None, **changes):
    """The task that puts a model together, from what the pipeline's datasets hold."""
    inputs = {"he_forest": found["he"], "share_maps": found["maps"], **changes}
    return nodes.assemble_model(
        material["cohort"], material["patches"], material["folds"], **inputs,
        params=options or params(),
    )  # fmt: skip


def test_a_new_slide_is_answered_as_the_approach_was_evaluated(material, found, tmp_path):
    models = SlideModelDataset(str(tmp_path / "ilastik_slides"), "baseline_ilastik")
    models.save(for_new_slides(material, found))
    appearance = Part(slide_appearance(material["cohort"].pairs[0].he).to_record())
    calibration = tail.calibrate_for_new_slides(
        **{name: material[name] for name in ("cohort", "patches", "ratio_labels", "folds")},
        predictions=found["predictions"],
        calibration_areas=classified(
            area_tasks(material["cohort"], material["patches"], material["folds"])
        ),
        slide_appearance={pair.slide_id: appearance for pair in material["cohort"]},
        model=models.load(),
    )
    NewSlideCalibrationDataset(str(tmp_path / "ilastik_slides")).save(calibration)

    served = PredictionModelDataset(str(tmp_path / "ilastik")).load()
    stored = NewSlideCalibration.read(served.folder)
    assert stored == calibration
    assert stored.slides == (material["cohort"].pairs[3].slide_id,)  # the test slide
    assert stored.reason == "1 calibration slides, fewer than 9"
    assert len(stored.domain.appearances) == 2
    assert 0 < stored.tau < 1

    model = load_slide_model(served.folder)
    assert (model.size_px, model.mpp, model.seen_mpp) == (FINER * PATCH, MPP / FINER, MPP)
    slide = material["cohort"].pairs[3].he
    regions = list(iter_regions(regions_of(material["patches"], slide.slide_id)))[::-1]
    told = []
    answers = model.answer(slide, regions, Reading(4, 2, told.append))
    predicted = found["predictions"].set_index("region_id").loc[[r.region_id for r in regions]]
    np.testing.assert_allclose(answers.raw, predicted["tumor_ratio"], atol=1e-12)
    np.testing.assert_allclose(
        model.monotone.apply(answers.raw), predicted["tumor_ratio_calibrated"], atol=1e-12
    )
    assert answers.raw.std() > 0.01
    assert told[-1] == len(regions)
    assert answers.problem is None

    coarse = dataclasses.replace(slide, mpp=1.2)
    with pytest.raises(SlideError, match=r"scanned at 1\.2 um/px, coarser than the model's 0\.5"):
        predict_regions(coarse, model, None, None)
    with pytest.raises(ConfigurationError, match="ilastik does not answer flipped regions"):
        load_slide_model(served.folder, flips="dihedral")


def test_regions_without_nuclei_get_the_training_median_as_in_evaluation(
    material, found, tmp_path, caplog
):
    models = SlideModelDataset(str(tmp_path / "ilastik_slides"), "baseline_ilastik")
    models.save(for_new_slides(material, found, params(min_nuclei_um2=1e6)))
    model = load_slide_model(models.load().folder)
    slide = material["cohort"].pairs[3].he
    regions = list(iter_regions(regions_of(material["patches"], slide.slide_id)))[:3]
    with caplog.at_level("WARNING"):
        answers = model.answer(slide, regions, Reading(4, 1, lambda _: None))
    assert answers.raw.tolist() == [found["maps"]["training_median"]] * 3
    assert answers.by_median.tolist() == [True] * 3
    assert "3 of 3 regions show too few nuclei" in caplog.text


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({}, {"executable": "/opt/ilastik"}, "leave ilastik.executable empty"),
        ({"share_maps": {}}, {}, "no training slide has both"),
        ({"share_maps": {"train": {}}}, {}, "no validation slide has both"),
        ({"he_forest": "missing"}, {}, "no labels"),
    ],
)
def test_why_new_slides_cannot_be_answered_is_said_before_one_is_opened(
    material, found, tmp_path, changes, options, reason
):
    if "he_forest" in changes:
        card = {"missing": "no labels", "training_data": "real", "fingerprint": "y"}
        changes = {"he_forest": ModelRef(tmp_path, card)}
    models = SlideModelDataset(str(tmp_path / "ilastik_slides"), "baseline_ilastik")
    models.save(for_new_slides(material, found, params(**options), **changes))
    with pytest.raises(NoSuchModelError, match=f"ilastik cannot answer new slides: .*{reason}"):
        PredictionModelDataset(str(tmp_path / "ilastik")).load()
    with pytest.raises(NoSuchModelError, match=reason):
        PredictionModelDataset(str(tmp_path), model=str(models.load().folder)).load()


def test_other_maps_make_another_model(material, found):
    one = fingerprint(for_new_slides(material, found), Path("/"))
    changed = {**found["maps"], "training_median": 0.123}
    assert fingerprint(for_new_slides(material, found), Path("/")) == one
    assert fingerprint(for_new_slides(material, found, share_maps=changed), Path("/")) != one


def test_the_pipeline_is_the_approachs_namespace():
    pipeline = create_pipeline()
    assert "ilastik.predictions" in pipeline.all_outputs()
    assert all("approach.ilastik" in node.tags for node in pipeline.nodes)
