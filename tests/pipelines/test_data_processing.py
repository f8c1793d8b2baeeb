"""Nodes and the whole pipeline, on a manifest with planted truth and on a phantom."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from matplotlib.figure import Figure
from scipy import ndimage

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.errors import ConfigurationError, ManifestError, SlideError
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.phantom.params import PhantomParams
from tumor_ratio.pipelines.data_processing import nodes
from tumor_ratio.pipelines.data_processing.params import (
    CohortParams,
    ContactSheetParams,
    PatchParams,
    TileParams,
    TileScoreParams,
    TileSelectionParams,
)
from tumor_ratio.pipelines.data_processing.pipeline import create_pipeline
from tumor_ratio.schemas import Regions, TileQuality

H, E, DAB = np.array([0.65, 0.7, 0.29]), np.array([0.07, 0.99, 0.11]), np.array([0.27, 0.57, 0.78])
MPP = 1.0


class Finished:
    """A finished slide's result."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def load(self) -> Any:
        return self.value


class InlinePartitions(AbstractDataset):
    """Carries tasks out at once and in order; a slide that fails is left out and remembered."""

    def __init__(self) -> None:
        self.finished: dict[str, Finished] = {}
        self.failures: dict[str, str] = {}

    def _save(self, data: dict[str, partial]) -> None:
        for slide_id, task in data.items():
            try:
                self.finished[slide_id] = Finished(task())
            except SlideError as error:
                self.failures[slide_id] = str(error)

    def _load(self) -> dict[str, Finished]:
        return self.finished

    def _describe(self) -> dict[str, Any]:
        return {}


class Kept(MemoryDataset):
    """Stays after the run, whoever has used it."""

    def __init__(self) -> None:
        super().__init__(copy_mode="assign")

    def _release(self) -> None:
        pass


@pytest.fixture
def run():
    """Run the pipeline on in-memory datasets; returns everything that it made."""

    def run_pipeline(cohort: CohortParams, **params: Any) -> dict[str, Any]:
        parameters = {
            "cohort": cohort,
            "tiles": TileParams(size_px=200, mpp=MPP, step_px=200),
            "tile_scores": TileScoreParams(),
            "tile_selection": TileSelectionParams(),
            "contact_sheet": ContactSheetParams(n_kept=2, n_rejected=2, thumb_px=40),
            "patches": PatchParams(size_px=100, mpp=MPP, step_px=50),
            **params,
        }
        made = {
            "cohort_plan": Kept(),
            "slides": InlinePartitions(),
            "cohort": Kept(),
            "tiles": Kept(),
            "tile_scores": InlinePartitions(),
            "tile_quality": Kept(),
            "contact_sheet": Kept(),
            "patches": Kept(),
        }
        inputs = {f"params:{name}": MemoryDataset(value) for name, value in parameters.items()}
        inputs["exclusions"] = MemoryDataset(pd.DataFrame(columns=["region_id", "note"]))
        SequentialRunner().run(create_pipeline(), DataCatalog({**inputs, **made}))
        results = {name: dataset.load() for name, dataset in made.items()}
        results["failures"] = {**made["slides"].failures, **made["tile_scores"].failures}
        return results

    return run_pipeline


def section(seed: int, second: np.ndarray, counter: float, glass_px: int = 0) -> np.ndarray:
    """A stained section, 600 x 400 px; the same seed gives the same nuclei."""
    rng = np.random.default_rng(seed)
    nests = ndimage.gaussian_filter(rng.normal(size=(400, 600)), 25)
    dots = (rng.random((400, 600)) < 0.01) * np.exp(nests / nests.std())
    od = ndimage.gaussian_filter(dots, 3)[..., None] * 24 * H + counter * second
    od[:, :glass_px] = 0
    return np.clip(244 * 10**-od, 0, 255).astype(np.uint8)


def write(path: Path, rgb: np.ndarray) -> str:
    tifffile.imwrite(path, rgb, tile=(128, 128), photometric="rgb", compression="deflate")
    return path.name


@pytest.fixture
def manifest(tmp_path: Path) -> CohortParams:
    """Good: s1, s2 (H&E only). Strangers: s3. Bad: s4 (truncated), s5 (blank), s6 (no file)."""
    he = write(tmp_path / "s1_he.tif", section(1, E, 0.15, glass_px=300))
    ihc = write(tmp_path / "s1_ihc.tif", section(1, DAB, 0.06, glass_px=300))
    alone = write(tmp_path / "s2_he.tif", section(2, E, 0.15))
    stranger = write(tmp_path / "s3_ihc.tif", section(33, DAB, 0.06))
    cut = write(tmp_path / "s4_he.tif", section(4, E, 0.15))
    data = (tmp_path / cut).read_bytes()
    (tmp_path / cut).write_bytes(data[: len(data) * 3 // 4])
    blank = write(tmp_path / "s5_he.tif", np.full((400, 600, 3), 243, np.uint8))
    rows = [
        ("s1", he, ihc),
        ("s2", alone, ""),
        ("s3", alone, stranger),
        ("s4", cut, ""),
        ("s5", blank, ""),
        ("s6", "none.tif", ""),
    ]
    lines = [f"{name},c,{he},{ihc},{MPP},{MPP if ihc else ''}" for name, he, ihc in rows]
    path = tmp_path / "slides.csv"
    path.write_text("\n".join(["slide_id,case_id,he_path,ihc_path,he_mpp,ihc_mpp", *lines]))
    return CohortParams.model_validate({"source": "manifest", "manifest": {"path": str(path)}})


def test_a_manifest_runs_and_each_bad_slide_costs_itself(run, manifest) -> None:
    made = run(manifest)
    cohort, quality, patches = made["cohort"], made["tile_quality"], made["patches"]
    assert [pair.slide_id for pair in cohort] == ["s1", "s2", "s3", "s5"]
    assert set(made["failures"]) == {"s4", "s5", "s6"}
    assert "truncated" in made["failures"]["s4"]
    assert "no tissue found on the H&E slide" in made["failures"]["s5"]
    assert "no such file" in made["failures"]["s6"]
    Regions.validate(made["tiles"])
    TileQuality.validate(quality)
    Regions.validate(patches)
    assert isinstance(made["contact_sheet"], Figure)
    assert len(made["tiles"]) == 4 * 6

    by_slide = dict(tuple(quality.groupby("slide_id")))
    assert set(by_slide) == {"s1", "s2", "s3"}
    left = made["tiles"].set_index("region_id").loc[by_slide["s1"]["region_id"], "x_px"] < 300
    assert by_slide["s1"]["kept"].tolist() == (~left).tolist()  # glass on the left half
    assert by_slide["s2"]["kept"].all()  # H&E alone: nothing to compare with
    assert not by_slide["s3"]["kept"].any()
    assert by_slide["s3"]["reason"].str.startswith("structure").all()
    assert by_slide["s3"]["admitted"].all()

    assert set(patches["slide_id"]) == {"s1", "s2", "s3"}  # cut where admitted, kept or not
    assert set(patches["tile_id"]) == set(quality.loc[quality["admitted"], "region_id"])
    assert patches.groupby("tile_id").size().eq(9).all()


def test_a_manifest_is_checked_before_any_slide(run, manifest) -> None:
    path = Path(manifest.manifest.path)
    path.write_text(path.read_text() + "\nbad/name,c,,,,\n")
    with pytest.raises(ManifestError, match="line 8"):
        run(manifest)


def test_a_phantom_runs_with_its_own_transform(run, tmp_path) -> None:
    phantom = PhantomParams(n_slides=1, width_um=420, height_um=420, mpp=1.0)
    params = CohortParams(folder=str(tmp_path / "phantoms"), phantom=phantom)
    made = run(params, tile_selection=TileSelectionParams(rule="none", max_he_white=1.0,
                                                          max_ihc_white=1.0))  # fmt: skip
    (pair,) = made["cohort"]
    assert pair.data_kind == "phantom"
    assert not pair.transform.is_identity
    assert pair.truth_dir.is_dir()
    assert pair.meta["marker_meaning"] == "proliferation"
    record = made["slides"]["p01"].load()
    json.dumps(record)
    assert all(Path(product).exists() for product in record["products"])
    scores = made["tile_quality"]["structure_score"]
    assert scores.max() > 0.3
    from tumor_ratio.cohort.pair import SlidePair

    unaligned = SlidePair(**{**vars(pair), "transform": type(pair.transform).identity()})
    tiles = made["tiles"]
    cohort = Cohort((unaligned,), "phantom")
    wrong = nodes.score_tiles(cohort, tiles, TileScoreParams(), TileSelectionParams())["p01"]()
    assert scores.mean() > wrong["structure_score"].mean()


def test_plans_are_plain_json(tmp_path) -> None:
    phantom = PhantomParams(n_slides=12)
    params = CohortParams(folder=str(tmp_path), phantom=phantom)
    plan = json.loads(json.dumps(nodes.plan_cohort(params)))
    tasks = nodes.prepare_slides(plan, params)
    assert list(tasks) == [f"p{index:02d}" for index in range(1, 13)]
    again = nodes.prepare_slides(nodes.plan_cohort(params), params)
    assert [t.args for t in tasks.values()] == [t.args for t in again.values()]


def test_steps_carry_a_version(manifest, tmp_path) -> None:
    plan = nodes.plan_cohort(manifest)
    for task in nodes.prepare_slides(plan, manifest).values():
        assert task.func.step_version >= 1
    phantom = CohortParams(phantom=PhantomParams(n_slides=1), folder=str(tmp_path))
    (task,) = nodes.prepare_slides(nodes.plan_cohort(phantom), phantom).values()
    assert task.func.step_version >= 1


def test_the_cohort_keeps_the_plans_order(manifest) -> None:
    plan = nodes.plan_cohort(manifest)
    tasks = nodes.prepare_slides(plan, manifest)
    finished = {name: Finished(tasks[name]()) for name in ("s3", "s1")}
    assert [p.slide_id for p in nodes.gather_cohort(plan, finished)] == ["s1", "s3"]
    with pytest.raises(ConfigurationError, match="no slide could be prepared"):
        nodes.gather_cohort(plan, {})


def test_nothing_scored_says_so(manifest) -> None:
    with pytest.raises(ConfigurationError, match="no slide's tiles could be scored"):
        nodes.select_tiles(pd.DataFrame(), {}, pd.DataFrame(), TileSelectionParams())


def test_a_misspelt_parameter_lists_the_valid_names() -> None:
    with pytest.raises(ValueError, match=r"unknown parameter 'phantom.n_slide'.*'n_slides'"):
        CohortParams.model_validate({"phantom": {"n_slide": 3}})


def test_score_backgrounds_are_coarser_than_blurs() -> None:
    with pytest.raises(ValueError, match="background_um must be larger"):
        TileScoreParams(blur_um=20, background_um=10)


@pytest.mark.real
def test_a_real_svs_alone_gives_tiles_and_patches(run, real_data, tmp_path) -> None:
    svs = real_data / "slides/openslide_cmu/cmu-1-small-region.svs"
    path = tmp_path / "slides.csv"
    path.write_text(f"slide_id,he_path\ncmu,{svs}\n")
    made = run(
        CohortParams.model_validate({"source": "manifest", "manifest": {"path": str(path)}}),
        tiles=TileParams(),
        patches=PatchParams(),
    )
    assert made["cohort"]["cmu"].he.mpp == pytest.approx(0.499)
    assert made["tile_quality"]["kept"].sum() >= 2
    frame = made["cohort"]["cmu"].frame
    for patch in iter_regions(made["patches"]):
        assert patch.x_px + patch.side_px(frame.mpp) <= frame.width_px + 1


@pytest.mark.real
def test_real_ihc_tiles_alone_are_admitted(run, real_data, tmp_path) -> None:
    from PIL import Image

    names = []
    for source in sorted((real_data / "ki67_positivity/deepliif/ihc_x6").glob("*.png"))[:3]:
        Image.open(source).convert("RGB").crop((0, 0, 512, 512)).save(tmp_path / source.name)
        names.append(source.name)
    rows = [f"{Path(name).stem},{name},0.25" for name in names]
    path = tmp_path / "slides.csv"
    path.write_text("\n".join(["slide_id,ihc_path,ihc_mpp", *rows]))
    made = run(
        CohortParams.model_validate({"source": "manifest", "manifest": {"path": str(path)}}),
        tiles=TileParams(size_px=256),
        patches=PatchParams(),
    )
    assert len(made["cohort"]) == len(names)
    assert made["tile_quality"]["admitted"].any()
    assert made["tile_quality"]["he_white"].isna().all()
