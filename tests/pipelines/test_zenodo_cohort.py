"""The study's cohort from listing to tile_quality, on small slides of its layout."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from kedro.config import OmegaConfigLoader

from tests.pipelines.test_data_processing import DAB, E, run, section  # noqa: F401
from tests.zenodo_server import Repository, answers, drops_after, running, sends
from tumor_ratio.datasets.fingerprint import fingerprint
from tumor_ratio.datasets.partitions import SlidePartitions
from tumor_ratio.imaging import tiled_copy
from tumor_ratio.pipelines.data_processing import nodes
from tumor_ratio.pipelines.data_processing.params import (
    CohortParams,
    PatchParams,
    TileParams,
    TileScoreParams,
    TileSelectionParams,
)
from tumor_ratio.schemas import TileQuality
from tumor_ratio.settings import CONFIG_LOADER_ARGS, PROJECT

SLIDES = ("01", "02", "03", "04")


def tiff(rgb: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, rgb, tile=(128, 128), photometric="rgb", compression="deflate")
    return file.getvalue()


@pytest.fixture(scope="module")
def slides() -> dict[str, bytes]:
    """Four pairs of 600 x 400 px; not one says its pixel size."""
    files = {}
    for seed, slide in enumerate(SLIDES):
        files[f"{slide}_HE.tif"] = tiff(section(seed, E, 0.15, glass_px=300))
        files[f"{slide}_Ki67.tif"] = tiff(section(seed, DAB, 0.06, glass_px=300))
    return files


@pytest.fixture
def server(slides):
    with running(Repository(files=dict(slides))) as repository:
        yield repository


@pytest.fixture
def cohort(server, tmp_path) -> CohortParams:
    zenodo = {
        "record_id": 7,
        "base_url": server.base_url,
        "folder": str(tmp_path / "zenodo"),
        "download": {"attempts": 3, "backoff_s": 0.01, "timeout_s": 5},
    }
    return CohortParams.model_validate({"source": "zenodo", "zenodo": zenodo})


@pytest.fixture(scope="module")
def study() -> dict:
    """Parameters of `kedro run --env=zenodo`."""
    loader = OmegaConfigLoader(str(PROJECT / "conf"), env="zenodo", **CONFIG_LOADER_ARGS)
    return loader["parameters"]


def test_the_environment_holds_the_studys_values(study):
    cohort = CohortParams.model_validate(study["cohort"])
    assert cohort.source == "zenodo"
    assert cohort.zenodo.record_id == 11218961
    assert cohort.zenodo.record_folder == PROJECT / "data/zenodo/01_raw/zenodo/11218961"
    tiles, patches = TileParams(**study["tiles"]), PatchParams(**study["patches"])
    assert (tiles.size_px, tiles.step_px, tiles.edge) == (4096, 3696, "drop")
    assert (patches.size_px, patches.step_px) == (224, 112)
    assert tiles.mpp == patches.mpp == cohort.zenodo.mpp == 0.25
    selection = TileSelectionParams(**study["tile_selection"])
    assert (selection.rule, selection.min_ssim) == ("ssim", 0.4)
    assert (selection.max_he_white, selection.max_ihc_white) == (0.4, 0.6)
    assert study["resnet18"]["training"]["optimizer"]["name"] == "sgd"
    from tumor_ratio.imaging.regions import tile_grid

    grid = tile_grid(31104, 31938, 0.25, tiles.size_px, tiles.mpp, tiles.step_px, tiles.edge)
    assert len(grid) == 8 * 8


def test_from_listing_to_tile_quality(run, server, cohort, study, tmp_path):  # noqa: F811
    server.fail("01_HE.tif", drops_after(5000), answers(429, Retry_After="0"))
    server.fail("01_Ki67.tif", answers(500))
    server.fail("02_HE.tif", sends(b"wrong"))
    server.fail("04_Ki67.tif", answers(404))
    server.files["05_HE.tif"] = b""  # no partner
    scale = 200 / study["tiles"]["size_px"]  # the study's grid, on small slides
    options = {
        "tiles": TileParams(**study["tiles"] | {"size_px": 200, "step_px": round(3696 * scale)}),
        "tile_scores": TileScoreParams(mpp=0.5, blur_um=3, background_um=20, min_tissue_um2=100),
        "tile_selection": TileSelectionParams(**study["tile_selection"]),
        "patches": PatchParams(**study["patches"] | {"size_px": 100, "step_px": 50}),
    }
    made = run(cohort, **options)
    assert [pair.slide_id for pair in made["cohort"]] == ["01", "02", "03"]
    assert set(made["failures"]) == {"04"}
    assert "04_Ki67.tif/content: HTTP 404" in made["failures"]["04"]
    pair = made["cohort"]["01"]
    assert (pair.he.mpp, pair.data_kind, pair.meta["marker"]) == (0.25, "real", "Ki-67")
    quality = made["tile_quality"]
    TileQuality.validate(quality)
    assert quality.groupby("slide_id").size().to_dict() == dict.fromkeys(("01", "02", "03"), 6)
    assert quality["kept"].any()
    assert quality.loc[~quality["kept"], "reason"].str.contains("white H&E").any()
    assert server.served["01_HE.tif"] == len(server.files["01_HE.tif"])

    asked = len(server.requests)
    again = run(cohort, **options)
    assert len(server.requests) == asked + 1  # the file that was missing, now there
    assert [pair.slide_id for pair in again["cohort"]] == list(SLIDES)


def partitions(folder: Path) -> SlidePartitions:
    return SlidePartitions(str(folder / "slides"), {"type": "json.JSONDataset"}, ".json", workers=0)


def prepare(cohort: CohortParams, folder: Path) -> SlidePartitions:
    dataset = partitions(folder)
    dataset.save(nodes.prepare_slides(nodes.plan_cohort(cohort), cohort))
    return dataset


def test_a_failing_slide_is_a_row_and_the_next_run_mends_it(server, cohort, tmp_path):
    server.fail("03_HE.tif", *[sends(b"x" * 10)] * 2)
    dataset = prepare(cohort, tmp_path)
    assert list(dataset.load()) == ["01", "02", "04"]
    row = dataset.failures.read_text()
    assert "03" in row
    assert "the server offers 10 bytes instead of" in row
    assert list(prepare(cohort, tmp_path).load()) == list(SLIDES)
    assert not dataset.failures.exists()
    assert all(server.asked_for(name) == [""] for name in server.files if name[:2] != "03")


def test_a_file_changed_on_disk_is_noticed_and_fetched_again(server, cohort, tmp_path):
    prepare(cohort, tmp_path)
    file = cohort.zenodo.record_folder / "02_HE.tif"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    prepare(cohort, tmp_path)
    assert file.read_bytes() == whole
    assert len(server.requests) == 2 * len(SLIDES) + 1


def test_tasks_depend_on_what_is_fetched_not_on_where_from(server, cohort, tmp_path):
    def prints() -> list[str]:
        tasks = nodes.prepare_slides(nodes.plan_cohort(cohort), cohort)
        return [fingerprint(task, tmp_path) for task in tasks.values()]

    before = prints()
    prepare(cohort, tmp_path)
    assert prints() == before
    server.files["01_HE.tif"] = server.files["02_HE.tif"]
    assert prints()[0] != before[0]
    assert prints()[1:] == before[1:]


def test_a_fetched_tiff_in_strips_is_copied_into_a_pyramid(server, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(tiled_copy, "STRIPPED_LIMIT_PX", 1000)
    rgb = section(0, E, 0.15, glass_px=300)
    strips = io.BytesIO()
    tifffile.imwrite(strips, rgb, photometric="rgb", rowsperstrip=16)
    server.files["01_HE.tif"] = strips.getvalue()
    cohort = cohort.model_copy(update={"pyramids": str(tmp_path / "pyramids")})
    record = nodes.prepare_slides(nodes.plan_cohort(cohort), cohort)["01"]()
    (copy,) = (tmp_path / "pyramids").iterdir()
    assert record["he"]["path"] == str(copy)
    assert record["products"] == [
        record["he"]["source_path"], record["ihc"]["path"], str(copy)
    ]  # fmt: skip
