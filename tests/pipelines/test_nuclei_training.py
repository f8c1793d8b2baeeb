import json

import numpy as np
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from pydantic import ValidationError

from tumor_ratio.models.segmenter import open_segmenter
from tumor_ratio.models.stardist_training import augment
from tumor_ratio.pipelines.nuclei_training import create_pipeline
from tumor_ratio.pipelines.nuclei_training.params import NucleiTrainingParams
from tumor_ratio.pipelines.nuclei_training.tiles import render_parts


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder and card of a tiny network after one epoch on four tiles."""
    folder = tmp_path_factory.mktemp("nuclei") / "model"
    params = NucleiTrainingParams(
        output=str(folder),
        n_train=4,
        n_validation=2,
        n_test=2,
        tile_px=64,
        network={"epochs": 1, "filters": 4, "features": 8, "unet_depth": 1, "batch_size": 2},
    )
    catalog = DataCatalog(
        {
            "params:nuclei_training": MemoryDataset(params),
            "nuclei_model_card": MemoryDataset(),
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    return folder, catalog.load("nuclei_model_card")


def test_the_folder_holds_a_model_that_segments(trained):
    folder, _ = trained
    segmenter = open_segmenter(str(folder))
    assert segmenter.mpp == 0.5
    image = np.full((96, 96, 3), 130, dtype=np.uint8)
    assert segmenter.segment(image, "ihc").labels.shape == (96, 96)


def test_the_card_says_where_the_model_comes_from(trained):
    folder, card = trained
    assert json.loads((folder / "card.json").read_text()) == json.loads(json.dumps(card))
    assert card["training_data"] == "phantom"
    assert card["licence"] == "BSD-3-Clause"
    assert card["command"] == (
        "kedro run --pipelines=nuclei_training --params=nuclei_training.n_train=4,"
        "nuclei_training.n_validation=2,nuclei_training.n_test=2,nuclei_training.tile_px=64,"
        "nuclei_training.network.unet_depth=1,nuclei_training.network.filters=4,"
        "nuclei_training.network.features=8,nuclei_training.network.epochs=1"
    )
    assert any("SYNTHETIC" in limit for limit in card["limits"])
    assert card["training"]["n_train"] == 4
    assert {"precision_at_iou_0_5", "recall_at_iou_0_5", "f1_at_iou_0_5"} <= set(
        card["scores"]["phantom"]
    )


def test_the_parts_share_no_tile_and_seeds_repeat():
    first = render_parts(4, 4, 4, tile_px=64, mpp=0.5, seed=0)
    again = render_parts(4, 4, 4, tile_px=64, mpp=0.5, seed=0)
    images = [*first.train.images, *first.validation.images, *first.tests["phantom"].images]
    assert len({image.tobytes() for image in images}) == 12
    for one, other in zip(first.train.images, again.train.images, strict=True):
        np.testing.assert_array_equal(one, other)
    other_seed = render_parts(4, 2, 2, tile_px=64, mpp=0.5, seed=1)
    assert not {i.tobytes() for i in images} & {i.tobytes() for i in other_seed.train.images}


def test_augmentation_keeps_shape_range_and_nuclei():
    rng = np.random.default_rng(0)
    labels = np.zeros((64, 64), dtype=np.int32)
    labels[20:40, 10:50] = 3
    image = np.where(labels[..., None] > 0, 0.6, 0.05).astype(np.float32).repeat(3, axis=2)
    for _ in range(20):
        varied, moved = augment(image, labels, rng)
        assert varied.shape == image.shape
        assert moved.shape == labels.shape
        assert varied.min() >= 0
        assert varied.max() <= 1
        assert set(np.unique(moved)) <= {0, 3}
        if (moved > 0).any():  # the nucleus moves with its label
            assert varied[moved > 0].mean() > varied[moved == 0].mean() + 0.15


def test_wrong_parameters_are_refused():
    with pytest.raises(ValidationError, match="filters must be positive"):
        NucleiTrainingParams(network={"filters": 0})
    with pytest.raises(ValidationError, match="did you mean 'epochs'"):
        NucleiTrainingParams(network={"epoch": 3})
