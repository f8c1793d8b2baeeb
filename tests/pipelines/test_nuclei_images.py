"""Real labelled images as training material of the nuclei network."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from tumor_ratio.errors import ConfigurationError, ModelUnavailableError
from tumor_ratio.imaging.nucleus_density import mean_per_nucleus
from tumor_ratio.imaging.stains import H_DAB, optical_density, separate
from tumor_ratio.pipelines.nuclei_training import nodes
from tumor_ratio.pipelines.nuclei_training import recolouring as module
from tumor_ratio.pipelines.nuclei_training.image_tiles import cut_tiles
from tumor_ratio.pipelines.nuclei_training.labelled_folder import (
    LabelledImage,
    read_labelled_folder,
    split_images,
)
from tumor_ratio.pipelines.nuclei_training.params import NucleiTrainingParams
from tumor_ratio.pipelines.nuclei_training.recolouring import draw_look, recoloured


def purple_nuclei(seed: int, height: int = 90, width: int = 120) -> LabelledImage:
    """An image with a grid of purple discs on pale ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int32)
    for number, (cy, cx) in enumerate(np.ndindex(3, 4), start=1):
        labels[(y - 15 - 30 * cy) ** 2 + (x - 15 - 30 * cx) ** 2 < 81] = number
    rgb = np.where(labels[..., None] > 0, (110, 60, 150), (225, 215, 230))
    noisy = np.clip(rgb + rng.normal(0, 4, rgb.shape), 0, 255).astype(np.uint8)
    return LabelledImage(f"i{seed}", noisy, labels)


@pytest.fixture
def folder(tmp_path):
    for seed in range(8):
        image = purple_nuclei(seed)
        for kind in ("images", "labels"):
            (tmp_path / kind).mkdir(exist_ok=True)
        Image.fromarray(image.rgb).save(tmp_path / f"images/{image.name}.png")
        tifffile.imwrite(tmp_path / f"labels/{image.name}.tif", image.labels.astype(np.uint16))
    return tmp_path


def test_images_are_read_with_their_labels(folder):
    images = read_labelled_folder(folder)
    assert [image.name for image in images] == [f"i{seed}" for seed in range(8)]
    np.testing.assert_array_equal(images[3].rgb, purple_nuclei(3).rgb)
    np.testing.assert_array_equal(images[3].labels, purple_nuclei(3).labels)


def test_what_does_not_fit_together_is_named(folder):
    (folder / "labels/i2.tif").unlink()
    with pytest.raises(ConfigurationError, match="i2 lack an image or labels; give each images/"):
        read_labelled_folder(folder)
    tifffile.imwrite(folder / "labels/i2.tif", np.zeros((90, 119), np.uint16))
    with pytest.raises(ConfigurationError, match=r"labels of i2 are \(90, 119\) uint16, not whole"):
        read_labelled_folder(folder)
    (folder / "labels/i2.tif").write_bytes(b"no image")
    with pytest.raises(ConfigurationError, match="labelled image i2 cannot be read"):
        read_labelled_folder(folder)


def test_a_folder_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(ConfigurationError, match=r"holds 0 labelled images.*phantoms only"):
        read_labelled_folder(tmp_path / "none")


def test_no_image_is_in_two_parts_and_the_seed_chooses():
    images = [purple_nuclei(seed) for seed in range(16)]
    split = split_images(images, 0)
    names = [[i.name for i in part] for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in names] == [10, 2, 4]
    assert len({name for part in names for name in part}) == 16
    assert split_images(images, 0) == split
    assert split_images(images, 1) != split


@pytest.mark.parametrize("scale", [(0.5, 0.5), (1.0, 1.0), (2.0, 2.0)])
def test_tiles_are_full_of_nuclei_at_their_scale(scale):
    images = [purple_nuclei(seed) for seed in range(4)]
    tiles = cut_tiles(images, 6, tile_px=128, seed=0, scale=scale, recoloured_share=0)
    again = cut_tiles(images, 6, tile_px=128, seed=0, scale=scale, recoloured_share=0)
    for rgb, labels, other in zip(tiles.images, tiles.labels, again.images, strict=True):
        assert rgb.shape == (128, 128, 3)
        assert labels.shape == (128, 128)
        assert set(np.unique(labels)) == set(range(labels.max() + 1))
        np.testing.assert_array_equal(rgb, other)
    areas = np.concatenate([np.bincount(labels.ravel())[1:] for labels in tiles.labels])
    assert np.percentile(areas, 75) == pytest.approx(81 * np.pi * scale[0] ** 2, rel=0.25)


def test_recoloured_nuclei_are_blue_or_brown(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(module, "POSITIVE_SHARES", (0.5,))
    image = purple_nuclei(0)
    amounts = [
        mean_per_nucleus(image.labels, 12, separate(found, H_DAB)[..., 1])
        for found in (recoloured(image.rgb, image.labels, draw_look(rng), rng) for _ in range(10))
    ]
    dab = np.concatenate(amounts)
    assert 0.25 < (dab > 0.25).mean() < 0.75
    assert 0.25 < (dab < 0.15).mean() < 0.75


def test_recoloured_tiles_have_nuclei_of_the_widths_that_are_drawn():
    images = [purple_nuclei(seed) for seed in range(4)]
    tiles = cut_tiles(images, 30, tile_px=96, seed=0, recoloured_share=1)
    widths = [
        np.sqrt(np.median(np.bincount(labels.ravel())[1:]) * 4 / np.pi) for labels in tiles.labels
    ]
    assert 7 < min(widths) < 12
    assert 20 < max(widths) < 28


def test_pale_and_dark_nuclei_come_alike():
    """Mean densities of negative nuclei spread over the whole range, whatever the image's own."""
    rng = np.random.default_rng(0)
    image = purple_nuclei(0)
    dense = image.labels > 0
    found = []
    for _ in range(60):
        look = replace(draw_look(rng), positive_share=0.0, glass_od=np.zeros(3, np.float32))
        rgb = recoloured(image.rgb, image.labels, replace(look, fog_od=(0.0, 0.0)), rng)
        found.append(np.linalg.norm(optical_density(rgb)[dense].mean(axis=0)))
    assert np.percentile(found, 10) < 0.18
    assert np.percentile(found, 90) > 0.5


def test_an_image_without_nuclei_is_recoloured_as_well():
    rng = np.random.default_rng(0)
    blank = np.full((40, 50, 3), 240, np.uint8)
    found = recoloured(blank, np.zeros((40, 50), np.int32), draw_look(rng), rng)
    assert found.min() > 120


def test_training_goes_on_from_an_earlier_model(folder, tmp_path):
    tiny = {"epochs": 1, "filters": 4, "features": 8, "unet_depth": 1, "batch_size": 2}
    small = {"n_train": 2, "n_validation": 2, "n_test": 2, "tile_px": 64}
    first = NucleiTrainingParams(output=str(tmp_path / "first"), network=tiny, **small)
    tiles = nodes.make_tiles(first)
    nodes.train_nuclei_model(tiles, first)
    options = {**tiny, "learning_rate": 1e-9}
    second = NucleiTrainingParams(
        output=str(tmp_path / "second"), initial=first.output, network=options, **small
    )
    card = nodes.train_nuclei_model(tiles, second)
    assert card["initial"]["options"]["learning_rate"] == 1e-3
    weights = [h5py.File(tmp_path / name / "weights_best.h5") for name in ("first", "second")]
    assert np.allclose(*(_first_array(file) for file in weights), atol=1e-6)
    other = second.model_copy(update={"network": replace(second.network, filters=8)})
    with pytest.raises(ModelUnavailableError, match=r"cannot begin with.*the same architecture"):
        nodes.train_nuclei_model(tiles, other)


def _first_array(file):
    found = []
    file.visititems(lambda _, item: found.append(item) if hasattr(item, "shape") else None)
    return np.asarray(found[0])


def test_training_takes_images_and_the_card_says_so(folder, tmp_path):
    params = NucleiTrainingParams(
        output=str(tmp_path / "model"),
        images=str(folder),
        images_source="drawn discs",
        images_licence="CC0",
        n_image_tiles=4,
        n_train=2,
        n_validation=2,
        n_test=2,
        tile_px=64,
        network={"epochs": 1, "filters": 4, "features": 8, "unet_depth": 1, "batch_size": 2},
    )
    card = nodes.train_nuclei_model(nodes.make_tiles(params), params)
    assert card["training_data"] == "images and phantom"
    assert card["training"]["n_train"] == 6
    assert set(card["scores"]) == {"phantom", "real"}
    assert card["scores"]["real"]["n_nuclei"] == 24
    assert len(card["held_out_images"]) == 2
    assert card["licence"] == "BSD-3-Clause; images: CC0"
    assert "drawn discs" in card["data"]
    assert str(folder) not in str(card)
