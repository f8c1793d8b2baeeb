"""The CycleGAN on small phantoms: squares, training, virtual slides, predictions, load sizes."""

import dataclasses
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
import tifffile
import torch
from matplotlib.figure import Figure

from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.fingerprint import fingerprint
from tumor_ratio.datasets.prediction_model import NoSuchModelError, PredictionModelDataset
from tumor_ratio.datasets.slide_model import SlideModelDataset
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError, ModelUnavailableError, SlideError
from tumor_ratio.imaging.regions import Region, iter_regions, regions_of, regions_table
from tumor_ratio.imaging.slide import Slide, open_slide
from tumor_ratio.inference.approaches.virtual_stain_model import tissue_squares
from tumor_ratio.inference.region_model import Reading
from tumor_ratio.inference.slide_model import load_slide_model
from tumor_ratio.inference.virtual_slide import tissue_crops
from tumor_ratio.labelling.params import NucleiModelParams, RatioLabelParams, SegmentationParams
from tumor_ratio.labelling.segmentation import segment_slide
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.models.cyclegan.checkpoint_files import (
    checkpoint_path,
    load_generator,
    write_network,
)
from tumor_ratio.models.cyclegan.networks import CycleGan
from tumor_ratio.models.cyclegan.options import BlockOptions, NetworkOptions
from tumor_ratio.models.cyclegan.translation import translate
from tumor_ratio.models.devices import ComputeOptions, resolve_compute
from tumor_ratio.models.segmenter import locate_segmenter
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom
from tumor_ratio.pipelines.gan_translation import (
    create_load_size_pipeline,
    create_pipeline,
    figures,
    load_sizes,
    nodes,
)
from tumor_ratio.pipelines.gan_translation.estimation import account_of, calibrated_predictions
from tumor_ratio.pipelines.gan_translation.params import CycleGanParams, GanLearningParams
from tumor_ratio.pipelines.gan_translation.slide_steps import measure_translation
from tumor_ratio.pipelines.gan_translation.squares import draw_evenly, most_labelled_tiles
from tumor_ratio.pipelines.gan_translation.validation_ratios import (
    HeldOutTile,
    TranslatedRatios,
    ratio_figures,
)
from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_STAIN, SYNTHETIC_TRAINING
from tumor_ratio.reporting.synthetic_mark import PAPER
from tumor_ratio.schemas import (
    LoadSizeScores,
    Predictions,
    RatioLabels,
    TranslationScores,
    TranslationSquares,
)

MPP, SIDE_UM, PATCH = 0.5, 256, 64
SPLITS = ("train", "train", "validation", "test")
NUCLEI, SEGMENTATION = NucleiModelParams(), SegmentationParams()
RATIOS = RatioLabelParams(min_nuclei=5)
GAN = {
    "networks": {"netG": "resnet_6blocks", "ngf": 4, "ndf": 4},
    "images": {"preprocess": "crop", "crop_size": 48},
    "n_epochs": 2,
    "n_epochs_decay": 0,
    "compute": {"threads": 1, "precision": "float32"},
}
PARAMS = {
    "squares": {"size_px": 64, "mpp": 1.0, "step_px": 32, "number": 5},
    "validation_tiles": 1,
    "gan": GAN,
    "mask_cell_um": 64.0,
    "test_tiles": 1,
    "translation": {"threads": 1, "precision": "float32"},
}


def params(folder: Path | str = "unused", **changes) -> CycleGanParams:
    return CycleGanParams(**{**PARAMS, "folder": str(folder), **changes})


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Cohort, tiles, patches, quality, folds, nuclei and labels."""
    folder = tmp_path_factory.mktemp("phantoms")
    options = PhantomParams(n_slides=4, width_um=SIDE_UM, height_um=SIDE_UM, mpp=MPP, seed=3)
    model = locate_segmenter(NUCLEI.choice)
    pairs, tiles, patches, labels = [], [], [], []
    nuclei: dict[str, dict] = {"he": {}, "ihc": {}}
    for plan in plan_phantom(options):
        plan = dataclasses.replace(plan, burden=0.6, tumor_labelling=0.6)
        made = render_pair(plan, folder)
        he = open_slide(made.he_path, slide_id=plan.slide_id, mpp=MPP)
        ihc = open_slide(made.ihc_path, slide_id=plan.slide_id, mpp=MPP)
        pair = SlidePair(plan.slide_id, plan.slide_id, he, ihc, made.transform, "phantom")
        tile = Region(plan.slide_id, "", "tile", 0, 0, SIDE_UM, 1.0)
        own = regions_table(
            Region(plan.slide_id, tile.region_id, "patch", x, y, PATCH, 1.0)
            for y in range(0, 2 * (SIDE_UM - PATCH) + 1, 2 * PATCH)
            for x in range(0, 2 * (SIDE_UM - PATCH) + 1, 2 * PATCH)
        )
        for section, found in nuclei.items():
            table = segment_slide(pair, regions_table([tile]), section, model, SEGMENTATION)
            found[plan.slide_id] = Part(table)
        regions = pd.concat([regions_table([tile]), own], ignore_index=True)
        labels.append(
            region_ratios(regions, nuclei["ihc"][plan.slide_id].load(), MPP, min_nuclei=5)
        )
        pairs.append(pair)
        tiles.append(tile)
        patches.append(own)
    tile_table = regions_table(tiles)
    slide_ids = [pair.slide_id for pair in pairs]
    return {
        "cohort": Cohort(tuple(pairs), "phantom"),
        "tiles": tile_table,
        "patches": pd.concat(patches, ignore_index=True),
        "pair_quality": pd.DataFrame({"region_id": tile_table["region_id"], "kept": True}),
        "ihc_nuclei": nuclei["ihc"],
        "he_nuclei": nuclei["he"],
        "ratio_labels": RatioLabels.validate(pd.concat(labels, ignore_index=True)),
        "folds": pd.DataFrame(
            {
                "protocol": "holdout",
                "repeat": 0,
                "fold": 0,
                "slide_id": slide_ids,
                "case_id": slide_ids,
                "split": SPLITS,
            }
        ),
    }


class Part:
    """A finished slide's result."""

    sha256 = "0"

    def __init__(self, value):
        self.value = value

    def load(self):
        return self.value

    def __fingerprint__(self):
        return self.sha256


def pick(material, *names):
    return {name: material[name] for name in names}


def squares_of(material, options):
    names = ("cohort", "tiles", "patches", "pair_quality", "ihc_nuclei", "ratio_labels", "folds")
    return nodes.choose_squares(**pick(material, *names), params=options)


def training_of(material, options):
    return nodes.train(
        **pick(material, "cohort", "patches", "pair_quality", "ratio_labels"),
        squares=squares_of(material, options),
        nuclei_model=NUCLEI,
        segmentation=SEGMENTATION,
        ratio_params=RATIOS,
        params=options,
    )


def trained(task: partial, folder: Path) -> ModelRef:
    folder.mkdir(parents=True, exist_ok=True)
    return ModelRef(folder, {**task(folder=folder), "fingerprint": "0123456789abcdef01"})


@pytest.fixture(scope="module")
def finished(material, tmp_path_factory):
    """Everything that the pipeline makes, node by node."""
    folder = tmp_path_factory.mktemp("gan")
    options = params(folder / "virtual")
    epochs: list[tuple[int, dict]] = []
    task = training_of(material, options)
    model_folder = folder / "model"
    model_folder.mkdir()
    card = task(folder=model_folder, on_epoch=lambda m, e: epochs.append((e, m)))
    model = ModelRef(model_folder, {**card, "fingerprint": "0123456789abcdef01"})
    slides = nodes.translate(
        **pick(material, "cohort", "tiles", "patches", "folds"), model=model, params=options
    )
    virtual_slides = {name: Part(each()) for name, each in slides.items()}
    tasks = nodes.measure(
        **pick(material, "cohort", "tiles", "patches"),
        virtual_slides=virtual_slides,
        nuclei_model=NUCLEI,
        segmentation=SEGMENTATION,
    )
    virtual_nuclei = {name: Part(each()) for name, each in tasks.items()}
    ratios, predictions, calibration, account = nodes.estimate(
        **pick(material, "cohort", "patches", "pair_quality", "ratio_labels", "folds"),
        virtual_nuclei=virtual_nuclei,
        model=model,
        ratio_params=RATIOS,
        params=options,
    )
    scores, metrics = nodes.score(
        **material,
        virtual_slides=virtual_slides,
        virtual_nuclei=virtual_nuclei,
        virtual_ratios=ratios,
        model=model,
        params=options,
    )
    return {
        "options": options,
        "model": model,
        "epochs": epochs,
        "virtual_slides": virtual_slides,
        "virtual_nuclei": virtual_nuclei,
        "ratios": ratios,
        "predictions": predictions,
        "calibration": calibration,
        "account": account,
        "scores": scores,
        "metrics": metrics,
    }


def test_squares_lie_on_training_slides_and_tiles_on_validation_slides(material):
    squares = TranslationSquares.validate(squares_of(material, params()))
    split = dict(zip(material["folds"]["slide_id"], material["folds"]["split"], strict=True))
    assert (squares["slide_id"].map(split) == squares["split"]).all()
    train = squares[squares["split"] == "train"]
    assert len(train) == 5
    assert set(train["size_px"]) == {64}
    assert train["tumor_ratio"].notna().all()
    held_out = squares[squares["split"] == "validation"]
    assert set(held_out["kind"]) == {"tile"}


def test_squares_are_drawn_alike_for_a_seed_and_otherwise_for_another(material):
    first, again = (squares_of(material, params()) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    other = squares_of(material, params(squares={**PARAMS["squares"], "seed": 1}))
    assert set(first["region_id"]) != set(other["region_id"])


def test_bins_of_the_ratio_are_drawn_from_evenly():
    ratios = np.concatenate([np.full(90, 0.01), np.full(6, 0.1), np.full(4, 0.5)])
    drawn = draw_evenly(ratios, (0.05, 0.3), 15, np.random.default_rng(0))
    assert len(set(drawn.tolist())) == 15
    counts = np.bincount(np.digitize(ratios[drawn], (0.05, 0.3)))
    assert counts.tolist() == [6, 5, 4] or counts.tolist() == [5, 6, 4]
    assert len(draw_evenly(ratios, (), 200, np.random.default_rng(0))) == 100


def test_tiles_come_in_turn_from_every_slide():
    labelled = pd.DataFrame(
        {
            "slide_id": ["a"] * 9 + ["b"] * 2,
            "tile_id": ["a1"] * 4 + ["a2"] * 5 + ["b1"] * 2,
        }
    )
    assert most_labelled_tiles(labelled, 1) == ["a2"]
    assert most_labelled_tiles(labelled, 2) == ["a2", "b1"]
    assert most_labelled_tiles(labelled, 9) == ["a1", "a2", "b1"]


def test_no_training_slide_and_too_large_squares_are_errors(material):
    with pytest.raises(ConfigurationError, match="no slide trains by the protocol 'cv'"):
        squares_of(material, params(protocol="cv"))
    with pytest.raises(ConfigurationError, match=r"reduce cyclegan\.squares\.size_px"):
        squares_of(material, params(squares={**PARAMS["squares"], "size_px": 400}))
    with pytest.raises(ConfigurationError, match=r"lower cyclegan\.mask_cell_um"):
        squares_of(material, params(mask_cell_um=400))
    with pytest.raises(ConfigurationError, match="need three cases"):
        squares_of({**material, "folds": material["folds"].iloc[:0]}, params())
    with pytest.raises(ConfigurationError, match="no ratio label is of the method 'otsu'"):
        squares_of(material, params(label_method="otsu"))


def test_impossible_parameters_are_refused():
    with pytest.raises(ValueError, match="only AtoB has a use"):
        params(gan={**GAN, "direction": "BtoA"})
    with pytest.raises(ValueError, match="nothing is left to crop from"):
        params(gan={**GAN, "images": {"preprocess": "crop", "crop_size": 128}})
    with pytest.raises(ValueError, match="ratio_edges increase"):
        params(squares={"ratio_edges": [0.3, 0.1]})


def test_the_networks_see_the_pixel_size_that_squares_are_resized_to():
    options = params()
    assert options.mpp == 1.0
    assert options.at_load_size(64).mpp == 1.0
    coarser = options.at_load_size(32)
    assert coarser.mpp == 2.0
    assert coarser.gan.images.crop_size == 32
    assert coarser.gan.stain_cell_px == options.gan.stain_cell_px // 2
    assert type(coarser) is GanLearningParams


def test_load_sizes_are_a_list_or_numbers_with_spaces_between():
    assert params(load_sizes=[32, 64]).load_sizes == (32, 64)
    assert params(load_sizes="32 64").load_sizes == (32, 64)
    for wrong in ("32,64", [0], "large"):
        with pytest.raises(ValueError, match="load_sizes"):
            params(load_sizes=wrong)


def test_the_training_tells_of_every_epoch_and_keeps_networks_and_panels(finished):
    model = finished["model"]
    assert [epoch for epoch, _ in finished["epochs"]] == [1, 2]
    names = set(finished["epochs"][0][1])
    assert {"train_G_A", "train_cycle_A", "val_ratio_error", "val_spearman"} <= names
    files = {path.name for path in model.folder.iterdir()}
    assert {f"latest_net_{name}.pth" for name in ("G_A", "G_B", "D_A", "D_B")} <= files
    assert sorted(path.name for path in (model.folder / "panel").iterdir()) == [
        f"epoch_0001 {SYNTHETIC_STAIN}.png",
        f"epoch_0002 {SYNTHETIC_STAIN}.png",
    ]
    assert not (model.folder / "checkpoints").exists()
    assert model.card["training_data"] == "phantom"
    assert SYNTHETIC_TRAINING in model.card["stamps"]
    errors = [metrics["val_ratio_error"] for _, metrics in finished["epochs"]]
    assert model.card["best_epoch"] == int(np.argmin(errors)) + 1


def test_a_killed_training_ends_with_the_same_weights(material, finished, tmp_path):
    class Killed(BaseException):
        pass

    def kill(metrics, epoch):
        raise Killed

    task = training_of(material, finished["options"])
    with pytest.raises(Killed):
        task(folder=tmp_path, on_epoch=kill)
    card = task(folder=tmp_path)
    assert card["best_epoch"] == finished["model"].card["best_epoch"]
    for name in ("G_A", "G_B", "D_A", "D_B"):
        path = checkpoint_path(tmp_path, name)
        whole = checkpoint_path(finished["model"].folder, name)
        assert load_bytes(path) == load_bytes(whole)


def load_bytes(path):
    state = torch.load(path, weights_only=True)
    return {name: value.numpy().tobytes() for name, value in state.items()}


def test_virtual_slides_are_marked_and_lie_over_their_he_slides(material, finished):
    held_out = material["folds"].loc[material["folds"]["split"] != "train", "slide_id"]
    assert set(finished["virtual_slides"]) == set(held_out)
    for slide_id, part in finished["virtual_slides"].items():
        record = part.load()
        (path,) = map(Path, record["products"])
        assert SYNTHETIC_STAIN in path.name
        he, virtual = material["cohort"][slide_id].he, Slide.from_record(record["slide"])
        assert (virtual.width_um, virtual.height_um) == (he.width_um, he.height_um)
        with openslide.OpenSlide(path) as opened:
            assert float(opened.properties["openslide.mpp-x"]) == pytest.approx(1.0)
            text = opened.properties["tiff.ImageDescription"]
            assert opened.dimensions[1] > virtual.height_px
        assert text.startswith(SYNTHETIC_STAIN)
        assert RESEARCH_USE in text
        assert SYNTHETIC_TRAINING in text
        band = tifffile.imread(path)[virtual.height_px + 20 :]
        assert (np.abs(band.astype(int) - PAPER).max(axis=2) < 40).mean() > 0.4


def test_a_virtual_slide_is_the_translation_of_its_he_slide(material, finished):
    slide_id, part = next(iter(finished["virtual_slides"].items()))
    virtual = Slide.from_record(part.load()["slide"])
    he = material["cohort"][slide_id].he
    generator = load_generator(checkpoint_path(finished["model"].folder, "G_A"))
    expected = translate(
        generator,
        he.read(0, 0, (virtual.width_px, virtual.height_px), 1.0),
        resolve_compute(ComputeOptions(threads=1, precision="float32")),
    )
    stored = virtual.read(0, 0, (virtual.width_px, virtual.height_px), 1.0)
    # Untrained networks paint a pattern of single pixels, which a JPEG does not keep.
    coarse = [
        image.reshape(side // 8, 8, side // 8, 8, 3).mean(axis=(1, 3))
        for image, side in ((stored, SIDE_UM), (expected, SIDE_UM))
    ]
    assert np.abs(coarse[0] - coarse[1]).mean() < 2


def test_predictions_cover_the_patches_of_held_out_slides(material, finished):
    predictions = Predictions.validate(finished["predictions"])
    held_out = material["patches"]["slide_id"].isin(finished["virtual_slides"])
    assert set(predictions["region_id"]) == set(material["patches"].loc[held_out, "region_id"])
    assert predictions["tumor_ratio"].notna().all()
    assert predictions["tumor_ratio_calibrated"].between(0, 1).all()
    assert set(finished["ratios"]["label_method"]) == {"virtual"}
    assert finished["account"]["reason"] == ""
    assert SYNTHETIC_TRAINING in finished["calibration"]["stamps"]


def test_scores_are_of_test_slides(material, finished):
    scores = TranslationScores.validate(finished["scores"])
    test = material["folds"].loc[material["folds"]["split"] == "test", "slide_id"]
    assert list(scores["slide_id"]) == list(test)
    assert scores.attrs["stamp"][0] == RESEARCH_USE
    assert all(np.isfinite(value) for value in finished["metrics"].values())


def test_a_translation_that_is_the_real_section_scores_well(material, finished):
    """The next section's nuclei in place of the translation's: masks agree, nuclei do not."""
    copied = {slide_id: material["ihc_nuclei"][slide_id] for slide_id in finished["virtual_nuclei"]}
    scores, metrics = nodes.score(
        **material,
        virtual_slides=finished["virtual_slides"],
        virtual_nuclei=copied,
        virtual_ratios=material["ratio_labels"],
        model=finished["model"],
        params=finished["options"],
    )
    assert scores["mask_dice"].min() == pytest.approx(1)
    assert scores["mask_dice_even"].max() < 1
    assert scores["nuclei_f1"].max() < 0.9
    assert metrics["translation_spearman"] == pytest.approx(1)


class Same(torch.nn.Module):
    """A generator that gives back what it is shown."""

    multiple_px, least_px = 4, 4

    def forward(self, images):
        return images


def test_ratios_of_a_perfect_translation_are_those_of_the_tile_s_own_place(material):
    """The next section in place of the H&E pixels: its ratios come out, region by region."""
    pair = material["cohort"].pairs[0]
    tile = Region(pair.slide_id, "", "tile", 128, 128, 192, 1.0)
    own = material["patches"].merge(material["ratio_labels"].dropna(), on="region_id")
    own = own[(own["slide_id"] == pair.slide_id) & (own["x_px"] >= 128) & (own["y_px"] >= 128)]
    held_out = HeldOutTile(pair, tile, pair.read_ihc_at(128, 128, 192, 1.0), own)
    measuring = nodes.measuring_of(NUCLEI, SEGMENTATION, RATIOS)
    compute = resolve_compute(ComputeOptions(threads=1, precision="float32"))
    found = TranslatedRatios([held_out], 1.0, measuring, compute).ratios(Same())
    assert len(found) == len(own) >= 4
    assert own["tumor_ratio"].std() > 0.05, "alike regions would show no wrong place"
    assert np.abs(found - own["tumor_ratio"]).mean() < 0.05


def test_nuclei_of_a_virtual_slide_lie_where_they_are_on_the_he_slide(material):
    """The H&E slide as its own translation: the pair's transform has no part in it."""
    pair = material["cohort"].pairs[0]
    assert not pair.transform.is_identity
    virtual = Part({"slide": pair.he.to_record()})
    tiles = material["tiles"].head(1)
    model = locate_segmenter(NUCLEI.choice)
    nuclei = measure_translation(pair, virtual, tiles, model, SEGMENTATION)
    assert len(nuclei) > 20
    np.testing.assert_allclose(nuclei["x_he_px"], nuclei["x_px"])
    np.testing.assert_allclose(nuclei["y_he_px"], nuclei["y_px"])


def test_undefined_ratios_are_answered_with_the_training_median(material):
    own = material["patches"].merge(material["ratio_labels"], on="region_id")
    virtual = own[["region_id", "slide_id", "tumor_ratio"]].copy()
    virtual.loc[virtual.index[::2], "tumor_ratio"] = np.nan
    table, record = calibrated_predictions(virtual, own, material["folds"], "holdout")
    training = own["slide_id"].isin(material["folds"]["slide_id"][:2])
    assert record["training_median"] == own.loc[training, "tumor_ratio"].median()
    assert record["answered_with_the_median"] == virtual["tumor_ratio"].isna().sum()
    undefined = virtual["tumor_ratio"].isna().to_numpy()
    assert (table.loc[undefined, "tumor_ratio"] == record["training_median"]).all()


def test_without_a_translated_slide_the_account_says_why():
    card = {"supervision": "squares"}
    assert account_of(card, 0)["reason"]
    assert account_of(card, 1)["reason"] == ""


def test_the_epochs_error_is_blind_to_monotone_maps_and_counts_undefined_regions():
    measured = np.linspace(0.05, 0.6, 20)
    slides = np.repeat(["a", "b"], 10)
    good = ratio_figures(measured**2 / 3, measured, slides)
    assert good["val_ratio_error"] == pytest.approx(0, abs=1e-12)
    assert good["val_spearman"] == pytest.approx(1)
    assert good["val_mae_raw"] > 0.1
    none = ratio_figures(np.full(20, np.nan), measured, slides)
    assert none["val_undefined"] == 1
    assert none["val_spearman"] == 0
    constant = ratio_figures(np.full(20, 0.2), measured, slides)
    assert constant["val_ratio_error"] == pytest.approx(none["val_ratio_error"])


def test_a_generator_trained_elsewhere_is_taken_over(material, tmp_path):
    gan = CycleGan(NetworkOptions(netG="resnet_6blocks", ngf=4, ndf=4), seed=1)
    write_network(gan.G_A, tmp_path / "latest_net_G_A.pth")
    options = params(checkpoint=str(tmp_path / "latest_net_G_A.pth"))
    model = trained(training_of(material, options), tmp_path / "model")
    assert "elsewhere" in model.card["supervision"]
    assert model.card["training_data"] == "phantom", "an unknown origin never passes as real"
    assert model.card["domain"]["species"] == []
    real = params(checkpoint=options.checkpoint, given_data="real")
    assert trained(training_of(material, real), tmp_path / "r").card["training_data"] == "real"
    again = load_generator(checkpoint_path(model.folder, "G_A"))
    assert again.state_dict().keys() == gan.G_A.state_dict().keys()
    first = fingerprint(training_of(material, options), tmp_path)
    write_network(CycleGan(NetworkOptions(ngf=4, ndf=4), seed=2).G_A, Path(options.checkpoint))
    assert fingerprint(training_of(material, options), tmp_path) != first


def test_a_foreign_checkpoint_is_refused(material, tmp_path):
    path = tmp_path / "latest_net_G_A.pth"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ModelUnavailableError, match=r"cyclegan\.checkpoint"):
        training_of(material, params(checkpoint=str(path)))(folder=tmp_path)


def test_without_a_training_no_square_is_needed(material):
    dropped = {**material, "pair_quality": material["pair_quality"].assign(kept=False)}
    with pytest.raises(ConfigurationError, match="training slide has a square"):
        squares_of(dropped, params())
    assert squares_of(dropped, params(checkpoint="latest_net_G_A.pth")).empty


def test_what_is_measured_follows_the_pixels_of_a_translation(material, finished, tmp_path):
    """Other blocks give other pixels, which the record must tell: nuclei depend on it."""
    slide_id = next(iter(finished["virtual_slides"]))
    changed = params(tmp_path, blocks={"block_px": 64, "overlap_px": 0})
    tasks = nodes.translate(
        **pick(material, "cohort", "tiles", "patches", "folds"),
        model=finished["model"],
        params=changed,
    )
    first = finished["virtual_slides"][slide_id].load()
    assert tasks[slide_id]()["sha256"] != first["sha256"]


def test_statistics_are_measured_on_tissue(material):
    pair = material["cohort"].pairs[0]
    tile = regions_table([Region(pair.slide_id, "", "tile", 128, 256, 64, 1.0)])
    crops = tissue_crops(pair.he, tile, 1.0, BlockOptions(crop_px=64), 4)
    assert np.array_equal(crops[0], pair.he.read(128, 256, 64, 1.0))
    many = tissue_crops(pair.he, material["tiles"].head(1), 1.0, BlockOptions(crop_px=64), 4)
    assert many.shape == (16, 64, 64, 3)
    few = tissue_crops(
        pair.he, material["tiles"].head(1), 1.0, BlockOptions(crop_px=64, crops_mpx=0.01), 4
    )
    assert len(few) == 2
    assert tissue_crops(pair.he, tile.iloc[:0], 1.0, BlockOptions(), 4) is None


def test_a_slide_that_is_gone_costs_its_own_translation_only(material, finished, tmp_path):
    cohort = material["cohort"]
    broken = [
        dataclasses.replace(pair, he=dataclasses.replace(pair.he, path=tmp_path / "gone.tif"))
        if pair.slide_id == cohort.pairs[-1].slide_id
        else pair
        for pair in cohort
    ]
    tasks = nodes.translate(
        **{
            **pick(material, "tiles", "patches", "folds"),
            "cohort": Cohort(tuple(broken), "phantom"),
        },
        model=finished["model"],
        params=params(tmp_path / "virtual"),
    )
    with pytest.raises(SlideError, match="no longer there"):
        tasks[cohort.pairs[-1].slide_id]()
    tasks[cohort.pairs[-2].slide_id]()
    written = [path.name for path in (tmp_path / "virtual").iterdir()]
    assert written == [f"{cohort.pairs[-2].slide_id} {SYNTHETIC_STAIN}.tif"]


def test_the_gallery_shows_test_slides_and_says_so_where_there_are_none(material, finished):
    names = ("cohort", "tiles", "pair_quality", "ihc_nuclei", "ratio_labels", "folds")
    figure = figures.show_translations(
        **pick(material, *names),
        virtual_slides=finished["virtual_slides"],
        virtual_nuclei=finished["virtual_nuclei"],
        model=finished["model"],
        params=finished["options"],
    )
    assert isinstance(figure, Figure)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    test_slide = material["folds"]["slide_id"].iloc[-1]
    assert titles[:2] == [f"{test_slide}: H&E", "virtual Ki-67"]
    assert len(titles) == 5
    assert "SYNTHETIC IMAGES" in figure.get_supxlabel()
    empty = figures.show_translations(
        **pick(material, *names),
        virtual_slides={},
        virtual_nuclei={},
        model=finished["model"],
        params=finished["options"],
    )
    said = " ".join(text.get_text() for text in empty.texts)
    assert "no translated" in " ".join(said.split())


def test_load_sizes_are_trained_once_and_scored_side_by_side(material, finished, tmp_path):
    options = params(load_sizes=[32, 64], gan={**GAN, "n_epochs": 1})
    names = ("cohort", "tiles", "patches", "pair_quality", "ratio_labels", "folds")
    task = load_sizes.compare(
        **pick(material, *names),
        squares=squares_of(material, options),
        nuclei_model=NUCLEI,
        segmentation=SEGMENTATION,
        ratio_params=RATIOS,
        params=options,
    )
    told: list[int] = []
    card = task(folder=tmp_path, on_epoch=lambda metrics, epoch: told.append(epoch))
    assert told == [1, 2]
    again = task(folder=tmp_path, on_epoch=lambda metrics, epoch: told.append(epoch))
    assert told == [1, 2], "finished load sizes are not trained again"
    pd.testing.assert_frame_equal(pd.DataFrame(again["scores"]), pd.DataFrame(card["scores"]))
    table, metrics = load_sizes.tabulate(ModelRef(tmp_path, {**card, "fingerprint": "x"}))
    assert list(LoadSizeScores.validate(table)["mpp"]) == [2.0, 1.0]
    assert set(metrics) == {"cyclegan_load_32", "cyclegan_load_64"}
    assert set(metrics["cyclegan_load_32"]) >= {"mae_raw", "mae_calibrated", "seconds"}


def test_no_load_size_is_an_error(material):
    with pytest.raises(ConfigurationError, match=r"set cyclegan\.load_sizes"):
        load_sizes.compare(
            **pick(material, "cohort", "tiles", "patches", "pair_quality", "ratio_labels", "folds"),
            squares=pd.DataFrame(),
            nuclei_model=NUCLEI,
            segmentation=SEGMENTATION,
            ratio_params=RATIOS,
            params=params(),
        )


# --- new slides


def for_new_slides(material, finished, **changes):
    inputs = {"calibration": finished["calibration"], **changes}
    return nodes.assemble_model(
        **pick(material, "cohort", "tiles", "patches", "folds"),
        **inputs,
        model=finished["model"],
        nuclei_model=NUCLEI,
        segmentation=SEGMENTATION,
        ratio_params=RATIOS,
        params=finished["options"],
    )


def test_a_new_slide_is_answered_as_the_approach_was_evaluated(material, finished, tmp_path):
    models = SlideModelDataset(str(tmp_path / "cyclegan_slides"), "gan_translation")
    models.save(for_new_slides(material, finished))
    served = PredictionModelDataset(str(tmp_path / "cyclegan")).load()
    moved = tmp_path / "elsewhere"
    shutil.move(served.folder, moved)  # it needs nothing that lay beside it
    model = load_slide_model(moved, ComputeOptions(precision="float32", threads=1))
    slide = material["cohort"].pairs[3].he
    regions = list(iter_regions(regions_of(material["patches"], slide.slide_id)))[::-1]
    answers = model.answer(slide, regions, Reading(4, 2, lambda _: None))
    predicted = finished["predictions"].set_index("region_id").loc[[r.region_id for r in regions]]
    np.testing.assert_allclose(answers.raw, predicted["tumor_ratio"], atol=1e-12)
    np.testing.assert_allclose(
        model.monotone.apply(answers.raw), predicted["tumor_ratio_calibrated"], atol=1e-12
    )
    assert len(regions) == 16
    assert np.isfinite(answers.nuclear_um2).all()
    assert SYNTHETIC_TRAINING in served.card["stamps"]
    assert served.card["slides"]["train"] == [p.slide_id for p in material["cohort"]][:2]


def test_without_a_map_no_new_slide_is_answered(material, finished, tmp_path):
    models = SlideModelDataset(str(tmp_path / "cyclegan_slides"), "gan_translation")
    for changes, reason in (
        ({"calibration": {}}, "to calibrate by"),
        ({"training_median": float("nan")}, "to answer by where no nuclei show"),
    ):
        models.save(
            for_new_slides(material, finished, calibration={**finished["calibration"], **changes})
        )
        with pytest.raises(NoSuchModelError, match=f"cyclegan cannot answer .*{reason}"):
            PredictionModelDataset(str(tmp_path / "cyclegan")).load()
    with pytest.raises(NotMadeYetError, match="--pipelines=gan_translation"):
        PredictionModelDataset(str(tmp_path / "other" / "cyclegan")).load()


def test_statistics_of_a_new_slide_come_from_squares_that_are_half_tissue(material):
    slide = material["cohort"].pairs[3].he
    regions = regions_table(
        Region(slide.slide_id, "", "tile", x, y, 64, 1.0)
        for x, y in ((0, 0), (0, 128), (64, 64), (384, 384), (384, 448))
    )
    squares = tissue_squares(slide, regions, 128.0)
    assert squares[["x_px", "y_px"]].to_numpy().tolist() == [[0, 0]]  # 256 px; over half
    assert (squares["size_px"] * squares["mpp"]).tolist() == [128.0]
    pd.testing.assert_frame_equal(tissue_squares(slide, regions.tail(1), 128.0), regions.tail(1))


def test_nodes_carry_the_approach():
    for pipeline, approach in (
        (create_pipeline(), "cyclegan"),
        (create_load_size_pipeline(), "cyclegan_load_sizes"),
    ):
        assert all(f"approach.{approach}" in node.tags for node in pipeline.nodes)
        assert all(name.startswith("cyclegan.") for name in pipeline.all_outputs())
