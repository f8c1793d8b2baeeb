"""Tiles of small phantoms in the reference's folders: the right ones, whole, of use there."""

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from PIL import Image

from tumor_ratio.atomic import file_stem
from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.errors import NotMadeYetError
from tumor_ratio.datasets.unpaired_tiles import UnpairedTilesDataset
from tumor_ratio.errors import ConfigurationError, SlideError, TumorRatioError
from tumor_ratio.imaging.regions import Region, iter_regions, regions_of, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.unpaired_folders import ABOUT, FOLDERS
from tumor_ratio.models.cyclegan.cyclegan_fit import fit_cyclegan
from tumor_ratio.models.cyclegan.options import (
    CycleGanOptions,
    NetworkOptions,
    PreprocessOptions,
)
from tumor_ratio.phantom.pair import render_pair
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.phantom.plan import plan_phantom
from tumor_ratio.pipelines.gan_export import create_pipeline, nodes
from tumor_ratio.pipelines.gan_export.held_out import held_out_squares
from tumor_ratio.pipelines.gan_export.params import GanExportParams
from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_IMAGES, SYNTHETIC_TRAINING
from tumor_ratio.schemas import TranslationSquares

MPP, SIDE_UM, SQUARE = 1.0, 300, 64
SPLITS = ("train", "train", "validation", "test")
TRAINING = 3
"""Squares of each training slide."""


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Inputs of the node by name."""
    folder = tmp_path_factory.mktemp("phantoms")
    options = PhantomParams(n_slides=4, width_um=SIDE_UM, height_um=SIDE_UM, mpp=MPP, seed=3)
    pairs, tiles, squares = [], [], []
    for plan, split in zip(plan_phantom(options), SPLITS, strict=True):
        made = render_pair(plan, folder)
        he, ihc = (
            open_slide(path, slide_id=plan.slide_id, mpp=MPP)
            for path in (made.he_path, made.ihc_path)
        )
        pairs.append(SlidePair(plan.slide_id, plan.slide_id, he, ihc, made.transform, "phantom"))
        # As at a slide's edge: the second tile overlaps the first; the third is not kept.
        own = [
            Region(plan.slide_id, "", "tile", x, y, 160, MPP)
            for x, y in ((0, 0), (140, 0), (0, 140))
        ]
        tiles += own
        if split == "train":
            cut = [
                Region(plan.slide_id, own[0].region_id, "patch", 32 * i, 16, SQUARE, MPP)
                for i in range(TRAINING)
            ]
            squares.append(regions_table(cut).assign(split="train", tumor_ratio=0.2))
        if split == "validation":
            squares.append(regions_table(own[:1]).assign(split="validation", tumor_ratio=np.nan))
    table = regions_table(tiles)
    return {
        "cohort": Cohort(tuple(pairs), "phantom"),
        "squares": TranslationSquares.validate(pd.concat(squares, ignore_index=True)),
        "tiles": table,
        "pair_quality": pd.DataFrame(
            {"region_id": table["region_id"], "kept": [True, True, False] * len(pairs)}
        ),
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


def exported(material, folder, **changes) -> UnpairedTilesDataset:
    names = GanExportParams.model_fields
    options = {name: value for name, value in changes.items() if name in names}
    inputs = {**material, **{name: changes[name] for name in changes if name not in names}}
    dataset = UnpairedTilesDataset((folder / "unpaired_tiles").as_posix())
    dataset.save(nodes.export_tiles(**inputs, params=GanExportParams(**options)))
    return dataset


@pytest.fixture(scope="module")
def dataset(material, tmp_path_factory):
    return exported(material, tmp_path_factory.mktemp("export"))


def names(dataset, folder):
    return sorted(path.stem for path in (dataset._path / folder).iterdir())


def broken(material, *places):
    """The cohort with slides whose Ki-67 file is gone."""
    pairs = [
        dataclasses.replace(pair, ihc=dataclasses.replace(pair.ihc, path=Path("gone.tif")))
        if index in places
        else pair
        for index, pair in enumerate(material["cohort"])
    ]
    return Cohort(tuple(pairs), "phantom")


def test_the_training_squares_are_those_of_the_table_in_both_domains(dataset, material):
    expected = material["squares"].query("split == 'train'")["region_id"]
    assert names(dataset, "trainA") == names(dataset, "trainB") == sorted(expected)
    assert len(expected) == 2 * TRAINING
    assert sorted(path.name for path in dataset._path.iterdir()) == sorted([*FOLDERS, ABOUT])


def stamps_in(folder):
    """Of all exported files."""
    files = list(folder.rglob("*.png"))
    assert files
    return {Image.open(path).text["Description"] for path in files}


def test_every_file_says_that_it_is_synthetic_and_so_does_the_folder(dataset, material, tmp_path):
    stamps = [RESEARCH_USE, SYNTHETIC_TRAINING, SYNTHETIC_IMAGES]
    assert stamps_in(dataset._path) == {" ".join(stamps)}
    about = json.loads((dataset._path / ABOUT).read_text())
    assert about["stamps"] == stamps
    assert about["tiles"] == {name: len(names(dataset, name)) for name in FOLDERS}

    def of_kinds(*kinds):
        pairs = zip(material["cohort"], kinds, strict=True)
        changed = tuple(dataclasses.replace(pair, data_kind=kind) for pair, kind in pairs)
        cohort = Cohort(changed, "manifest")
        return stamps_in(exported(material, tmp_path, cohort=cohort, test_squares=1)._path)

    assert of_kinds("real", "real", "phantom", "real") == {RESEARCH_USE}, "validates: not exported"
    assert of_kinds("real", "real", "real", "phantom") == {" ".join(stamps)}


def test_pixels_are_those_that_the_slides_give(dataset, material):
    places = {each.region_id: each for each in iter_regions(material["squares"])}
    test_slide = material["cohort"].pairs[3]
    tiles = regions_of(material["tiles"], test_slide.slide_id).iloc[:2]
    test = held_out_squares(test_slide, tiles, SQUARE, MPP, 32)
    places.update({each.region_id: each for each in iter_regions(test)})
    opened = dataset.load()
    seen = 0
    for a, b in opened.values():
        for index, (path, other) in enumerate(zip(a.paths, b.paths, strict=True)):
            assert path.name == other.name
            region = places[path.stem]
            pair = material["cohort"][region.slide_id]
            assert np.array_equal(a.read([index])[0], pair.read_he(region))
            assert np.array_equal(b.read([index])[0], pair.read_ihc(region))
            assert not np.array_equal(a.read([index]), b.read([index]))
            seen += 1
    assert seen == 2 * TRAINING + len(test)


def test_no_slide_is_in_both_splits_and_none_chooses_the_epoch(dataset, material):
    ids = [pair.slide_id for pair in material["cohort"]]
    slides = {
        split: {slide for slide in ids for name in names(dataset, f"{split}A") if slide in name}
        for split in ("train", "test")
    }
    assert slides == {"train": set(ids[:2]), "test": {ids[3]}}


def test_test_squares_lie_in_kept_tiles_and_apart(material):
    pair = material["cohort"].pairs[3]
    tiles = regions_of(material["tiles"], pair.slide_id).iloc[:2]
    found = held_out_squares(pair, tiles, SQUARE, MPP, 100)
    corners = found[["x_px", "y_px"]].to_numpy()
    # Two by two in the first tile; the second begins 20 px before that ends.
    assert [tuple(corner) for corner in corners] == [
        (0, 0), (64, 0), (0, 64), (64, 64), (140, 0), (204, 0), (140, 64), (204, 64),
    ]  # fmt: skip
    overlapping = regions_table(
        [Region(pair.slide_id, "", "tile", x, 0, 128, MPP) for x in (0, 96)]
    )
    corners = held_out_squares(pair, overlapping, SQUARE, MPP, 100)[["x_px", "y_px"]].to_numpy()
    assert [tuple(corner) for corner in corners] == [
        (0, 0), (64, 0), (0, 64), (64, 64), (160, 0), (160, 64),
    ]  # fmt: skip


@pytest.mark.parametrize(("number", "chosen"), [(1, [4]), (2, [2, 6]), (4, [1, 3, 5, 7])])
def test_fewer_test_squares_are_evenly_spread(material, number, chosen):
    pair = material["cohort"].pairs[3]
    tiles = regions_of(material["tiles"], pair.slide_id).iloc[:2]
    every = held_out_squares(pair, tiles, SQUARE, MPP, 100)
    few = held_out_squares(pair, tiles, SQUARE, MPP, number)
    assert few["region_id"].tolist() == every["region_id"].iloc[chosen].tolist()


def test_a_pixel_size_that_is_no_whole_share_leaves_neighbours_apart(material):
    """Corners are rounded to whole pixels of the frame: neighbours may share less than one."""
    pair = material["cohort"].pairs[3]
    tile = regions_table([Region(pair.slide_id, "", "tile", 0, 0, 290, MPP)])
    assert len(held_out_squares(pair, tile, 51, 1.117, 100)) == 25


def test_a_slide_that_cannot_be_read_is_left_out_of_both_domains_and_named(
    material, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING):
        found = exported(material, tmp_path, cohort=broken(material, 0))
    first, second = (pair.slide_id for pair in material["cohort"].pairs[:2])
    assert f"left out of train: slide {first}" in caplog.text
    assert len(names(found, "trainA")) == TRAINING
    assert all(second in name for name in names(found, "trainA"))
    assert names(found, "trainA") == names(found, "trainB")


def test_an_export_is_whole_or_not_there(material, tmp_path):
    found = exported(material, tmp_path, test_squares=1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    assert len(before) == 2 * (2 * TRAINING + 1)
    tiles = nodes.export_tiles(
        **{**material, "cohort": broken(material, 3)}, params=GanExportParams()
    )
    with pytest.raises(Exception, match="none of 1 test slides can be read") as caught:
        found.save(tiles)
    assert isinstance(caught.value.__cause__, TumorRatioError)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["unpaired_tiles"]
    exported(material, tmp_path, test_squares=2)
    assert len(list(tmp_path.rglob("*.png"))) == 2 * (2 * TRAINING + 2)


def test_without_an_export_the_pipeline_is_named(tmp_path):
    dataset = UnpairedTilesDataset((tmp_path / "none").as_posix())
    assert not dataset.exists()
    with pytest.raises(NotMadeYetError, match="kedro run --pipelines=gan_export"):
        dataset.load()


def test_tiles_of_any_iterable_are_saved(tmp_path):
    tile = np.zeros((4, 4, 3), np.uint8)
    dataset = UnpairedTilesDataset((tmp_path / "tiles").as_posix())
    dataset.save((domain, split, "t", tile) for domain in "AB" for split in ("train", "test"))
    assert dataset.exists()
    assert stamps_in(tmp_path / "tiles") == {RESEARCH_USE}
    assert {split: (len(a), len(b)) for split, (a, b) in dataset.load().items()} == {
        "train": (1, 1),
        "test": (1, 1),
    }


def test_a_cyclegan_trains_on_the_export(dataset, tmp_path):
    options = CycleGanOptions(
        networks=NetworkOptions("resnet_6blocks", ngf=4, ndf=4),
        images=PreprocessOptions("resize_and_crop", load_size=40, crop_size=32),
        n_epochs=1,
        n_epochs_decay=0,
        max_dataset_size=1,
        collapse_threshold=0,
    )
    _, trained = fit_cyclegan(options, *dataset.load()["train"], tmp_path, title="export")
    assert np.isfinite(trained.history[0]["train_G_A"])


def test_squares_of_slides_that_do_not_train_are_refused(material, tmp_path):
    folds = material["folds"].assign(split=["train", "test", "validation", "train"])
    second = material["cohort"].pairs[1].slide_id
    message = rf"do not train by the protocol 'holdout': {second}; set gan_export\.protocol to"
    with pytest.raises(ConfigurationError, match=message):
        exported(material, tmp_path, folds=folds)
    with pytest.raises(ConfigurationError, match="by the protocol 'x'"):
        exported(material, tmp_path, protocol="x")
    held_out = material["squares"].query("split == 'validation'")
    with pytest.raises(ConfigurationError, match="holds no training square"):
        exported(material, tmp_path, squares=held_out)
    assert not list(tmp_path.iterdir())


def test_a_test_slide_without_kept_tiles_is_told(material, tmp_path):
    none = material["pair_quality"].assign(kept=False)
    with pytest.raises(ConfigurationError, match="no test slide of the protocol 'holdout' has a"):
        exported(material, tmp_path, pair_quality=none)


def test_names_are_file_names_and_stay_different():
    ids = ["s1", "a/b", "a%2Fb", ".hidden", "%2Ehidden", "α β", "..", "a\\b"]
    found = [file_stem(Region(name, "", "patch", 0, 0, 8, 0.5).region_id) for name in ids]
    assert len(set(found)) == len(ids)
    assert found[0] == "s1_x0_y0_s8_m0.5"
    assert not any("/" in name or "\\" in name or name.startswith(".") for name in found)


def test_a_missing_section_is_a_slide_that_cannot_be_read(material):
    pair = dataclasses.replace(material["cohort"].pairs[0], ihc=None)
    others = material["cohort"].pairs[1:]
    tiles = nodes.export_tiles(
        **{**material, "cohort": Cohort((pair, *others), "phantom")}, params=GanExportParams()
    )
    assert not any(pair.slide_id in name for _, _, name, _ in tiles)
    with pytest.raises(SlideError):
        pair.read_ihc_at(0, 0, 8, MPP)


def test_the_pipeline_writes_what_the_catalog_holds(material, project, tmp_path):
    """One dataset of many tiles: Kedro would save what an iterator gives piece by piece."""
    pipeline = create_pipeline()
    (name,) = pipeline.all_outputs()
    assert f"{name}:" in (project / "conf/base/catalog_gan_export.yml").read_text()
    inputs = {**material, "cyclegan.squares": material["squares"]}
    inputs["params:gan_export"] = GanExportParams(test_squares=1)
    catalog = DataCatalog({key: MemoryDataset(inputs[key]) for key in pipeline.inputs()})
    catalog[name] = UnpairedTilesDataset((tmp_path / "tiles").as_posix())
    SequentialRunner().run(pipeline, catalog)
    assert {split: len(a) for split, (a, _) in catalog.load(name).items()} == {
        "train": 2 * TRAINING,
        "test": 1,
    }
