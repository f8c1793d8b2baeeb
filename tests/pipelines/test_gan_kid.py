"""The kernel distance of virtual to real Ki-67 patches of slides."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tumor_ratio import settings
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import ConfigurationError, ModelUnavailableError
from tumor_ratio.hooks.approaches import check_approaches
from tumor_ratio.hooks.preflight import PreflightHook
from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.imaging.transform import Transform
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.patch_source import ArrayPatches
from tumor_ratio.models.torchvision_shim import ensure_torchvision
from tumor_ratio.pipelines.gan_translation.kid import kid_of_slides, kid_readers
from tumor_ratio.pipelines.gan_translation.params import CycleGanParams, KidParams

COMPUTE = ComputeOptions(device="cpu", threads=1)


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    ensure_torchvision()
    import timm

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return KidParams(network="test_resnet", weights_path=str(path), subset_size=8, subsets=20)


def patches(brown, n=20, seed=0):
    """Noise on white with brown squares of a strength."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(200, 256, (n, 24, 24, 3)).astype(float)
    for image in rgb:
        x, y = rng.integers(0, 14, 2)
        image[y : y + 10, x : x + 10] -= brown * np.array([60, 120, 160])
    return ArrayPatches(rgb.clip(0, 255).astype(np.uint8))


def test_translations_of_another_strength_are_farther_away(params):
    real = patches(1.0)
    equal, other = (
        kid_of_slides({"s": (real, patches(brown, seed=1))}, params, COMPUTE)
        for brown in (1.0, 0.3)
    )
    assert set(equal) == {"translation_kid", "translation_kid_sd"}
    assert other["translation_kid"] > 5 * abs(equal["translation_kid"])
    again = kid_of_slides({"s": (real, patches(1.0, seed=1))}, params, COMPUTE)
    assert again == equal


def test_slides_are_taken_together(params):
    """Each slide's translation is the other's stain: together nothing is wrong."""
    slides = {"a": (patches(1.0, seed=1), patches(0.2, seed=2))}
    apart = kid_of_slides(slides, params, COMPUTE)["translation_kid"]
    slides["b"] = (patches(0.2, seed=3), patches(1.0, seed=4))
    assert abs(kid_of_slides(slides, params, COMPUTE)["translation_kid"]) < apart / 5


def test_without_weights_nothing_is_computed(params):
    assert KidParams().weights_path == ""
    assert CycleGanParams(folder="x").kid == KidParams()
    assert kid_of_slides({"s": (patches(1.0), patches(1.0))}, KidParams(), COMPUTE) == {}
    assert kid_of_slides({}, params, COMPUTE) == {}
    missing = params.model_copy(update={"weights_path": "nowhere.pth"})
    with pytest.raises(ModelUnavailableError, match=r"point `cyclegan\.kid\.weights_path`"):
        kid_of_slides({"s": (patches(1.0), patches(1.0))}, missing, COMPUTE)


def checked(**changes):
    parameters = {"params:cyclegan": CycleGanParams(folder="x", **changes), "params:other": 3}
    check_approaches(parameters, Path())


def test_what_the_parameters_name_is_tried_before_anything_runs(params, tmp_path):
    checked()
    checked(kid=params)
    four = tmp_path / "four"
    four.mkdir()
    for name in ("G_A", "G_B", "D_A", "D_B"):
        (four / f"latest_net_{name}.pth").touch()
    checked(initial=str(four), checkpoint=str(four / "latest_net_G_A.pth"))
    (four / "latest_net_D_A.pth").unlink()
    with pytest.raises(ConfigurationError) as caught:
        checked(
            initial=str(four),
            checkpoint=str(tmp_path),  # a folder
            kid=params.model_copy(update={"weights_path": "nowhere.pth"}),
        )
    assert str(caught.value) == (
        f"cyclegan.checkpoint: there is no file {tmp_path}; "
        f"cyclegan.kid.weights_path: there is no file {Path('nowhere.pth').absolute()}; "
        f"cyclegan.initial: there is no file {four / 'latest_net_D_A.pth'}; "
        "correct the path, or leave the setting empty"
    )
    other = params.model_copy(update={"network": "test_vit"})
    with pytest.raises(ModelUnavailableError, match="does not hold this backbone's weights"):
        checked(kid=other)


def test_a_run_checks_the_files_first():
    (preflight,) = (hook for hook in settings.HOOKS if isinstance(hook, PreflightHook))
    assert check_approaches in preflight._checks


def test_too_few_patches_leave_their_figures_out(params):
    few = kid_of_slides({"s": (patches(1.0, n=3), patches(1.0, n=3, seed=1))}, params, COMPUTE)
    assert set(few) == {"translation_kid"}
    assert kid_of_slides({"s": (patches(1, n=1), patches(1, n=1))}, params, COMPUTE) == {}
    assert kid_of_slides({"s": (patches(1, n=0), patches(1, n=0))}, params, COMPUTE) == {}


def slide(folder: Path, name: str, rgb: np.ndarray):
    Image.fromarray(rgb).save(folder / f"{name}.png")
    return open_slide(folder / f"{name}.png", slide_id="s", mpp=1.0)


@pytest.fixture
def pairs(tmp_path):
    """A pair whose Ki-67 section lies 10 um to the right, and the same with a translation."""
    rng = np.random.default_rng(0)
    he, ihc, virtual = (
        slide(tmp_path, name, rng.integers(0, 256, (120, 160, 3), dtype=np.uint8))
        for name in ("he", "ihc", "virtual")
    )
    shift = Transform(np.array([[1.0, 0.0, 10.0], [0.0, 1.0, 0.0]]))
    pair = SlidePair("s", "s", he, ihc, shift)
    return pair, dataclasses.replace(pair, ihc=virtual, transform=Transform.identity())


def grid(n=6):
    return regions_table([Region("s", "t", "patch", 20 * i, 30, 16, 1.0) for i in range(n)])


def test_readers_give_both_slides_at_the_same_places(pairs):
    real, virtual = kid_readers(*pairs, grid(), KidParams(patches=3))
    assert len(real) == len(virtual) == 3
    for reader, slide_of, shift in ((real, pairs[0].ihc, 10), (virtual, pairs[1].ihc, 0)):
        expected = [slide_of.read(20 * i + shift, 30, 16, 1.0) for i in (1, 3, 5)]
        assert np.array_equal(reader.read([0, 1, 2]), expected)
    assert len(kid_readers(*pairs, grid(2), KidParams())[0]) == 2
    assert len(kid_readers(*pairs, grid(0), KidParams())[0]) == 0


def test_a_slide_that_cannot_be_read_is_left_out_and_named(pairs, params, caplog):
    pair, translated = pairs
    good = (patches(1.0), patches(1.0, seed=1))
    gone = dataclasses.replace(pair.ihc, path=Path("gone.tif"))
    bad = kid_readers(dataclasses.replace(pair, ihc=gone), translated, grid(), params)
    with caplog.at_level(logging.WARNING):
        found = kid_of_slides({"s": bad, "t": good}, params, COMPUTE)
    assert "left out of the kernel distance" in caplog.text
    assert "slide s" in caplog.text
    assert found == kid_of_slides({"t": good}, params, COMPUTE)
